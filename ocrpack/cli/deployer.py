"""The deployer's commands that bring a release into service and prove it: deploy, rollback and verify."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ocrpack.cli import console
from ocrpack.cli.common import DryRun, Json, LockWait, Name, Quiet, RootFolder, find_root
from ocrpack.errors import BundleError, OcrpackError, VerifyError

if TYPE_CHECKING:
    from ocrpack.deploy.operations.changeover import Callbacks, Deployed
    from ocrpack.deploy.proof.prove import Comparison
    from ocrpack.deploy.steps.plan import Plan
    from ocrpack.deploy.store.layout import Root


Installer = Annotated[Literal["auto", "uv", "pip"], typer.Option(help="What makes the virtual environment.")]
TagRepo = Annotated[Path | None, typer.Option(metavar="DIR", help="The git repository to tag the version in.")]
NoTag = Annotated[bool, typer.Option("--no-tag", help="Do not tag the version in git.")]
InstallDeadline = Annotated[float, typer.Option(metavar="SECONDS", min=1, help="Time to install.")]
Keep = Annotated[int, typer.Option(min=1, help="How many releases to keep.")]
Observe = Annotated[
    float, typer.Option(metavar="SECONDS", min=0, help="Watch it on the public address that long, then drain the old.")
]
StopFirst = Annotated[
    bool, typer.Option("--stop-first", help="Stop what runs first, where memory is short; clients wait.")
]
MaxRegression = Annotated[
    float | None,
    typer.Option(metavar="CER", min=0, help="Refuse it if a sample's error rate is higher than now by more than that."),
]
Offline = Annotated[
    bool, typer.Option("--offline", help="Use no network: the bundle's own wheels, and weights that are here.")
]
AllowedSigners = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Refuse a bundle that none of these signed (man ssh-keygen).")
]
WeightsFolder = Annotated[
    Path | None, typer.Option("--weights", metavar="DIR", help="Where the weights of a thin bundle are.")
]


def deploy(
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
    with _listener(quiet or json) as listener:
        deployed = deploy.deploy(bundle, place, options, listener)
    _show_deployed(deployed, json, quiet)


@contextlib.contextmanager
def _listener(quiet: bool) -> Iterator[Callbacks]:
    from ocrpack.deploy.operations.changeover import Callbacks

    with console.Progress(quiet=quiet).shown() as progress:
        yield Callbacks(progress.event, progress.total, progress.advance)


def rollback(
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
    with _listener(quiet or json) as listener:
        deployed = rollback.rollback(deployment, to, place, options, listener)
    _show_deployed(deployed, json, quiet)


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


def _show_deployed(deployed: Deployed, as_json: bool, quiet: bool) -> None:
    if as_json:
        console.print_json(deployed.as_dict())
        return
    console.findings(deployed.warnings)
    console.result(f"{deployed.name} {deployed.version} serves on {deployed.url}")
    count = console.counted(len(deployed.proof.samples), "sample")
    worst = max((sample.cer or 0 for sample in deployed.proof.samples), default=None)
    proof = "no samples" if worst is None else f"{count}, worst CER {worst:.4f}"
    seconds = sum(seconds for _, seconds in deployed.phases)
    console.say(f"  proven  {proof}; {seconds:.1f} s in all", quiet=quiet)
    for one in deployed.proof.comparison:
        console.say(f"  before  {_compared(one)}", quiet=quiet)
    console.say(f"  tag     {deployed.tag or 'none'}", quiet=quiet)
    if deployed.signer:
        console.say(f"  signed  by {deployed.signer}", quiet=quiet)
    console.say(f"  logs    ocrpack logs {deployed.name}", quiet=quiet)


def _compared(one: Comparison) -> str:
    before = one.problem_before or f"CER {one.cer_before:.4f}"
    now = f"now CER {one.cer:.4f} in {one.seconds:.2f} s"
    text = "the same text" if one.same_text else "another text"
    return f"{one.image}: {before} in {one.seconds_before:.2f} s, {now}, {text}"


def verify(
    target: Annotated[
        str | None, typer.Argument(metavar="[BUNDLE|NAME]", help="A bundle file, or a deployment.")
    ] = None,
    allowed_signers: AllowedSigners = None,
    root: RootFolder = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Check a bundle (archive, digests, descriptor) or a deployment (files, environment, health, samples).

    Example: ocrpack verify dist/tesseract-1.0.0.zip
    """
    answer: dict[str, Any]
    if target is not None and (target.endswith(".zip") or Path(target).is_file()):
        what, answer = _verify_bundle(Path(target), allowed_signers, quiet or json)
    else:
        what, answer = _verify_deployment(find_root(root), target)
    if json:
        console.print_json(answer)
    elif not quiet:
        console.result(f"{what} is sound")


def _verify_bundle(path: Path, allowed: Path | None, quiet: bool) -> tuple[str, dict[str, Any]]:
    from ocrpack.bundle import Archive, verify_signature

    signer = None
    try:
        with Archive(path) as archive, console.Progress(quiet=quiet).shown() as progress:
            progress.doing("verify")
            progress.total(archive.manifest.total_bytes)
            findings = tuple(archive.check(progress.advance))
            if findings:
                raise BundleError(f"{path} is corrupt: {findings[0].message}", findings[0].remedy, findings)
            manifest = archive.manifest
            if allowed is not None:
                signer = verify_signature(path.name, manifest.digest, archive.signature(), allowed)
            archive.descriptor()
    except OcrpackError as error:
        raise _with_answer(error, {"ok": False, "findings": error.as_dict()["findings"]}) from error
    absent = [entry.path for entry in archive.absent]
    facts = {"name": manifest.name, "version": manifest.version, "digest": manifest.digest, "signer": signer}
    what = f"{path} ({console.counted(len(absent), 'weight')} left out)" if absent else str(path)
    return what, {"ok": True, **facts, "absent": absent, "findings": []}


def _verify_deployment(root: Root, name: str | None) -> tuple[str, dict[str, Any]]:
    from ocrpack.deploy.operations.verify import verify as check
    from ocrpack.deploy.steps import recover

    deployment = root.find(name)
    recover.mend(root, deployment)
    findings, samples = check(deployment)
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


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (deploy, rollback, verify):
        app.command()(command)
