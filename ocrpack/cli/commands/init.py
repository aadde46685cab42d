"""`ocrpack init`: write a new bundle source, or describe an app that is there."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ocrpack.cli import console
from ocrpack.cli.common import Json, Quiet
from ocrpack.errors import UsageError


def command(
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
    from ocrpack.bundle import describe_app, new_source

    if (folder is None) == (app is None):
        raise UsageError("name a new folder, or the folder of an app with --from", "`ocrpack init --help` shows both")
    draft = new_source(folder, engine) if folder is not None else describe_app(app or Path(), force=force)
    if json:
        found = [finding.as_dict() for finding in draft.findings]
        console.print_json({"folder": str(draft.folder), "written": list(draft.written), "findings": found})
        return
    console.findings(draft.findings)
    for name in draft.written:
        console.result(str(draft.folder / name))
    console.say(f"  next    ocrpack validate {draft.folder}, then ocrpack build {draft.folder}", quiet=quiet)
