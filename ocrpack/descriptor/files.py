"""Which files of a source folder go into the bundle, by the app's entry point and the `files` patterns.

What has a place of its own in the descriptor (weights, samples, the requirements file) is not looked for here, though
a pattern may name it too: then it is the same file under the same name.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pathspec import GitIgnoreSpec

from ocrpack.descriptor.format.model import Descriptor
from ocrpack.descriptor.format.values import path_fault
from ocrpack.errors import Finding, Where

IGNORE_FILE = ".ocrpackignore"
DEFAULT_IGNORES = (
    ".git",
    "__pycache__/",
    "*.py[cod]",
    "*.egg-info/",
    ".venv/",
    "venv/",
    "node_modules/",
    ".DS_Store",
    "/dist/",
    "*.log",
    ".mypy_cache/",
    ".pytest_cache/",
    ".ruff_cache/",
    ".ipynb_checkpoints/",
    ".env",
    ".env.*",
)
"""Never packed, unless a line such as `!.env` in `.ocrpackignore` says otherwise."""

ENVIRONMENT_MARKS = ("pyvenv.cfg", "conda-meta")
"""A folder that holds one of these is an environment of Python or conda, whatever it is called."""

_ALWAYS = ("LICENSE", "LICENCE", "NOTICE", "COPYING")
_GENERATED = frozenset({"descriptor.json", "requirements.lock"})


@dataclass(frozen=True)
class Selection:
    """What the patterns select: `files` by their names in the bundle, sorted, and what went wrong."""

    files: dict[str, Path]
    refused: tuple[tuple[str, str], ...] = ()
    """Selected, but not to be packed: the name and why."""
    unmatched: dict[int, str] = field(default_factory=dict)
    """Patterns that select nothing, by their index in `files`, and why."""
    ignore_findings: tuple[Finding, ...] = ()
    """Lines of `.ocrpackignore` that say nothing."""


REFUSED_REMEDY = "put a plain file in its place, or leave it out with a line in .ocrpackignore"


def survey(folder: Path, descriptor: Descriptor) -> Selection:
    """Return what the app's entry point and the `files` patterns select in the folder."""
    ignores, ignore_findings = _ignores(folder, descriptor.name)
    patterns, unmatched = _patterns(descriptor)
    found: dict[str, _Found] = {}
    for name in _always(folder, descriptor):
        found.update((entry.name, entry) for entry in _walk(folder, name, ignores))
    matched: set[int] = set()
    for entry in _walk(folder, "", ignores) if patterns else ():
        included = None
        for index, pattern in patterns.items():
            verdict = pattern.check_file(entry.name).include
            if verdict is not None:
                included = verdict
                matched.add(index)
        if included:
            found[entry.name] = entry
        elif included is False:
            found.pop(entry.name, None)
    for index in patterns.keys() - matched:
        unmatched[index] = _why_unmatched(folder, descriptor.files[index])
    chosen = sorted((entry for entry in found.values() if entry.name not in _GENERATED), key=lambda entry: entry.name)
    return Selection(
        {entry.name: entry.path for entry in chosen if entry.fault is None},
        tuple((entry.name, entry.fault) for entry in chosen if entry.fault is not None),
        unmatched,
        tuple(ignore_findings),
    )


def app_name(folder: Path, entrypoint: str) -> str | None:
    """Return the file or folder that the entry point's module is imported from, as Python would choose it."""
    top, *rest = entrypoint.partition(":")[0].split(".")
    if (folder / top / "__init__.py").is_file():
        return top
    if (folder / f"{top}.py").is_file():
        return f"{top}.py"
    return top if rest and (folder / top).is_dir() else None


@dataclass(frozen=True)
class _Found:
    name: str
    path: Path
    fault: str | None


def _always(folder: Path, descriptor: Descriptor) -> Iterator[str]:
    app = app_name(folder, descriptor.app.entrypoint)
    if app:
        yield app
    for name in sorted(os.listdir(folder)):  # noqa: PTH208 - names are all that is needed
        if name.startswith(_ALWAYS) or name == "README.md":
            yield name


def _patterns(descriptor: Descriptor) -> tuple[dict[int, GitIgnoreSpec], dict[int, str]]:
    patterns, faults = {}, {}
    for index, pattern in enumerate(descriptor.files):
        if ".." in pattern.split("/") or re.match("[A-Za-z]:", pattern):
            faults[index] = "leads out of the source folder"
            continue
        anchored = pattern.removeprefix(".") if pattern.startswith("./") else pattern
        try:
            patterns[index] = GitIgnoreSpec.from_lines(["*" if anchored in (".", "/") else anchored])
        except ValueError:
            faults[index] = "is no gitignore pattern"
    return patterns, faults


def _why_unmatched(folder: Path, pattern: str) -> str:
    try:
        exists = (folder / pattern.strip("/")).exists()
    except (OSError, ValueError):
        exists = False
    if exists:
        return f"selects nothing: what is there is empty, or ignored by default or by {IGNORE_FILE}"
    return "selects nothing"


def _ignores(folder: Path, name: str) -> tuple[GitIgnoreSpec, list[Finding]]:
    """Read what is never packed, earlier bundles of that name among it; the folder's own file has the last word."""
    file = folder / IGNORE_FILE
    findings: list[Finding] = []
    lines = [*DEFAULT_IGNORES, f"{name}-*.zip", f".{name}-*.partial"]
    try:
        text = file.read_text("utf-8-sig") if file.is_file() else ""
    except (OSError, UnicodeDecodeError) as error:
        finding = Finding("ignore-file", f"{IGNORE_FILE} cannot be read: {error}", "save it as UTF-8", Where(str(file)))
        return GitIgnoreSpec.from_lines(lines), [finding]
    for number, line in enumerate(text.splitlines(), 1):
        try:
            GitIgnoreSpec.from_lines([line])
        except ValueError:
            where = Where(str(file), number, 1)
            findings.append(Finding("ignore-file", "no gitignore pattern", "see `man gitignore`", where))
        else:
            lines.append(line)
    return GitIgnoreSpec.from_lines(lines), findings


def _walk(folder: Path, start: str, ignores: GitIgnoreSpec) -> Iterator[_Found]:
    """Yield all that is not ignored at or below `start`; ignored folders are never entered."""
    root = Path(os.path.realpath(folder))
    first = folder / start
    if start and not first.is_dir():
        yield _Found(start, first, _fault(start, first, root))
        return
    pending = [(start, first, frozenset[str]())]
    while pending:
        name, path, above = pending.pop()
        real = os.path.realpath(path)
        if real in above:
            continue
        fault = _folder_fault(name, path, root)
        if fault:
            yield _Found(name, path, fault)
            continue
        with os.scandir(path) as entries:
            listed = sorted(entries, key=lambda entry: entry.name)
        for entry in listed:
            below = f"{name}/{entry.name}" if name else entry.name
            if _is_folder(entry):
                if not ignores.match_file(below + "/") and not _is_environment(entry.path):
                    pending.append((below, path / entry.name, above | {real}))
            elif not ignores.match_file(below):
                file = path / entry.name
                fault = _fault(below, file, root) if entry.is_symlink() else _plain_fault(below, entry.is_file())
                yield _Found(below, file, fault)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _is_environment(path: str) -> bool:
    return any(os.path.lexists(os.path.join(path, mark)) for mark in ENVIRONMENT_MARKS)  # noqa: PTH118


def _folder_fault(name: str, path: Path, root: Path) -> str | None:
    if not Path(os.path.realpath(path)).is_relative_to(root):
        return "links out of the source folder"
    if not os.access(path, os.R_OK | os.X_OK):
        return "cannot be read"
    return path_fault(name) if name else None


def _fault(name: str, path: Path, root: Path) -> str | None:
    """Return why what may be a link cannot be packed, or None where it can."""
    if not path.exists():
        return path_fault(name) or "links to nothing"
    if not Path(os.path.realpath(path)).is_relative_to(root):
        return path_fault(name) or "links out of the source folder"
    return _plain_fault(name, path.is_file())


def _plain_fault(name: str, is_file: bool) -> str | None:
    return path_fault(name) or (None if is_file else "is no plain file")
