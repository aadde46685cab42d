"""The packager's commands: init, validate, lock and build."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ocrpack.cli import console
from ocrpack.cli.common import Json, Quiet
from ocrpack.errors import UsageError

if TYPE_CHECKING:
    from ocrpack.bundle import BuildListener, Built

SourceFolder = Annotated[
    Path, typer.Argument(metavar="[SOURCE]", help="The source folder, or its descriptor.json.", show_default="here")
]
Platforms = Annotated[
    list[str] | None,
    typer.Option("--platform", metavar="TAG", help="Carry wheels for this platform, such as manylinux_2_28_x86_64."),
]
_LARGEST = 5


def init(
    folder: Annotated[Path | None, typer.Argument(metavar="DIR", help="A new folder.", show_default=False)] = None,
    engine: Annotated[str, typer.Option(help="The engine of the embedded app.")] = "tesseract",
    app: Annotated[
        Path | None, typer.Option("--from", metavar="DIR", help="Describe the app that is in this folder instead.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="With --from: replace its descriptor.json.")] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write a bundle source that builds and deploys at once, or the descriptor of an app that is there already.

    Example: ocrpack init invoices, or ocrpack init --from my-flask-app
    """
    from ocrpack.bundle import describe, start

    if (folder is None) == (app is None):
        raise UsageError("name a new folder, or the folder of an app with --from", "`ocrpack init --help` shows both")
    draft = start(folder, engine) if folder is not None else describe(app or Path(), force=force)
    if json:
        found = [finding.as_dict() for finding in draft.findings]
        console.print_json({"folder": str(draft.folder), "written": list(draft.written), "findings": found})
        return
    console.findings(draft.findings)
    for name in draft.written:
        console.result(str(draft.folder / name))
    console.say(f"  next    ocrpack validate {draft.folder}, then ocrpack build {draft.folder}", quiet=quiet)


def validate(source: SourceFolder = Path(), json: Json = False, quiet: Quiet = False) -> None:
    """Check a bundle source and print every finding at once.

    Example: ocrpack validate bundles/tesseract
    """
    from ocrpack.bundle import check

    loaded, _, warnings = check(source)
    descriptor = loaded.descriptor
    if json:
        found = [finding.as_dict() for finding in warnings]
        console.print_json({"ok": True, "name": descriptor.name, "version": descriptor.version, "findings": found})
        return
    console.findings(warnings)
    if not quiet:
        console.result(f"{descriptor.name} {descriptor.version} is sound")


def lock(
    source: SourceFolder = Path(),
    upgrade: Annotated[
        bool, typer.Option("--upgrade", "-U", help="Take the newest versions, not those locked.")
    ] = False,
    platform: Platforms = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write requirements.lock into a source folder: every package with its version, hashes and licence.

    Later builds take it as it is, without a network, until the requirements change.

    Example: ocrpack lock bundles/tesseract
    """
    from ocrpack.bundle import LOCK, BuildOptions, check, lock_of

    loaded, _, _ = check(source)
    with _listener(quiet or json) as listener:
        locked = lock_of(loaded, BuildOptions(platforms=tuple(platform or ())), listener, upgrade=upgrade).lock
    place = loaded.folder / LOCK
    changed = not place.exists() or place.read_bytes() != locked.data
    if changed:
        place.write_bytes(locked.data)
    if json:
        packages = [{"name": pin.name, "version": pin.version, "licence": pin.licence} for pin in locked.pins]
        console.print_json({"lock": str(place), "changed": changed, "packages": packages})
        return
    note = "" if changed else ", unchanged"
    if not quiet:
        console.result(f"{place}: {console.counted(len(locked.pins), 'package')}{note}")


def build(
    source: SourceFolder = Path(),
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="PATH", help="A file (*.zip) or a folder.", show_default="dist/NAME-VERSION.zip"
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a bundle of this version with other content.")
    ] = False,
    wheels: Annotated[
        bool, typer.Option("--wheels", help="Carry the packages, for machines without a network.")
    ] = False,
    platform: Platforms = None,
    python: Annotated[
        list[str] | None,
        typer.Option("--python", metavar="VERSION", help="Carry wheels for this Python, such as 3.12."),
    ] = None,
    thin: Annotated[
        bool, typer.Option("--thin", help="Leave the weights out; the target must have or fetch them.")
    ] = False,
    self_contained: Annotated[
        bool, typer.Option("--self-contained", help="Carry ocrpack's own packages too: the bundle deploys itself.")
    ] = False,
    sign: Annotated[
        Path | None, typer.Option(metavar="KEY", help="Sign with this SSH key; the public one if an agent has it.")
    ] = None,
    test: Annotated[
        bool, typer.Option("--test", help="Run it in a clean environment first, and state what was measured.")
    ] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Turn a source folder into one versioned bundle.

    Example: ocrpack build bundles/tesseract
    """
    from ocrpack.bundle import BuildOptions
    from ocrpack.bundle import build as build_bundle

    with _listener(quiet or json) as listener:
        measure = _measure(listener) if test else None
        options = BuildOptions(
            force, wheels, tuple(platform or ()), tuple(python or ()), thin, self_contained, sign, measure
        )
        built = build_bundle(source, output, options, listener)
    if json:
        console.print_json(_as_json(built))
        return
    console.findings(built.warnings)
    _summarise(built, quiet)


@contextlib.contextmanager
def _listener(quiet: bool) -> Iterator[BuildListener]:
    from ocrpack.bundle import BuildListener

    with console.Progress(quiet=quiet).shown() as progress:
        yield BuildListener(progress.total, progress.advance, progress.line, progress.doing)


def _measure(listener: BuildListener) -> Callable[[Path, Mapping[str, Path]], bytes]:
    """Return what runs a bundle on this machine and measures it."""
    from ocrpack.deploy.operations.measure import measure

    def measured(bundle: Path, files: Mapping[str, Path]) -> bytes:
        listener.doing("test")
        return measure(bundle, files, listener.command_line)

    return measured


def _as_json(built: Built) -> dict[str, object]:
    manifest = built.manifest
    return {
        "bundle": str(built.path),
        "name": manifest.name,
        "version": manifest.version,
        "digest": manifest.digest,
        "bytes": built.bytes,
        "unchanged": built.unchanged,
        "warnings": [finding.as_dict() for finding in built.warnings],
    }


def _summarise(built: Built, quiet: bool) -> None:
    files = built.manifest.files
    console.result(str(built.path))
    console.say(f"  digest  {built.manifest.digest}", quiet=quiet)
    note = ", unchanged" if built.unchanged else ""
    console.say(f"  size    {console.size(built.bytes)} in {len(files)} files{note}", quiet=quiet)
    for entry in sorted(files, key=lambda entry: -entry.size)[:_LARGEST]:
        console.say(f"          {console.size(entry.size):>10}  {entry.path} ({entry.role})", quiet=quiet)


def add_to(app: typer.Typer) -> None:
    """Add the packager's commands."""
    for command in (init, validate, lock, build):
        app.command()(command)
