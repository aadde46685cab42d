"""The deployer's commands: deploy, verify, status, stop, start, restart, remove and logs."""

from __future__ import annotations

import itertools
import sys
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ocrpack.cli import console
from ocrpack.cli.common import DryRun, Json, LockWait, Name, Quiet, RootFolder, moment
from ocrpack.errors import BundleError, OcrpackError, PreflightError, UsageError, VerifyError

if TYPE_CHECKING:
    from ocrpack.deploy.operate import Status
    from ocrpack.deploy.pipeline import Deployed
    from ocrpack.deploy.preflight import Plan
    from ocrpack.deploy.root import Deployment, Root
    from ocrpack.journal import Event

Installer = Annotated[Literal["auto", "uv", "pip"], typer.Option(help="What makes the virtual environment.")]
TagRepo = Annotated[Path | None, typer.Option(metavar="DIR", help="The git repository to tag the version in.")]


def _root(path: Path | None) -> Root:
    if sys.platform == "win32":
        raise PreflightError(
            "this command runs on Linux and macOS", "on Windows, follow SETUP.md in the bundle, or use WSL"
        )
    from ocrpack.deploy.root import Root, default_root

    return Root((path or default_root()).expanduser().absolute())


def deploy(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="The bundle that `ocrpack build` made.")],
    root: RootFolder = None,
    host: Annotated[str | None, typer.Option(help="Listen on this address instead of the descriptor's.")] = None,
    port: Annotated[int | None, typer.Option(help="Listen on this port instead of the descriptor's.")] = None,
    any_port: Annotated[bool, typer.Option("--any-port", help="Take the next free port if it is taken.")] = False,
    tag_repo: TagRepo = None,
    no_tag: Annotated[bool, typer.Option("--no-tag", help="Do not tag the version in git.")] = False,
    secrets: Annotated[Path | None, typer.Option(metavar="FILE", help="Secrets, NAME=value a line, mode 0600.")] = None,
    installer: Installer = "auto",
    boot_deadline: Annotated[float | None, typer.Option(metavar="SECONDS", min=0.1, help="Time to get ready.")] = None,
    install_deadline: Annotated[float, typer.Option(metavar="SECONDS", min=1, help="Time to install.")] = 1800,
    keep: Annotated[int, typer.Option(min=1, help="How many releases to keep.")] = 5,
    lock_wait: LockWait = 0,
    dry_run: DryRun = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Bring a bundle into service: unpacked, installed, proven by its samples, tagged and logged.

    Example: ocrpack deploy dist/tesseract-1.0.0.zip --port 8080
    """
    from ocrpack.bundle import Archive
    from ocrpack.deploy import pipeline, preflight

    place = _root(root)
    options = preflight.Options(
        host, port, any_port, tag_repo, not no_tag, installer, boot_deadline, install_deadline, lock_wait, secrets, keep
    )
    if dry_run:
        preflight.require_port(options)
        with Archive(bundle) as archive:
            _show_plan(preflight.plan(archive, place, bundle, options), json)
        return
    with console.Progress(quiet=quiet or json).shown() as progress:
        listener = pipeline.Listener(progress.event, progress.total, progress.advance)
        deployed = pipeline.deploy(bundle, place, options, listener)
    if json:
        console.print_json(pipeline.as_json(deployed))
    else:
        _show_deployed(deployed, quiet)


def _show_plan(plan: Plan, as_json: bool) -> None:
    ready = "reused" if plan.environment_ready else "to be made"
    facts = {
        "name": plan.manifest.name,
        "version": plan.manifest.version,
        "digest": plan.manifest.digest,
        "release": str(plan.deployment.releases / plan.release),
        "python": f"{plan.python.version} ({plan.python.executable})",
        "environment": f"{plan.environment_key} ({ready})",
        "address": f"{plan.host}:{plan.port}",
        "samples": len(plan.descriptor.samples),
        "tag_repository": str(plan.ledger.path) if plan.ledger else None,
    }
    if as_json:
        console.print_json({"dry_run": True, **facts, "warnings": [finding.as_dict() for finding in plan.warnings]})
        return
    console.findings(plan.warnings)
    for label, value in facts.items():
        console.result(f"{label.replace('_', ' '):<15} {value}")


def _show_deployed(deployed: Deployed, quiet: bool) -> None:
    console.findings(deployed.warnings)
    console.result(f"{deployed.name} {deployed.version} serves on {deployed.url}")
    count = console.counted(len(deployed.samples), "sample")
    worst = max((sample.cer or 0 for sample in deployed.samples), default=None)
    proof = "no samples" if worst is None else f"{count}, worst CER {worst:.4f}"
    seconds = sum(seconds for _, seconds in deployed.phases)
    console.say(f"  proven  {proof}; {seconds:.1f} s in all", quiet=quiet)
    console.say(f"  tag     {deployed.tag or 'none'}", quiet=quiet)
    console.say(f"  logs    ocrpack logs {deployed.name}", quiet=quiet)


def verify(
    target: Annotated[
        str | None, typer.Argument(metavar="[BUNDLE|NAME]", help="A bundle file, or a deployment.")
    ] = None,
    root: RootFolder = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Check a bundle (archive, digests, descriptor) or a deployment (files, environment, health, samples).

    Example: ocrpack verify dist/tesseract-1.0.0.zip
    """
    answer: dict[str, Any]
    if target is not None and (target.endswith(".zip") or Path(target).is_file()):
        what, answer = _verify_bundle(Path(target), quiet or json)
    else:
        what, answer = _verify_deployment(_root(root), target)
    if json:
        console.print_json(answer)
    elif not quiet:
        console.result(f"{what} is sound")


def _verify_bundle(path: Path, quiet: bool) -> tuple[str, dict[str, Any]]:
    from ocrpack.bundle import Archive

    try:
        with Archive(path) as archive, console.Progress(quiet=quiet).shown() as progress:
            progress.doing("verify")
            progress.total(archive.manifest.total_bytes)
            findings = tuple(archive.check(progress.advance))
            if findings:
                raise BundleError(f"{path} is corrupt: {findings[0].message}", findings[0].remedy, findings)
            manifest = archive.manifest
            archive.descriptor()
    except OcrpackError as error:
        raise _with_answer(error, {"ok": False, "findings": error.as_dict()["findings"]}) from error
    facts = {"name": manifest.name, "version": manifest.version, "digest": manifest.digest}
    return str(path), {"ok": True, **facts, "findings": []}


def _verify_deployment(root: Root, name: str | None) -> tuple[str, dict[str, Any]]:
    from ocrpack.deploy import operate

    deployment = root.find(name)
    findings, samples = operate.verify(deployment)
    answer = {
        "ok": not findings,
        "name": deployment.name,
        "findings": [finding.as_dict() for finding in findings],
        "samples": [sample.as_dict() for sample in samples],
    }
    if findings:
        text = f"{deployment.name}: {console.counted(len(findings), 'problem')}"
        error = VerifyError(text, findings[0].remedy, tuple(findings))
        raise _with_answer(error, answer)
    return deployment.name, answer


def _with_answer(error: OcrpackError, answer: dict[str, Any]) -> OcrpackError:
    """Give an error the answer that `--json` prints beside it."""
    error.answer = answer
    return error


def status(name: Name = None, root: RootFolder = None, json: Json = False, quiet: Quiet = False) -> None:
    """Show what is deployed and whether it runs.

    Example: ocrpack status
    """
    from ocrpack.deploy import operate

    place = _root(root)
    deployments = [place.find(name)] if name is not None else [place.deployment(known) for known in place.names()]
    found = [operate.status(deployment) for deployment in deployments]
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


def _report(deployment: Deployment, what: str, json: bool, quiet: bool) -> None:
    from ocrpack.deploy import operate

    now = operate.status(deployment)
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
    from ocrpack.deploy import operate

    deployment = _root(root).find(name)
    if dry_run:
        _would(deployment, "stop", json)
        return
    ran = operate.stop(deployment, lock_wait)
    _report(deployment, "is stopped" if ran else "was not running", json, quiet)


def start(
    name: Name = None, root: RootFolder = None, lock_wait: LockWait = 0, dry_run: DryRun = False,
    json: Json = False, quiet: Quiet = False,
) -> None:  # fmt: skip
    """Start the current release of a deployment, for example after a reboot.

    Example: ocrpack start tesseract
    """
    from ocrpack.deploy import operate

    deployment = _root(root).find(name)
    if dry_run:
        _would(deployment, "start", json)
        return
    operate.start(deployment, lock_wait)
    _report(deployment, "serves", json, quiet)


def restart(
    name: Name = None, root: RootFolder = None, lock_wait: LockWait = 0, dry_run: DryRun = False,
    json: Json = False, quiet: Quiet = False,
) -> None:  # fmt: skip
    """Replace a deployment's processes by new ones, which take over once they are proven.

    Example: ocrpack restart tesseract
    """
    from ocrpack.deploy import operate

    deployment = _root(root).find(name)
    if dry_run:
        _would(deployment, "restart", json)
        return
    operate.restart(deployment, lock_wait)
    _report(deployment, "serves", json, quiet)


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
    from ocrpack.deploy import operate

    place = _root(root)
    deployment = place.find(name)
    if dry_run:
        _would(deployment, "remove", json)
        return
    if not yes and not json and sys.stdin.isatty():
        typer.confirm(f"Delete {name} with all its releases and logs?", abort=True, err=True)
    operate.remove(place, deployment, lock_wait)
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

    from ocrpack import journal

    try:
        re.compile(grep)
    except re.error as error:
        raise UsageError(
            f"--grep {grep!r} is no regular expression: {error}", "quote special characters with \\"
        ) from None
    if instance and deploys:
        raise UsageError("--instance and --deploys exclude each other", "leave both out to see all")
    query = journal.Query(moment(since), moment(until), level, phase, grep)
    deployment = _root(root).find(name)
    sources: list[tuple[Path, journal.Parser]] = []
    if not instance:
        sources.append((deployment.deploy_log, journal.parse_journal_line))
    if not deploys:
        sources.append((deployment.instance_log, journal.parse_instance_line))
    past, coming = journal.follow(sources, query) if follow else (journal.merged(sources, query), iter(()))
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
    line.append(event.message)
    if event.seconds is not None:
        line.append(f" ({event.seconds:.2f} s)", "dim")
    console.stdout().print(line)


def add_to(app: typer.Typer) -> None:
    """Add the deployer's commands."""
    for command in (deploy, verify, status, stop, start, restart, remove, logs):
        app.command()(command)
