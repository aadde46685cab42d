"""The packager's commands: validate and build."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ocrpack.cli import console
from ocrpack.cli.common import Json, Quiet

if TYPE_CHECKING:
    from ocrpack.bundle import Built

SourceFolder = Annotated[
    Path, typer.Argument(metavar="[SOURCE]", help="The source folder, or its descriptor.json.", show_default="here")
]
_LARGEST = 5


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
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Turn a source folder into one versioned bundle.

    Example: ocrpack build bundles/tesseract
    """
    from ocrpack.bundle import BuildListener
    from ocrpack.bundle import build as build_bundle

    with console.Progress(quiet=quiet or json).shown() as progress:
        progress.doing("build")
        built = build_bundle(
            source, output, force=force, listener=BuildListener(progress.total, progress.advance, progress.line)
        )
    if json:
        console.print_json(_as_json(built))
        return
    console.findings(built.warnings)
    _summarise(built, quiet)


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
    for command in (validate, build):
        app.command()(command)
