"""`ocrpack restart`: replace a deployment's processes."""

from __future__ import annotations

from ocrpack.cli.common import DryRun, Json, LockWait, Name, Quiet, RootFolder, find_root
from ocrpack.cli.deployments import show_intent, show_state


def command(
    name: Name = None,
    root: RootFolder = None,
    lock_wait: LockWait = 0,
    dry_run: DryRun = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Replace a deployment's processes by new ones, which take over once they are proven.

    Example: ocrpack restart tesseract
    """
    from ocrpack.deploy.operations import lifecycle

    deployment = find_root(root).find(name)
    if dry_run:
        show_intent(deployment, "restart", json)
        return
    lifecycle.restart(deployment, lock_wait)
    show_state(deployment, "serves", json, quiet)
