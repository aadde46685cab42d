"""`ocrpack push`: upload a bundle to an OCI registry."""

from __future__ import annotations

from typing import Annotated

import typer

from ocrpack.cli import console
from ocrpack.cli.common import Json, Quiet
from ocrpack.cli.packager_options import Bundle, PlainHttp, Reference


def command(
    bundle: Bundle,
    reference: Reference,
    force: Annotated[bool, typer.Option("--force", help="Replace another bundle of that tag.")] = False,
    plain_http: PlainHttp = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Upload a bundle to an OCI registry; the tag is its version where none is named.

    Example: ocrpack push dist/tesseract-1.0.0.zip registry.example.org/ocr/tesseract
    """
    from ocrpack.bundle import push

    with console.Progress(quiet=quiet or json).shown() as progress:
        place = push(bundle, reference, plain_http=plain_http, force=force, on_line=progress.doing)
    if json:
        console.print_json({"bundle": str(bundle), "reference": str(place)})
    else:
        console.result(str(place))
