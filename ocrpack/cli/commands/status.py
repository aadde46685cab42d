"""`ocrpack status`: show what is deployed and whether it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ocrpack.cli import console
from ocrpack.cli.common import Json, Name, Quiet, RootFolder, find_root

if TYPE_CHECKING:
    from ocrpack.deploy.supervisor.status import Status


def command(name: Name = None, root: RootFolder = None, json: Json = False, quiet: Quiet = False) -> None:
    """Show what is deployed and whether it runs.

    Example: ocrpack status
    """
    from ocrpack.deploy.supervisor import status

    place = find_root(root)
    deployments = [place.find(name)] if name is not None else [place.deployment(known) for known in place.names()]
    for deployment in deployments:
        if status.needs_mending(deployment):
            from ocrpack.deploy.steps import recover

            recover.mend(place, deployment)
    found = [status.status(deployment) for deployment in deployments]
    if json:
        console.print_json({"deployments": [one.as_dict() for one in found]})
    elif found:
        columns = ["NAME", "VERSION", "STATE", "URL", "PID", "UP", "RESTARTS"]
        console.table(columns, [_row(one) for one in found])
    else:
        console.say(f"nothing is deployed in {place.path}", quiet=quiet)


def _row(one: Status) -> list[str]:
    texts = (one.name, one.version, one.state, one.url, one.pid, console.duration(one.uptime_s), one.restarts)
    return ["-" if text is None else str(text) for text in texts]
