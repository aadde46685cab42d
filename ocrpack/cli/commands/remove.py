"""`ocrpack remove`: delete a deployment."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from ocrpack.cli import console
from ocrpack.cli.common import DryRun, Json, LockWait, Quiet, RootFolder, find_root
from ocrpack.cli.deployments import show_intent


def command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The deployment.")],
    root: RootFolder = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    lock_wait: LockWait = 0,
    dry_run: DryRun = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Stop a deployment and delete its releases, logs and secrets from this machine.

    Example: ocrpack remove tesseract --yes
    """
    from ocrpack.deploy.operations import lifecycle

    place = find_root(root)
    deployment = place.find(name)
    if dry_run:
        show_intent(deployment, "remove", json)
        return
    if not yes and not json and sys.stdin.isatty():
        typer.confirm(f"Delete {name} with all its releases and logs?", abort=True, err=True)
    lifecycle.remove(place, deployment, lock_wait)
    if json:
        console.print_json({"removed": name})
    elif not quiet:
        console.result(f"{name} is removed")
