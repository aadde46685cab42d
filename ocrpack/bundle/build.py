"""Turn a source folder into one bundle."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ocrpack.bundle import guide, server, weights
from ocrpack.bundle.archive import Archive, ArchiveWriter
from ocrpack.bundle.manifest import MANIFEST, Entry, Manifest, Role, check_paths, order
from ocrpack.bundle.stream import Hasher, Progress, written_back
from ocrpack.descriptor import DESCRIPTOR, Descriptor, Source, load, load_source, requirement_files, select
from ocrpack.errors import BundleError, ConflictError, DescriptorError, Finding, PreflightError, Where, explained_io
from ocrpack.journal import append, timestamp
from ocrpack.shell import WINDOWS, CommandError, run

_COMMAND_DEADLINE_S = 24 * 3600
_SPARE_BYTES = 16 << 20


@dataclass(frozen=True)
class Part:
    """One file on its way into the bundle: where its bytes come from, and how many there are."""

    path: str
    role: Role
    content: Path | bytes

    @property
    def size(self) -> int:
        """Size in bytes."""
        return len(self.content) if isinstance(self.content, bytes) else self.content.stat().st_size

    def open(self) -> io.BytesIO | io.FileIO:
        """Open the content for reading from its start."""
        return io.BytesIO(self.content) if isinstance(self.content, bytes) else self.content.open("rb", buffering=0)


@dataclass(frozen=True)
class Built:
    """A bundle that stands at `path`; `unchanged` tells that it stood there before with the same bytes."""

    path: Path
    manifest: Manifest
    bytes: int
    unchanged: bool
    warnings: tuple[Finding, ...]


@dataclass(frozen=True)
class BuildListener:
    """Who is told how a build goes on."""

    total: Callable[[int], None]
    progress: Progress
    command_line: Callable[[str], None]


def check(source: Path, *, built: bool = False) -> tuple[Source, list[Path], list[Finding]]:
    """Check a source folder whole, its weights included, and return it with the weights' files and the warnings.

    What the build commands may yet make is a warning, unless they are `built` already.

    Raises:
        DescriptorError: with every finding at once.
    """
    try:
        loaded = load_source(source, built=built)
    except DescriptorError as error:
        error.findings += tuple(_weights_of_unsound(source))
        raise
    paths, findings = weights.find_all(
        loaded.descriptor.model.weights, loaded.folder, lambda index: loaded.where("model", "weights", index)
    )
    if loaded.descriptor.build_commands and not built:
        findings = [finding.as_warning() if finding.code == "weights-missing" else finding for finding in findings]
    errors = [finding for finding in findings if finding.severity == "error"]
    if errors:
        raise DescriptorError(errors[0].message, errors[0].remedy, (*findings, *loaded.warnings))
    return loaded, paths, [*findings, *loaded.warnings]


def _weights_of_unsound(source: Path) -> list[Finding]:
    """Return what is wrong with the weights of a source that has other faults, if its descriptor can be read."""
    try:
        descriptor = load(source)
    except DescriptorError:
        return []
    folder = source if source.is_dir() else source.parent
    where = Where(str(folder / DESCRIPTOR))
    return weights.find_all(descriptor.model.weights, folder, lambda _: where)[1]


def build(source: Path, output: Path | None, *, force: bool, listener: BuildListener) -> Built:
    """Build the bundle of a source folder and move it into place whole.

    `output` is a file (`*.zip`) or a folder; by default `dist/NAME-VERSION.zip` below the working folder. The same
    source gives the same bytes on any machine. An interrupted build leaves nothing behind.

    Raises:
        DescriptorError: the source is unsound, a weight is not found, or a build command failed.
        ConflictError: a bundle of the same version with other content stands there, and `force` is not given.
        PreflightError: the disk is full or the folder cannot be written.
        BundleError: a file changed while it was packed, or has a name that some systems forbid.
    """
    descriptor = load(source)
    target = _target(descriptor, output)
    with explained_io("make the bundle", target):
        target.parent.mkdir(parents=True, exist_ok=True)
        _run_commands(descriptor, source if source.is_dir() else source.parent, target, listener)
        loaded, weight_paths, warnings = check(source, built=True)
        return _write(loaded, weight_paths, target, force, listener, tuple(warnings))


def _target(descriptor: Descriptor, output: Path | None) -> Path:
    name = f"{descriptor.name}-{descriptor.version}.zip"
    if output is None:
        return Path("dist") / name
    return output if output.suffix.lower() == ".zip" and not output.is_dir() else output / name


def _run_commands(descriptor: Descriptor, folder: Path, target: Path, listener: BuildListener) -> None:
    if not descriptor.build_commands:
        return
    log = target.with_suffix(".build.log")

    def note(line: str) -> None:
        append(log, f"{timestamp()} {line}\n".encode())
        listener.command_line(line)

    for command in descriptor.build_commands:
        note(f"$ {command}")
        argv = ["cmd", "/c", command] if WINDOWS else ["/bin/sh", "-c", command]
        try:
            run(argv, cwd=folder, deadline_s=_COMMAND_DEADLINE_S, on_line=note)
        except CommandError as error:
            raise DescriptorError(
                f"build command failed: {command}\n{error.tail.rstrip() or error.message}", f"its output is in {log}"
            ) from None


def _parts(source: Source, weight_paths: list[Path]) -> list[Part]:
    """List what goes into the bundle but for the descriptor and the guide, which state the weights' digests."""
    descriptor = source.descriptor
    parts: dict[str, Part] = {}
    truths = {sample.text_file for sample in descriptor.samples if sample.text_file}
    images = {sample.image for sample in descriptor.samples}
    app_path = descriptor.app.entrypoint.partition(":")[0].split(".")[0]

    def role_of(path: str) -> Role:
        name = path.rpartition("/")[2].upper()
        if path.partition("/")[0] in {app_path, f"{app_path}.py"}:
            return "app"
        if name.startswith(("LICENSE", "LICENCE", "NOTICE", "COPYING")):
            return "licence"
        return "file"

    for path, file in select(source.folder, descriptor):
        parts[path] = Part(path, role_of(path), file)
    for path in sorted(images | truths):
        parts[path] = Part(path, "sample", source.folder / path)
    for path in requirement_files(source.folder, descriptor.requirements):
        parts[path] = Part(path, "requirements", source.folder / path)
    parts[server.SERVER_REQUIREMENTS] = Part(
        server.SERVER_REQUIREMENTS, "requirements", server.requirements(descriptor.app)
    )
    for weight, file in zip(descriptor.model.weights, weight_paths, strict=True):
        parts[weight.path] = Part(weight.path, "weights", file)
    if descriptor.app.engine is not None:
        parts.update((part.path, part) for part in _embedded_app())
    for generated in (DESCRIPTOR, guide.GUIDE, MANIFEST):
        parts.pop(generated, None)
    return sorted(parts.values(), key=lambda part: order(part.path, part.role))


def _embedded_app() -> Iterator[Part]:
    """Yield the subset of this package that runs inside bundles."""
    package = Path(__file__).parent.parent
    yield Part("ocrpack/__init__.py", "package", package / "__init__.py")
    for file in sorted((package / "app").rglob("*")):
        relative = file.relative_to(package).as_posix()
        if file.is_file() and "__pycache__" not in relative:
            yield Part(f"ocrpack/{relative}", "package", file)


def _write(
    source: Source,
    weight_paths: list[Path],
    target: Path,
    force: bool,
    listener: BuildListener,
    warnings: tuple[Finding, ...],
) -> Built:
    parts = _parts(source, weight_paths)
    check_paths([part.path for part in parts] + [DESCRIPTOR, guide.GUIDE, MANIFEST])
    total = sum(part.size for part in parts)
    _require_space(target.parent, total)
    listener.total(total)
    with _unnamed_file(target) as (file, publish), Hasher() as hasher:
        writer = ArchiveWriter(file, hasher)
        entries: dict[str, Entry] = {}
        with written_back(file.fileno()):
            for part in parts:
                with part.open() as content:
                    entries[part.path] = writer.add(part.path, part.role, content, part.size, listener.progress)
        resolved = _with_digests(source, entries)
        packed_weights = tuple(entries[weight.path] for weight in resolved.model.weights)
        runs_alone = _has_main(source, entries)
        last = (
            Part(guide.GUIDE, "guide", guide.guide(resolved, packed_weights, total, runs_alone)),
            Part(DESCRIPTOR, "descriptor", resolved.as_json().encode()),
        )
        for part in sorted(last, key=lambda part: order(part.path, part.role)):
            with part.open() as content:
                writer.add(part.path, part.role, content, part.size)
        manifest = writer.finish(resolved.name, resolved.version)
        file.flush()
        size = file.tell()
        unchanged = _compare(target, manifest, force)
        if not unchanged:
            os.fsync(file.fileno())
            publish()
    return Built(target, manifest, size, unchanged, warnings)


def _with_digests(source: Source, entries: dict[str, Entry]) -> Descriptor:
    findings = []
    resolved = []
    for index, weight in enumerate(source.descriptor.model.weights):
        entry = entries[weight.path]
        if weight.sha256 not in {None, entry.sha256}:
            text, remedy = f"{weight.path} is another file than declared", "correct `sha256`, or get the declared file"
            where = source.where("model", "weights", index)
            findings.append(Finding("weights-digest", text, remedy, where, weight.sha256, entry.sha256))
        resolved.append(weight.model_copy(update={"sha256": entry.sha256, "size": entry.size, "source": None}))
    if findings:
        raise DescriptorError(findings[0].message, findings[0].remedy, tuple(findings))
    model = source.descriptor.model.model_copy(update={"weights": tuple(resolved)})
    return source.descriptor.model_copy(update={"model": model, "schema_": None})


def _has_main(source: Source, entries: dict[str, Entry]) -> bool:
    script = source.descriptor.app.entrypoint.partition(":")[0].replace(".", "/") + ".py"
    return script in entries and "__main__" in (source.folder / script).read_text("utf-8", "replace")


def _compare(target: Path, manifest: Manifest, force: bool) -> bool:
    """Tell whether the same bundle stands at `target` already."""
    if not target.exists():
        return False
    try:
        with Archive(target) as existing:
            digest = existing.manifest.digest
            if digest == manifest.digest and not existing.check():
                return True
    except BundleError:
        digest = "something that is no sound bundle"
    if force:
        return False
    raise ConflictError(
        f"{target} exists with other content (there: {digest[:12]}, built now: {manifest.digest[:12]})"
        if len(digest) == 64
        else f"{target} exists, and is {digest}",
        "raise `version` in the descriptor, or pass --force to replace it",
    )


def _require_space(folder: Path, size: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < size + _SPARE_BYTES:
        raise PreflightError(
            f"{folder} has {free >> 20} MiB free, the bundle needs {(size + _SPARE_BYTES) >> 20} MiB",
            "free some space, or write elsewhere with -o",
        )


@contextlib.contextmanager
def _unnamed_file(target: Path) -> Iterator[tuple[BinaryIO, Callable[[], None]]]:
    """Yield a file beside `target` and a function that moves it there.

    On Linux the file has no name until then, so that even a killed build leaves nothing.
    """
    try:
        handle = os.open(target.parent, getattr(os, "O_TMPFILE", -1) | os.O_RDWR, 0o644) if _has_tmpfile() else -1
    except OSError:
        handle = -1
    anonymous = handle >= 0
    if anonymous:
        named = target.with_name(f".{target.name}.{os.getpid()}.partial")
    else:
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".partial")
        named = Path(name)
        if not WINDOWS:
            os.fchmod(handle, 0o644)
    try:
        with os.fdopen(handle, "w+b", buffering=1 << 16) as file:

            def publish() -> None:
                if anonymous:
                    # Only with a folder's descriptor does os.link follow the link to the unnamed file.
                    os.link(f"/proc/self/fd/{handle}", named, src_dir_fd=handle)
                named.replace(target)

            yield file, publish
    finally:
        named.unlink(missing_ok=True)


def _has_tmpfile() -> bool:
    return sys.platform == "linux" and hasattr(os, "O_TMPFILE")
