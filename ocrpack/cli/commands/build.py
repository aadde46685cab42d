"""`ocrpack build`: turn a source folder into a bundle."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ocrpack.cli import console
from ocrpack.cli.common import Json, Quiet
from ocrpack.cli.packager_options import Platforms, SourceFolder, build_listener

if TYPE_CHECKING:
    from ocrpack.bundle import BuildListener, Built

_LARGEST = 5
"""How many of the largest files the summary names."""


def command(
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

    with build_listener(quiet or json) as listener:
        measure = _measure(listener) if test else None
        options = BuildOptions(
            force=force,
            wheels=wheels,
            platforms=tuple(platform or ()),
            pythons=tuple(python or ()),
            thin=thin,
            self_contained=self_contained,
            key=sign,
            measure=measure,
        )
        built = build_bundle(source, output, options, listener)
    if json:
        console.print_json(_as_json(built))
        return
    console.findings(built.warnings)
    _summarise(built, quiet)


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
