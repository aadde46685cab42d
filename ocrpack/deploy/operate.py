"""What a deployer does with deployments that are there: status, stop, start, restart, verify, remove."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from dataclasses import dataclass
from typing import Any

from ocrpack import journal as log
from ocrpack.deploy import check, control, environment, pipeline, release
from ocrpack.deploy.check import Address, SampleResult
from ocrpack.deploy.root import Deployment, Record, Root, remove_tree
from ocrpack.deploy.switch import current_release, serve_current
from ocrpack.errors import BundleError, Finding, NotFoundError, OcrpackError, PreflightError, Where
from ocrpack.journal import Journal


@dataclass(frozen=True)
class Status:
    """How a deployment stands; `state` is one of those in the operator's guide."""

    name: str
    version: str | None
    digest: str | None
    state: str
    url: str | None
    pid: int | None
    uptime_s: float | None
    restarts: int

    def as_dict(self) -> dict[str, Any]:
        """Return the status as JSON-ready values."""
        return dataclasses.asdict(self)


def status(deployment: Deployment) -> Status:
    """Return how a deployment stands, without changing anything."""
    try:
        state, current = deployment.load_state(), deployment.current
    except PreflightError:
        return Status(deployment.name, None, None, "damaged", None, None, None, 0)
    record = state.releases.get(current) if current else None
    version, digest = (record.version, record.digest) if record else (None, None)
    url = str(Address(state.host, state.port).reachable) if state.port else None
    supervisor = control.connect(deployment)
    if supervisor is None:
        word = "empty" if current is None else "stopped" if state.desired == "stopped" else "failed"
        word = "unsupervised" if control.leftovers(deployment) else word
        return Status(deployment.name, version, digest, word, url, None, None, 0)
    with supervisor:
        answer = supervisor.ask("status")
    serving = next((item for item in answer["generations"] if item["number"] == answer["serving"]), None)
    if serving is None:
        word = "empty" if current is None else "stopped" if state.desired == "stopped" else "failed"
        return Status(deployment.name, version, digest, word, url, answer["pid"], None, answer["restarts"])
    if not serving.get("alive", True):  # a supervisor of an older ocrpack does not tell
        return Status(deployment.name, version, digest, "restarting", url, None, None, answer["restarts"])
    uptime = round(time.time() - serving["started"], 1)
    return Status(deployment.name, version, digest, "running", url, serving["pid"], uptime, answer["restarts"])


def stop(deployment: Deployment, lock_wait_s: float = 0) -> bool:
    """Finish the running requests, end everything, and return whether anything ran.

    Neither a full disk nor a damaged state keeps it from stopping.
    """
    with deployment.lock("stop", lock_wait_s):
        journal = _journal(deployment)
        with contextlib.suppress(OSError):
            journal.write("begin", f"stop {deployment.name}", release=deployment.current or "")
        ran = control.stop_supervisor(deployment)
        deployment.save_state(dataclasses.replace(deployment.load_state(), desired="stopped"))
        journal.write("end", f"stop {deployment.name} done", release=deployment.current or "", ok=True)
    return ran


def start(deployment: Deployment, lock_wait_s: float = 0) -> Status:
    """Start the current release if it does not run, and return once it is ready.

    Raises:
        NotFoundError: nothing was ever deployed.
        BootError: the app did not come up.
    """
    with deployment.lock("start", lock_wait_s):
        if status(deployment).state != "running":
            _serve(deployment, "start")
    return status(deployment)


def restart(deployment: Deployment, lock_wait_s: float = 0) -> Status:
    """Replace the running processes of the current release by new ones, which take over when they are proven.

    Raises:
        NotFoundError: nothing was ever deployed.
        BootError: the new processes did not come up; the old ones go on.
        SmokeError: the new processes read a sample wrong; the old ones go on.
    """
    with deployment.lock("restart", lock_wait_s):
        _serve(deployment, "restart")
    return status(deployment)


def _serve(deployment: Deployment, what: str) -> None:
    name, record, _, _ = current_release(deployment)
    journal = _journal(deployment)
    with journal.command(f"{what} {deployment.name} {record.version}", name):
        release.clean_leftovers(Root(deployment.root), deployment)
        try:
            serve_current(deployment, journal)
        except BaseException:
            if status(deployment).state not in {"running", "restarting"}:
                control.stop_supervisor(deployment)
            raise


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
    address = Address(state.host, state.port)
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
    with deployment.lock("remove", lock_wait_s):
        control.stop_supervisor(deployment)
        remove_tree(deployment.folder)
    release.prune_blobs(root)
    with contextlib.suppress(PreflightError):  # another deployment's state is damaged: its environment must stay
        pipeline.prune_environments(root)
