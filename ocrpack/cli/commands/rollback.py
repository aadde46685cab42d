"""`ocrpack rollback`: bring an earlier release into service again."""

from __future__ import annotations

from typing import Annotated

import typer

from ocrpack.cli import console
from ocrpack.cli.common import DryRun, Json, LockWait, Name, Quiet, RootFolder, find_root
from ocrpack.cli.deploy_options import (
    InstallDeadline,
    Installer,
    Keep,
    MaxRegression,
    NoTag,
    Observe,
    StopFirst,
    TagRepo,
)
from ocrpack.cli.deploy_outcome import deploy_listener, show_deployed


def command(
    name: Name = None,
    to: Annotated[str | None, typer.Option(metavar="VERSION", help="Not the last good release, but this one.")] = None,
    root: RootFolder = None,
    tag_repo: TagRepo = None,
    no_tag: NoTag = False,
    installer: Installer = "auto",
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
    """Bring the last known good release into service again, through the same gate and without a pause.

    Example: ocrpack rollback tesseract --to 1.0.0
    """
    from ocrpack.deploy.operations import rollback
    from ocrpack.deploy.steps.options import Care, Options

    place = find_root(root)
    deployment = place.find(name)
    options = Options(
        tag_repo=tag_repo,
        tag=not no_tag,
        installer=installer,
        install_seconds=install_deadline,
        lock_wait_s=lock_wait,
        keep=keep,
        care=Care(observe_s=observe, max_regression=max_regression, stop_first=stop_first),
    )
    if dry_run:
        release, record = rollback.find_earlier(deployment, to)
        facts = {"name": deployment.name, "from": deployment.current, "to": release, "version": record.version}
        if json:
            console.print_json({"dry_run": True, **facts})
        else:
            console.result(f"would roll {deployment.name} back from {deployment.current} to {release}")
        return
    with deploy_listener(quiet or json) as listener:
        deployed = rollback.rollback(deployment, to, place, options, listener)
    show_deployed(deployed, json, quiet)
