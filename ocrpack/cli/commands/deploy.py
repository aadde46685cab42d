"""`ocrpack deploy`: bring a bundle into service."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ocrpack.cli import console
from ocrpack.cli.common import DryRun, Json, LockWait, Quiet, RootFolder, find_root
from ocrpack.cli.deploy_options import (
    AllowedSigners,
    InstallDeadline,
    Installer,
    Keep,
    MaxRegression,
    NoTag,
    Observe,
    Offline,
    StopFirst,
    TagRepo,
    WeightsFolder,
)
from ocrpack.cli.deploy_outcome import deploy_listener, show_deployed

if TYPE_CHECKING:
    from ocrpack.deploy.steps.plan import Plan


def command(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="The bundle that `ocrpack build` made.")],
    root: RootFolder = None,
    host: Annotated[str | None, typer.Option(help="Listen on this address instead of the descriptor's.")] = None,
    port: Annotated[int | None, typer.Option(help="Listen on this port instead of the descriptor's.")] = None,
    any_port: Annotated[bool, typer.Option("--any-port", help="Take the next free port if it is taken.")] = False,
    tag_repo: TagRepo = None,
    no_tag: NoTag = False,
    secrets: Annotated[Path | None, typer.Option(metavar="FILE", help="Secrets, NAME=value a line, mode 0600.")] = None,
    offline: Offline = False,
    weights: WeightsFolder = None,
    allowed_signers: AllowedSigners = None,
    installer: Installer = "auto",
    boot_deadline: Annotated[float | None, typer.Option(metavar="SECONDS", min=0.1, help="Time to get ready.")] = None,
    install_deadline: InstallDeadline = 1800,
    observe: Observe = 0,
    max_regression: MaxRegression = None,
    stop_first: StopFirst = False,
    keep: Keep = 5,
    lock_wait: LockWait = 0,
    dry_run: DryRun = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Bring a bundle into service: unpacked, installed, proven by its samples, tagged and logged.

    Example: ocrpack deploy dist/tesseract-1.0.0.zip --port 8080
    """
    from ocrpack.bundle import Archive
    from ocrpack.deploy.operations import deploy
    from ocrpack.deploy.steps import preflight
    from ocrpack.deploy.steps.options import Care, Options

    place = find_root(root)
    options = Options(
        host=host,
        port=port,
        any_port=any_port,
        tag_repo=tag_repo,
        tag=not no_tag,
        installer=installer,
        boot_seconds=boot_deadline,
        install_seconds=install_deadline,
        lock_wait_s=lock_wait,
        secrets_file=secrets,
        keep=keep,
        offline=offline,
        weights=weights,
        allowed_signers=allowed_signers,
        care=Care(observe_s=observe, max_regression=max_regression, stop_first=stop_first),
    )
    if dry_run:
        preflight.require_port(options)
        with Archive(bundle) as archive:
            _show_plan(preflight.plan(archive, place, bundle, options), json)
        return
    with deploy_listener(quiet or json) as listener:
        deployed = deploy.deploy(bundle, place, options, listener)
    show_deployed(deployed, json, quiet)


def _show_plan(plan: Plan, as_json: bool) -> None:
    ready = "reused" if plan.environment_ready else "to be made" + (", without a network" if plan.offline else "")
    facts = {
        "name": plan.manifest.name,
        "version": plan.manifest.version,
        "digest": plan.manifest.digest,
        "release": str(plan.deployment.releases / plan.release),
        "python": f"{plan.python.version} ({plan.python.executable})",
        "environment": f"{plan.environment_key} ({ready})",
        "address": f"{plan.host}:{plan.port}",
        "samples": len(plan.descriptor.samples),
        "signer": plan.signer,
        "tag_repository": str(plan.ledger.path) if plan.ledger else None,
    }
    if as_json:
        console.print_json({"dry_run": True, **facts, "warnings": [finding.as_dict() for finding in plan.warnings]})
        return
    console.findings(plan.warnings)
    for label, value in facts.items():
        console.result(f"{label.replace('_', ' '):<15} {value}")
