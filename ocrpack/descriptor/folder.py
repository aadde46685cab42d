"""What must hold between a descriptor and the source folder that it stands in."""

from __future__ import annotations

import os
import platform
import stat
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from ocrpack.descriptor import files, imports, requirements
from ocrpack.descriptor.findings import did_you_mean
from ocrpack.descriptor.format.model import Descriptor
from ocrpack.descriptor.source import JsonPath, Located, shown
from ocrpack.errors import Finding

RESERVED = (
    "descriptor.json", "manifest.json", "SETUP.md", "requirements.lock", "sbom.cdx.json",
    "measured.json", "__main__.py",
)  # fmt: skip
"""Names in the bundle that `build` writes."""

TRUTH_LIMIT = 1024 * 1024


def findings(
    descriptor: Descriptor, folder: Path, selection: files.Selection, *, built: bool = False
) -> Iterator[Located]:
    """Yield what the folder lacks, and what in it cannot go into a bundle; `selection` is what the patterns select.

    What a build command may yet make is a warning, unless they are `built` already.
    """
    if built:
        descriptor = descriptor.model_copy(update={"build_commands": ()})
    look = _Look(folder)
    yield from _app(descriptor, folder)
    yield from _named_files(descriptor, look)
    yield from _selected(descriptor, selection)
    yield from _collisions(descriptor, selection)
    if look.fault(descriptor.requirements) is None:
        for finding in requirements.read_requirements(folder, descriptor.requirements).findings:
            yield ("requirements",), finding
    for finding in imports.findings(folder, selection.files, descriptor.python, platform.python_version()):
        yield ("files",), _softened(finding, descriptor)


class _Look:
    """Looks for files below a folder, each folder listed once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = Path(os.path.realpath(folder))
        self.names = cache(_names)

    def fault(self, name: str, *, may_be_empty: bool = True) -> Finding | None:
        """Return what keeps `name` from being a readable file of the folder, or None."""
        path = self.folder / name
        try:
            status = path.stat()
        except OSError as error:
            return self.missing(name, error)
        listed = self.names(path.parent)
        real = next((other for other in listed if other.casefold() == path.name.casefold()), path.name)
        if path.name not in listed and real != path.name:
            message = f"the file is called {shown(real)}, not {shown(path.name)}: most targets tell the two apart"
            return Finding("missing-file", message, "write the name as it is, letter by letter")
        if not Path(os.path.realpath(path)).is_relative_to(self.root):
            message = f"{shown(name)} links out of the source folder"
            return Finding("leaves-folder", message, "copy the file into the source folder")
        if not stat.S_ISREG(status.st_mode):
            kind = "a folder" if stat.S_ISDIR(status.st_mode) else "no plain file"
            return Finding("missing-file", f"{shown(name)} is {kind}", "name a file", expected="a file", got=kind)
        if not os.access(path, os.R_OK):
            return Finding("unreadable-file", f"{shown(name)} cannot be read", "check its permissions")
        if status.st_size == 0 and not may_be_empty:
            return Finding("empty-file", f"{shown(name)} is empty", "put the right file in its place")
        return None

    def missing(self, name: str, error: OSError) -> Finding:
        path = self.folder / name
        if isinstance(error, (FileNotFoundError, NotADirectoryError)):
            message = f"there is no file {shown(name)} in {self.folder}"
        else:
            message = f"{shown(name)} cannot be looked at: {error.strerror}"
        near = did_you_mean(path.name, self.names(path.parent))
        remedy = f"did you mean {shown(near)}?" if near else "put it there, or correct the path"
        return Finding("missing-file", message, remedy, expected="a file", got="nothing")


def _names(folder: Path) -> tuple[str, ...]:
    try:
        return tuple(sorted(entry.name for entry in folder.iterdir()))
    except OSError:
        return ()


def _softened(finding: Finding, descriptor: Descriptor) -> Finding:
    """Return the finding as a warning where a build command may yet make what is missing."""
    return finding.as_warning() if descriptor.build_commands else finding


def _app(descriptor: Descriptor, folder: Path) -> Iterator[Located]:
    module = descriptor.app.entrypoint.partition(":")[0]
    top, *rest = module.split(".")
    if top == "ocrpack":
        return
    path = ("app", "entrypoint")
    if files.app_name(folder, descriptor.app.entrypoint) is None:
        message = f"the module {shown(top)} is neither {top}.py nor {top}/__init__.py in {folder}"
        remedy = "write the app, or name the module that holds it"
        yield path, _softened(Finding("missing-file", message, remedy, expected=f"{top}.py"), descriptor)
        return
    stem = folder.joinpath(top, *rest)
    if rest and not stem.with_name(f"{stem.name}.py").is_file() and not (stem / "__init__.py").is_file():
        message = f"the package {shown(top)} has no module {shown(module)}"
        yield path, _softened(Finding("missing-file", message, "name the module that holds the app"), descriptor)


def _named_files(descriptor: Descriptor, look: _Look) -> Iterator[Located]:
    fault = look.fault(descriptor.requirements)
    if fault:
        yield ("requirements",), fault
    for i, weight in enumerate(descriptor.model.weights):
        fault = None if weight.source is not None else look.fault(weight.path, may_be_empty=False)
        if fault:
            yield ("model", "weights", i), _softened(fault, descriptor)
    for i, sample in enumerate(descriptor.samples):
        fault = look.fault(sample.image, may_be_empty=False)
        if fault:
            yield ("samples", i, "image"), fault
        if sample.text_file is not None:
            fault = look.fault(sample.text_file) or _truth_fault(look.folder / sample.text_file)
            if fault:
                yield ("samples", i, "text_file"), fault


def _truth_fault(path: Path) -> Finding | None:
    with path.open("rb") as stream:
        data = stream.read(TRUTH_LIMIT + 1)
    if len(data) > TRUTH_LIMIT:
        message = f"the true text has more than {TRUTH_LIMIT:,} bytes"
        return Finding("truth-too-big", message, "name the text of one image")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        message = f"{path} is not UTF-8: byte {error.start} is 0x{data[error.start]:02X}"
        return Finding("not-utf-8", message, "save it as UTF-8", expected="UTF-8")
    if text.strip():
        return None
    message = f"{path} is blank: no error rate can be computed"
    return Finding("empty-truth", message, "write the text that the image shows")


def _selected(descriptor: Descriptor, selection: files.Selection) -> Iterator[Located]:
    for index, why in sorted(selection.unmatched.items()):
        pattern = descriptor.files[index]
        if why.startswith("selects"):
            finding = Finding(
                "no-match", f"{shown(pattern)} {why}", "correct the pattern, or remove it", got=shown(pattern)
            )
            yield ("files", index), _softened(finding, descriptor)
        else:
            remedy = "write a path or a pattern below the source folder"
            yield ("files", index), Finding("bad-pattern", f"{shown(pattern)} {why}", remedy, got=shown(pattern))
    for name, why in selection.refused:
        yield ("files",), Finding("not-packable", f"{shown(name, 200)} {why}", files.REFUSED_REMEDY)
    for finding in selection.ignore_findings:
        yield ("files",), finding


def _collisions(descriptor: Descriptor, selection: files.Selection) -> Iterator[Located]:
    """Yield what would meet at one place of the bundle, be it on a disk that does not tell upper from lower case."""
    taken = {name.casefold(): (name, "build") for name in RESERVED}
    if descriptor.app.engine:
        taken["ocrpack"] = ("ocrpack", "build")
    folders: dict[str, tuple[str, str]] = {}
    for path, name, origin in _packed(descriptor, selection):
        place = name.casefold()
        above = [place[:i] for i, character in enumerate(place) if character == "/"]
        others = (taken.get(place), folders.get(place), *map(taken.get, above))
        other = next((other for other in others if other and other != (name, origin)), None)
        if other and not (origin == other[1] == "weight"):  # two weights at one place have a finding of their own
            by_build = ", which build writes" if other[1] == "build" else ""
            message = f"{shown(name, 200)} meets {shown(other[0], 200)} in the bundle{by_build}"
            yield path, Finding("collision", message, "rename one of the two; case alone does not tell them apart")
        taken.setdefault(place, (name, origin))
        folders.update(dict.fromkeys(above, (name, origin)))


def _packed(descriptor: Descriptor, selection: files.Selection) -> Iterator[tuple[JsonPath, str, str]]:
    """Yield all that is packed: the path of its value, its name in the bundle, and where it comes from."""
    yield ("requirements",), descriptor.requirements, "folder"
    for name in selection.files:
        yield ("files",), name, "folder"
    for i, sample in enumerate(descriptor.samples):
        yield ("samples", i, "image"), sample.image, "folder"
        if sample.text_file is not None:
            yield ("samples", i, "text_file"), sample.text_file, "folder"
    for i, weight in enumerate(descriptor.model.weights):
        origin = "folder" if weight.source is None else "weight"
        yield ("model", "weights", i, "path"), weight.path, origin
