"""Turn a source folder into one bundle."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ocrpack.bundle import build_output
from ocrpack.bundle.contents import ocrpack_wheel, setup_guide
from ocrpack.bundle.contents.parts import LATER, Part, collect, in_order
from ocrpack.bundle.contents.sbom import SBOM, sbom
from ocrpack.bundle.fetching import weights
from ocrpack.bundle.format.archive_writer import ArchiveWriter
from ocrpack.bundle.format.hashing import Hasher, Progress, written_back
from ocrpack.bundle.format.manifest import Entry, Manifest, check_paths
from ocrpack.bundle.format.measured import MEASURED
from ocrpack.bundle.format.signature import sign
from ocrpack.bundle.packages import make_lock, package_index, platforms, wheels
from ocrpack.descriptor import DESCRIPTOR, Descriptor, Source, load, load_source
from ocrpack.errors import DescriptorError, Finding, Where, explained_io
from ocrpack.logs import append, timestamp
from ocrpack.shell import WINDOWS, CommandError, run

_COMMAND_DEADLINE_S = 24 * 3600


@dataclass(frozen=True)
class BuildOptions:
    """What the packager chose.

    `platforms` and `pythons` (as `3.11`) name the machines that wheels are carried for; `thin` leaves the weights out;
    `self_contained` carries what ocrpack itself needs as well;
    `key` is the SSH key to sign with; `measure` takes the bundle's file, and the files of the
    weights by digest, runs it, and returns what it measured.
    """

    force: bool = False
    wheels: bool = False
    platforms: tuple[str, ...] = ()
    pythons: tuple[str, ...] = ()
    thin: bool = False
    self_contained: bool = False
    key: Path | None = None
    measure: Callable[[Path, Mapping[str, Path]], bytes] | None = None


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
    doing: Callable[[str], None] = lambda what: None


def check_source(
    source: Path, *, built: bool = False, fetching: weights.Fetching = lambda name, size: lambda count: None
) -> tuple[Source, list[Path], list[Finding]]:
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
        loaded.descriptor.model.weights,
        loaded.folder,
        lambda number: loaded.where("model", "weights", number),
        fetching=fetching,
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


def build(source: Path, wanted: Path | None, options: BuildOptions, listener: BuildListener) -> Built:
    """Build the bundle of a source folder and move it into place whole.

    `wanted` is a file (`*.zip`) or a folder; by default `dist/NAME-VERSION.zip` below the working folder. The same
    source and lock give the same bytes on any machine, but for a signature and for what `options.measure` measures. An
    interrupted build leaves nothing behind.

    Raises:
        DescriptorError: the source is unsound, a weight or a wheel is not to be had, or a build command failed.
        ConflictError: a bundle of the same version with other content stands there, and is not to be replaced.
        PreflightError: the disk is full, the folder cannot be written, or the package index cannot be reached.
        BundleError: a file changed while it was packed, or has a name that some systems forbid.
        UsageError: a platform or a key is none.
    """
    descriptor = load(source)
    place = build_output.place(descriptor, wanted)
    with explained_io("make the bundle", place):
        place.parent.mkdir(parents=True, exist_ok=True)
        _run_commands(descriptor, source if source.is_dir() else source.parent, place, listener)
        loaded, weight_paths, warnings = check_source(source, built=True, fetching=_told(listener))
        locked = lock_of(loaded, options, listener)
        locked, carried = _wheels(loaded, locked, options, listener)
        parts = [*collect(loaded, weight_paths, locked.lock.data, carried), *_tool(loaded, options, listener)]
        return _write(
            loaded, locked, in_order(parts), place=place, options=options, listener=listener, warnings=tuple(warnings)
        )


def lock_of(
    loaded: Source, options: BuildOptions, listener: BuildListener, *, upgrade: bool = False
) -> make_lock.Locked:
    """Return the lock of a checked source folder.

    Raises:
        DescriptorError: the requirements contradict one another, or something in them cannot be built.
        PreflightError: the package index cannot be reached.
    """
    listener.doing("lock")
    return make_lock.lock(loaded, options.platforms, listener.command_line, upgrade=upgrade)


def _told(listener: BuildListener) -> weights.Fetching:
    def fetching(name: str, size: int | None) -> Progress:
        listener.doing(f"fetch {name}")
        if size is not None:
            listener.total(size)
        return listener.progress

    return fetching


def _run_commands(descriptor: Descriptor, folder: Path, place: Path, listener: BuildListener) -> None:
    if not descriptor.build_commands:
        return
    log = place.with_suffix(".build.log")

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


def _wheels(
    loaded: Source, locked: make_lock.Locked, options: BuildOptions, listener: BuildListener
) -> tuple[make_lock.Locked, list[tuple[str, Path]]]:
    """Return the wheels that go into the bundle, by name: those of the index where they are asked for.

    The lock comes back with the hashes of what was built from source.
    """
    carried = [(path.name, path) for path in locked.carried]
    if not (options.wheels or options.platforms or options.self_contained):
        return locked, carried
    listener.doing("wheels")
    targets = machines(loaded.descriptor, options)
    located = package_index.locate(locked.lock, make_lock.lowest_python(loaded.descriptor), listener.command_line)
    lock, files, built = wheels.choose(locked.lock, located, locked.carried, targets, listener.command_line)
    for file in files:
        carried.append((file.name, wheels.fetch_file(file, _told(listener)(file.name, file.size))))
    return replace(locked, lock=lock), [*carried, *((path.name, path) for path in built)]


def _tool(loaded: Source, options: BuildOptions, listener: BuildListener) -> list[Part]:
    """Return ocrpack itself, with all that it needs where that is asked for."""
    if not options.self_contained:
        return ocrpack_wheel.parts()
    listener.doing("ocrpack's own wheels")
    targets = machines(loaded.descriptor, options)
    return [*ocrpack_wheel.parts(), *ocrpack_wheel.needs(targets, listener.command_line)]


def machines(descriptor: Descriptor, options: BuildOptions) -> list[platforms.Platform]:
    """Return the machines that wheels are carried for: this one where none is named.

    Raises:
        UsageError: a platform or a Python is none, or not one that the descriptor admits.
    """
    pythons = [platforms.python(text, descriptor.python) for text in options.pythons]
    if not pythons:
        pythons = [platforms.default_python(descriptor.python, sys.version_info[:2])]
    if not options.platforms:
        return [platforms.this_machine(f"{major}.{minor}.0") for major, minor in pythons]
    return [platforms.named(platform, python) for platform in options.platforms for python in pythons]


def _write(
    source: Source,
    locked: make_lock.Locked,
    parts: Sequence[Part],
    *,
    place: Path,
    options: BuildOptions,
    listener: BuildListener,
    warnings: tuple[Finding, ...],
) -> Built:
    check_paths([part.path for part in parts] + list(LATER))
    total = sum(part.size for part in parts)
    build_output.require_space(place.parent, sum(part.size for part in parts if not _left_out(part, options)))
    listener.doing("build")
    listener.total(total)
    with build_output.output(place) as made, Hasher() as hasher:
        writer = ArchiveWriter(made.file, hasher)
        with written_back(made.file.fileno()):
            for part in parts:
                with part.open() as content:
                    add = writer.leave_out if _left_out(part, options) else writer.add
                    add(part.path, part.role, content, part.size, listener.progress)
        entries = {entry.path: entry for entry in writer.entries}
        resolved = _with_digests(source, entries)
        later = _later(source, resolved, locked, entries, total)
        if options.measure is not None:
            mark = writer.mark()
            writer.finish(Manifest(resolved.name, resolved.version, _add(writer, later)))
            made.file.flush()
            files = {entries[part.path].sha256: part.content for part in parts if isinstance(part.content, Path)}
            later.append(Part(MEASURED, "measured", options.measure(made.name(), files)))
            writer.rewind(mark)
        manifest = Manifest(resolved.name, resolved.version, _add(writer, later))
        signature = b"" if options.key is None else sign(manifest.digest, options.key, listener.command_line)
        writer.finish(manifest, signature)
        made.file.flush()
        size = made.file.tell()
        absent = sum(_left_out(part, options) for part in parts)
        unchanged = build_output.stands_already(place, manifest, signature, absent, force=options.force)
        if not unchanged:
            made.publish()
    return Built(place, manifest, size, unchanged, warnings)


def _left_out(part: Part, options: BuildOptions) -> bool:
    return options.thin and part.role == "weights"


def _add(writer: ArchiveWriter, later: Sequence[Part]) -> tuple[Entry, ...]:
    for part in in_order(later):
        with part.open() as content:
            writer.add(part.path, part.role, content, part.size)
    return writer.entries


def _later(
    source: Source, resolved: Descriptor, locked: make_lock.Locked, entries: Mapping[str, Entry], total: int
) -> list[Part]:
    """Return the parts that state the digests of the others."""
    packed = tuple(entries[weight.path] for weight in resolved.model.weights)
    script = resolved.app.entrypoint.partition(":")[0].replace(".", "/") + ".py"
    carries = any(entry.role == "wheel" for entry in entries.values())
    runs_alone = script in entries and "__main__" in (source.folder / script).read_text("utf-8", "replace")
    return [
        Part(setup_guide.GUIDE, "guide", setup_guide.guide(resolved, packed, total, runs_alone, carries)),
        Part(DESCRIPTOR, "descriptor", resolved.as_json().encode()),
        Part(SBOM, "sbom", sbom(resolved, locked.lock, packed)),
    ]


def _with_digests(source: Source, entries: Mapping[str, Entry]) -> Descriptor:
    """Return the descriptor with every weight's digest, size and, where it may be fetched again, its addresses."""
    findings = []
    resolved = []
    for number, weight in enumerate(source.descriptor.model.weights):
        entry = entries[weight.path]
        if weight.sha256 not in {None, entry.sha256}:
            text, remedy = f"{weight.path} is another file than declared", "correct `sha256`, or get the declared file"
            where = source.where("model", "weights", number)
            findings.append(Finding("weights-digest", text, remedy, where, expected=weight.sha256, got=entry.sha256))
        remote = tuple(place for place in weight.places if place.startswith("https://")) or None
        resolved.append(weight.model_copy(update={"sha256": entry.sha256, "size": entry.size, "source": remote}))
    if findings:
        raise DescriptorError(findings[0].message, findings[0].remedy, tuple(findings))
    model = source.descriptor.model.model_copy(update={"weights": tuple(resolved)})
    return source.descriptor.model_copy(update={"model": model, "schema_": None})
