"""What a deployer does with deployments that are there: stop, start, restart, verify, prune, remove."""

from __future__ import annotations

import dataclasses

from ocrpack import journal as log
from ocrpack.deploy import check, control, environment, lock, process, recover, release, secret, service
from ocrpack.deploy.check import SampleResult
from ocrpack.deploy.look import Status, status
from ocrpack.deploy.probe import public
from ocrpack.deploy.root import Deployment, Record, Root, remove_tree
from ocrpack.deploy.switch import current_release, serve_current
from ocrpack.errors import BundleError, Finding, NotFoundError, OcrpackError, Where
from ocrpack.journal import Journal


def stop(deployment: Deployment, lock_wait_s: float = 0) -> bool:
    """Finish the running requests, end everything, and return whether anything ran.

    Neither a full disk nor a damaged state keeps it from stopping.
    """
    journal = _journal(deployment)
    journal.forgive()
    with (
        lock.hold(deployment, "stop", lock_wait_s, journal.deploy),
        journal.command(f"stop {deployment.name}", deployment.current or "", process=recover.me()),
    ):
        try:
            deployment.save_state(dataclasses.replace(deployment.load_state(), desired="stopped"))
        finally:
            unit = service.owner(deployment)
            ran = unit is not None and unit.stop()
            ran = control.stop_supervisor(deployment) or ran
        if deployment.half_way:
            recover.end_promotion(deployment, journal)
            deployment.save_state(dataclasses.replace(deployment.load_state(), desired="stopped"))
    return ran


def start(deployment: Deployment, lock_wait_s: float = 0) -> Status:
    """Start the current release if it does not run, and return once it is ready.

    Raises:
        NotFoundError: nothing was ever deployed.
        BootError: the app did not come up.
    """
    journal = _journal(deployment)
    with lock.hold(deployment, "start", lock_wait_s, journal.deploy):
        recover.recover(Root(deployment.root), deployment, journal)
        if status(deployment).state != "running":
            _serve(deployment, "start", journal)
    return status(deployment)


def restart(deployment: Deployment, lock_wait_s: float = 0) -> Status:
    """Replace the running processes of the current release by new ones, which take over when they are proven.

    Raises:
        NotFoundError: nothing was ever deployed.
        BootError: the new processes did not come up; the old ones go on.
        SmokeError: the new processes read a sample wrong; the old ones go on.
    """
    journal = _journal(deployment)
    with lock.hold(deployment, "restart", lock_wait_s, journal.deploy):
        recover.recover(Root(deployment.root), deployment, journal)
        _serve(deployment, "restart", journal)
    return status(deployment)


def _serve(deployment: Deployment, what: str, journal: Journal) -> None:
    name, record, _, _ = current_release(deployment)
    with (
        process.mark_children(journal.deploy),
        journal.command(f"{what} {deployment.name} {record.version}", name, process=recover.me()),
    ):
        try:
            serve_current(deployment, journal)
        except BaseException:
            recover.keep_or_stop(deployment)
            raise


def prune(root: Root, deployment: Deployment, keep: int, lock_wait_s: float = 0, *, dry_run: bool = False) -> list[str]:
    """Remove releases beyond the newest `keep`, old failures, and what nothing uses then; return their names.

    Never current, the last known good one, or a release with live processes.
    """
    if dry_run:
        return recover.prune(root, deployment, keep, dry_run=True)
    journal = _journal(deployment)
    with (
        lock.hold(deployment, "prune", lock_wait_s, journal.deploy),
        journal.command(f"prune {deployment.name}", deployment.current or "", process=recover.me()),
    ):
        recover.recover(root, deployment, journal)
        removed = recover.prune(root, deployment, keep)
        journal.write("note", f"removed {', '.join(removed) or 'nothing'}", phase="prune")
    return removed


def _journal(deployment: Deployment) -> Journal:
    return Journal(deployment.deploy_log, log.new_deploy_id())


def verify(deployment: Deployment) -> tuple[list[Finding], tuple[SampleResult, ...]]:
    """Check files, environment, health and samples of a deployment; no findings mean that all is sound.

    Raises:
        NotFoundError: nothing was ever deployed.
    """
    try:
        name, record, descriptor, folder = current_release(deployment)
    except (OcrpackError, OSError) as error:
        if isinstance(error, NotFoundError):
            raise
        return [Finding("descriptor", str(error), "deploy the bundle again")], ()
    findings = release.check(folder)
    try:
        if release.read_manifest(folder).digest != record.digest:
            text = f"{name} is not the bundle that was deployed"
            findings.append(Finding("manifest", text, "deploy the bundle again", Where(str(folder))))
    except BundleError:
        pass  # release.check has said it
    findings += _environment_findings(deployment, record)
    now = status(deployment)
    if now.state != "running":
        text = f"{deployment.name} is {now.state}"
        return [*findings, Finding("not-running", text, f"`ocrpack start {deployment.name}`")], ()
    state = deployment.load_state()
    known = secret.load(deployment.secrets, record.launch.secrets)
    address = public(record.launch, known, state.host, state.port)
    findings += check.health(address, descriptor)
    samples = tuple(check.run_sample(address, descriptor, folder, sample) for sample in descriptor.samples)
    findings += [sample.finding for sample in samples if sample.finding is not None]
    return findings, samples


def _environment_findings(deployment: Deployment, record: Record) -> list[Finding]:
    made = environment.find(Root(deployment.root), record.environment)
    if made is None:
        text = f"the environment {record.environment} is gone or unfinished"
        return [Finding("environment", text, "deploy the bundle again")]
    return environment.check(made)


def remove(root: Root, deployment: Deployment, lock_wait_s: float = 0) -> None:
    """Stop a deployment and delete all of it, with the environments and weights that nothing else uses."""
    with lock.hold(deployment, "remove", lock_wait_s):
        unit = service.owner(deployment)
        if unit is not None:
            unit.remove()
        control.stop_supervisor(deployment)
        remove_tree(deployment.folder)
    recover.remove_unused(root)
