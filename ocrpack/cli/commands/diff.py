"""`ocrpack diff`: show how two bundles differ."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ocrpack.cli import console
from ocrpack.cli.common import Json, Quiet

if TYPE_CHECKING:
    from ocrpack.bundle import Change


def command(
    bundle: Annotated[Path, typer.Argument(metavar="A", help="A bundle.")],
    other: Annotated[Path, typer.Argument(metavar="B", help="Another one.")],
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show how two bundles differ: packages, weights, descriptor, files and measured samples.

    Example: ocrpack diff dist/tesseract-1.0.0.zip dist/tesseract-1.1.0.zip
    """
    from ocrpack.bundle import Archive, card, differences

    with Archive(bundle) as one, Archive(other) as two:
        before, after = card(one), card(two)
    found = differences(before, after)
    if json:
        ends = {"before": before.manifest.digest, "after": after.manifest.digest}
        console.print_json({**ends, "changes": [asdict(change) for change in found]})
        return
    if before.manifest.digest == after.manifest.digest:
        console.result("the same bundle")
    elif quiet:
        console.result("they differ")
    for change in [] if quiet else found:
        console.result(_shown(change))


def _shown(change: Change) -> str:
    if change.before is None:
        return f"+ {change.kind:<10} {change.what}: {change.after}"
    if change.after is None:
        return f"- {change.kind:<10} {change.what}: {change.before}"
    return f"~ {change.kind:<10} {change.what}: {change.before} -> {change.after}"
