"""`ocrpack pull`: download a bundle from an OCI registry."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ocrpack.cli import console
from ocrpack.cli.common import Json, Quiet
from ocrpack.cli.packager_options import PlainHttp, Reference


def command(
    reference: Reference,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="PATH", help="A file (*.zip) or a folder.", show_default="here")
    ] = Path(),
    force: Annotated[bool, typer.Option("--force", help="Replace another file of that name.")] = False,
    plain_http: PlainHttp = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Download a bundle from an OCI registry; the highest version where no tag is named.

    Example: ocrpack pull registry.example.org/ocr/tesseract:1.0.0
    """
    from ocrpack.bundle import pull

    with console.Progress(quiet=quiet or json).shown() as progress:
        progress.doing(f"pull {reference}")
        path, manifest = pull(
            reference, output, plain_http=plain_http, force=force, total=progress.total, progress=progress.advance
        )
    if json:
        console.print_json(
            {"bundle": str(path), "name": manifest.name, "version": manifest.version, "digest": manifest.digest}
        )
    else:
        console.result(str(path))
