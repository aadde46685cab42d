"""`ocrpack prune`: delete old releases."""

from __future__ import annotations

from typing import Annotated

import typer

from ocrpack.cli import console
from ocrpack.cli.common import DryRun, Json, LockWait, Name, Quiet, RootFolder, find_root


def command(
    name: Name = None,
    root: RootFolder = None,
    keep: Annotated[int, typer.Option(min=1, help="How many releases to keep.")] = 5,
    lock_wait: LockWait = 0,
    dry_run: DryRun = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Delete old releases and failures, and the environments and weights that nothing uses then.

    What serves, what served last before it, and what still runs always stay.

    Example: ocrpack prune tesseract --keep 2
    """
    from ocrpack.deploy.operations import lifecycle

    place = find_root(root)
    deployment = place.find(name)
    removed = lifecycle.prune(place, deployment, keep, lock_wait, dry_run=dry_run)
    if json:
        console.print_json({"name": deployment.name, "dry_run": dry_run, "removed": removed})
        return
    verb = "would remove" if dry_run else "removed"
    for one in removed:
        console.result(f"{verb} {one}")
    if not removed:
        console.say("nothing to remove", quiet=quiet)
