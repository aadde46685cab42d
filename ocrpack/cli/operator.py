"""The deployer's commands for what is deployed: status, stop, start, restart, prune, remove and logs."""

from __future__ import annotations

import itertools
import sys
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ocrpack.cli import console
from ocrpack.cli.common import DryRun, Json, LockWait, Name, Quiet, RootFolder, find_root, moment
from ocrpack.errors import UsageError

if TYPE_CHECKING:
    from ocrpack.deploy.store.layout import Deployment
    from ocrpack.deploy.supervisor.status import Status
    from ocrpack.logs import Event


def status(name: Name = None, root: RootFolder = None, json: Json = False, quiet: Quiet = False) -> None:
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


def releases(name: Name = None, root: RootFolder = None, json: Json = False, quiet: Quiet = False) -> None:
    """List the releases that the root holds, failed ones too, with the disk that each takes alone.

    Example: ocrpack list
    """
    from ocrpack.deploy.store import listing

    place = find_root(root)
    found = listing.releases(place, [place.find(name).name] if name is not None else place.names())
    if json:
        console.print_json({"releases": [one.as_dict() for one in found]})
    elif found:
        columns = ["NAME", "VERSION", "DIGEST", "STANDING", "PROMOTED", "SIZE"]
        console.table(
            columns,
            [
                [one.name, one.version, one.digest[:12], one.standing, one.promoted or "-", console.size(one.bytes)]
                for one in found
            ],
        )
    else:
        console.say(f"nothing is deployed in {place.path}", quiet=quiet)


def _row(one: Status) -> list[str]:
    texts = (one.name, one.version, one.state, one.url, one.pid, console.duration(one.uptime_s), one.restarts)
    return ["-" if text is None else str(text) for text in texts]


def _report(deployment: Deployment, what: str, json: bool, quiet: bool) -> None:
    from ocrpack.deploy.supervisor import status

    now = status.status(deployment)
    if json:
        console.print_json({"deployments": [now.as_dict()]})
    elif not quiet:
        console.result(f"{deployment.name} {what}" + (f" on {now.url}" if now.state == "running" else ""))


def _would(deployment: Deployment, what: str, json: bool) -> None:
    if json:
        console.print_json({"dry_run": True, "name": deployment.name, "would": what})
    else:
        console.result(f"would {what} {deployment.name} ({deployment.current or 'no release'})")


def stop(
    name: Name = None, root: RootFolder = None, lock_wait: LockWait = 0, dry_run: DryRun = False,
    json: Json = False, quiet: Quiet = False,
) -> None:  # fmt: skip
    """Finish the running requests and end a deployment's processes.

    Example: ocrpack stop tesseract
    """
    from ocrpack.deploy.operations import lifecycle

    deployment = find_root(root).find(name)
    if dry_run:
        _would(deployment, "stop", json)
        return
    ran = lifecycle.stop(deployment, lock_wait)
    _report(deployment, "is stopped" if ran else "was not running", json, quiet)


def start(
    name: Name = None, root: RootFolder = None, lock_wait: LockWait = 0, dry_run: DryRun = False,
    json: Json = False, quiet: Quiet = False,
) -> None:  # fmt: skip
    """Start the current release of a deployment, for example after a reboot.

    Example: ocrpack start tesseract
    """
    from ocrpack.deploy.operations import lifecycle

    deployment = find_root(root).find(name)
    if dry_run:
        _would(deployment, "start", json)
        return
    lifecycle.start(deployment, lock_wait)
    _report(deployment, "serves", json, quiet)


def restart(
    name: Name = None, root: RootFolder = None, lock_wait: LockWait = 0, dry_run: DryRun = False,
    json: Json = False, quiet: Quiet = False,
) -> None:  # fmt: skip
    """Replace a deployment's processes by new ones, which take over once they are proven.

    Example: ocrpack restart tesseract
    """
    from ocrpack.deploy.operations import lifecycle

    deployment = find_root(root).find(name)
    if dry_run:
        _would(deployment, "restart", json)
        return
    lifecycle.restart(deployment, lock_wait)
    _report(deployment, "serves", json, quiet)


def prune(
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


def remove(
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
        _would(deployment, "remove", json)
        return
    if not yes and not json and sys.stdin.isatty():
        typer.confirm(f"Delete {name} with all its releases and logs?", abort=True, err=True)
    lifecycle.remove(place, deployment, lock_wait)
    if json:
        console.print_json({"removed": name})
    elif not quiet:
        console.result(f"{name} is removed")


def logs(
    name: Name = None,
    root: RootFolder = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as lines are written.")] = False,
    since: Annotated[str | None, typer.Option(metavar="TIME", help="1h, 30m, 2d, or an ISO time.")] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="1h, 30m, 2d, or an ISO time.")] = None,
    level: Annotated[Literal["debug", "info", "warning", "error"], typer.Option(help="The lowest level.")] = "info",
    phase: Annotated[str, typer.Option(metavar="PHASE", help="Events of one phase of a deploy.")] = "",
    grep: Annotated[str, typer.Option(metavar="REGEX", help="Lines that match.")] = "",
    instance: Annotated[bool, typer.Option("--instance", help="The app's output alone.")] = False,
    deploys: Annotated[bool, typer.Option("--deploys", help="Deployment events alone.")] = False,
    lines: Annotated[int | None, typer.Option("--lines", "-n", min=0, help="The last lines only.")] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show what happened: deployment events and the app's output, in the order of time.

    Example: ocrpack logs tesseract --since 1h --level warning
    """
    import re

    from ocrpack import logs

    try:
        re.compile(grep)
    except re.error as error:
        raise UsageError(
            f"--grep {grep!r} is no regular expression: {error}", "quote special characters with \\"
        ) from None
    if instance and deploys:
        raise UsageError("--instance and --deploys exclude each other", "leave both out to see all")
    query = logs.Query(moment(since), moment(until), level, phase, grep)
    deployment = find_root(root).find(name)
    sources: list[tuple[Path, logs.Parser]] = []
    if not instance:
        sources.append((deployment.deploy_log, logs.parse_journal_line))
    if not deploys:
        sources.append((deployment.instance_log, logs.parse_instance_line))
    past, coming = logs.follow(sources, query) if follow else (logs.merged(sources, query), iter(()))
    shown = past if lines is None else deque(past, lines)
    for event in itertools.chain(shown, coming):
        if json:
            console.print_json(event.as_dict(), lines=True)
        else:
            _show_event(event)


def _show_event(event: Event) -> None:
    from rich.text import Text

    line = Text()
    line.append(f"{event.time or '-':<24} ", "dim")
    line.append(f"{event.level:<7} ", {"error": "bold red", "warning": "yellow"}.get(event.level, "green"))
    if event.event == "output" and not event.phase:
        line.append(f"{event.release} | ", "cyan")
    else:
        what = event.phase or event.event
        line.append(f"{what} {event.event if event.phase else ''}".rstrip() + " ", "magenta")
    line.append(console.visible(event.message))
    if event.seconds is not None:
        line.append(f" ({event.seconds:.2f} s)", "dim")
    console.stdout().print(line)


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (status, stop, start, restart, prune, remove, logs):
        app.command()(command)
    app.command("list")(releases)
