"""Say what became of a deployment, or what would."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ocrpack.cli import console

if TYPE_CHECKING:
    from ocrpack.deploy.store.layout import Deployment


def show_state(deployment: Deployment, what: str, json: bool, quiet: bool) -> None:
    """Show that a deployment `what`, and where it serves."""
    from ocrpack.deploy.supervisor import status

    now = status.status(deployment)
    if json:
        console.print_json({"deployments": [now.as_dict()]})
    elif not quiet:
        console.result(f"{deployment.name} {what}" + (f" on {now.url}" if now.state == "running" else ""))


def show_intent(deployment: Deployment, what: str, json: bool) -> None:
    """Show what a dry run leaves undone."""
    if json:
        console.print_json({"dry_run": True, "name": deployment.name, "would": what})
    else:
        console.result(f"would {what} {deployment.name} ({deployment.current or 'no release'})")
