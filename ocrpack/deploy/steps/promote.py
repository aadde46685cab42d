"""Take a release from its processes to the public address: boot, gate, promote, observe, drain.

Deploying, rolling back, starting and restarting all go this way.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from ocrpack import logs
from ocrpack.deploy.proof import health
from ocrpack.deploy.proof.app_client import Address, private
from ocrpack.deploy.proof.prove import BUSY, Proof, Reference, prove
from ocrpack.deploy.proof.samples import run_sample
from ocrpack.deploy.steps.options import Care
from ocrpack.deploy.steps.plan import Target
from ocrpack.deploy.store import secrets_file
from ocrpack.deploy.store.layout import Deployment
from ocrpack.deploy.store.state import Record, State
from ocrpack.deploy.supervisor import client
from ocrpack.deploy.supervisor.client import Control
from ocrpack.descriptor import DESCRIPTOR, Descriptor, parse
from ocrpack.errors import BootError, Finding, NotFoundError, OcrpackError, SmokeError
from ocrpack.logs import Journal

_TAIL_LINES = 40
_OBSERVE_PAUSE_S = 0.5
_PATIENCE = 4
_PATIENT_S = 30.0
"""How long a health endpoint may take on the public address, where others ask, too."""


@dataclass(frozen=True)
class Candidate:
    """A generation behind its gate."""

    control: Control
    number: int
    address: Address

    def ended(self) -> int | None:
        """Return the status that its master ended with, or None while it runs."""
        return self.control.poll(self.number)


def bring_into_service(supervisor: Control, target: Target, journal: Journal, care: Care) -> Proof:
    """Start a release, prove it, and let it serve in place of what served before.

    Raises:
        BootError: it did not come up, or did not answer on the public address; what served before goes on.
        SmokeError: it read a sample wrong, or worse than what serves; what served before goes on.
    """
    if care.stop_first:
        with journal.phase("stop"):
            supervisor.settle(None)
    with journal.phase("boot"):
        candidate = boot(supervisor, target)
    try:
        with journal.phase("gate"):
            reference = _running(supervisor, target, care)
            proof = prove(candidate.address, target.descriptor, target.folder, journal, reference)
        record = dataclasses.replace(target.record, samples=tuple(sample.as_dict() for sample in proof.samples))
        _promote(candidate, dataclasses.replace(target, record=record), care, journal)
    except BaseException:
        _discard(supervisor, candidate)
        raise
    target.deployment.way_back.forget()
    journal.forgive()  # it serves: what follows must not make it look as if it did not
    with journal.phase("drain"):
        _drain(candidate, target.deployment, journal)
    return proof


def _drain(candidate: Candidate, deployment: Deployment, journal: Journal) -> None:
    """Let all others finish and end; if the supervisor dies meanwhile, start a new one, which does that."""
    try:
        drained = candidate.control.settle(candidate.number)
    except BootError as error:
        journal.write("note", f"not drained: {error}", phase="drain", level="warning")
        with contextlib.suppress(OcrpackError):  # the next command tries again
            keep_serving(deployment)
        return
    text = f"{len(drained.drained)} drained"
    if drained.forced:
        text += f", {len(drained.forced)} of them by force: it did not end within its drain deadline"
    level: logs.Level = "warning" if drained.forced else "info"
    journal.write("note", text, phase="drain", level=level, **dataclasses.asdict(drained))


def _discard(supervisor: Control, candidate: Candidate) -> None:
    with contextlib.suppress(OcrpackError):  # without a supervisor, the next one ends it
        supervisor.discard(candidate.number)


def boot(supervisor: Control, target: Target) -> Candidate:
    """Start a release behind its gate and wait until it is ready.

    Raises:
        BootError: it ended, or was not ready in time; the tail of its output is in the message.
    """
    begin, launch = logs.timestamp(), target.record.launch
    launched = supervisor.launch(target.release, launch, target.secrets)
    candidate = Candidate(supervisor, launched.number, private(launch, target.secrets, launched.private))
    try:
        health.wait_until_ready(candidate.address, target.descriptor, candidate.ended, launch.boot_seconds)
    except BaseException as error:
        _discard(supervisor, candidate)  # before its output is read, which is whole once its log writer has ended
        if not isinstance(error, BootError):
            raise
        tail = instance_tail(target.deployment, target.release, _TAIL_LINES, begin)
        raise BootError(f"{error.message}\n{tail}" if tail else error.message, error.remedy) from None
    return candidate


def instance_tail(deployment: Deployment, name: str, lines: int, since: str) -> str:
    """Return the last lines that a release wrote since a moment; all of them are there once it was discarded."""
    events = logs.read(deployment.instance_log, logs.parse_instance_line)
    own = (event.message for event in events if event.release == name and event.time >= since)
    return "\n".join(deque(own, lines))


def _running(supervisor: Control, target: Target, care: Care) -> Reference | None:
    """Return what serves now, to compare a candidate with, unless that is the same release."""
    serving = supervisor.status().serving_generation
    if serving is None or serving.release == target.release:
        return None
    file = target.deployment.releases / serving.release / DESCRIPTOR
    try:
        descriptor = parse(file.read_bytes(), str(file))
        launch = target.deployment.load_state().releases[serving.release].launch
    except (OcrpackError, OSError, KeyError):
        return None  # what serves was altered; it cannot be told how to ask it
    known = secrets_file.load(target.deployment.secrets, launch.secrets)
    return Reference(private(launch, known, serving.private), descriptor, care.max_regression)


def _promote(candidate: Candidate, target: Target, care: Care, journal: Journal) -> None:
    """Let a proven candidate take the public address and `current`, and watch it there; what served before still runs.

    The way back is laid before the first step, so that a failure, or a later command, can undo or finish it.

    Raises:
        BootError: it could not take the public address, or did not answer there; what served before goes on.
        SmokeError: it read a sample wrong there; what served before goes on.
    """
    deployment = target.deployment
    try:
        with journal.phase("promote"):
            deployment.way_back.lay()
            secrets_file.stage(deployment.secrets, target.secrets)
            deployment.save_state(_state_after(target))
            candidate.control.promote(candidate.number)
            deployment.activate(target.release)
            deployment.way_back.confirm_promotion()
        with journal.phase("observe"):
            _observe(candidate, target, care.observe_s, journal)
        secrets_file.commit(deployment.secrets)
    except BaseException:
        secrets_file.drop(deployment.secrets)
        if deployment.way_back.is_laid:
            deployment.way_back.go()
        raise


def _state_after(target: Target) -> State:
    before, previous = target.deployment.load_state(), target.deployment.current
    good = previous if previous not in {None, target.release} else before.last_good
    return State("running", target.host, target.port, good, {**before.releases, target.release: target.record})


def _observe(candidate: Candidate, target: Target, seconds: float, journal: Journal) -> None:
    """Ask for health and samples on the public address, in turns, once at least and until the time is over."""
    address, descriptor = target.public, target.descriptor
    deadline = time.monotonic() + seconds
    samples = itertools.cycle(descriptor.samples)
    for turn in itertools.count(1):
        findings = [
            finding
            for place in (address, candidate.address)
            for finding in health.health(place, descriptor, _PATIENT_S)
        ]
        status = candidate.ended()
        if status is not None:
            findings.insert(0, Finding("ended", f"the app ended with status {status}", "`ocrpack logs` shows why"))
        if findings:
            raise BootError(f"after its promotion: {findings[0].message}", findings[0].remedy, tuple(findings))
        for sample in itertools.islice(samples, 1):
            patient = sample.model_copy(update={"max_seconds": sample.max_seconds * _PATIENCE})
            result = run_sample(address, descriptor, target.folder, patient)
            if result.finding is not None and not result.problem.startswith(BUSY):
                raise SmokeError(
                    f"after its promotion: {result.finding.message}", result.finding.remedy, (result.finding,)
                )
        left = deadline - time.monotonic()
        if left <= 0:
            journal.write("note", f"{turn} rounds on {address}", phase="observe", level="debug")
            return
        time.sleep(min(_OBSERVE_PAUSE_S, left))


def current_release(deployment: Deployment) -> tuple[str, Record, Descriptor, Path]:
    """Return the current release: its name, what is known of it, its descriptor and its folder.

    Raises:
        NotFoundError: nothing ever served, or its folder is gone.
        DescriptorError: its descriptor was altered.
    """
    name = deployment.current
    record = deployment.load_state().releases.get(name) if name else None
    if name is None or record is None:
        raise NotFoundError(f"{deployment.name} has no release that ever served", "`ocrpack deploy` one")
    return name, record, read_descriptor(deployment, name), deployment.releases / name


def read_descriptor(deployment: Deployment, release: str) -> Descriptor:
    """Return the descriptor of an unpacked release.

    Raises:
        NotFoundError: its folder is gone.
        DescriptorError: it was altered.
    """
    folder = deployment.releases / release
    if not folder.is_dir():
        raise NotFoundError(f"{release} is gone from {deployment.releases}", "`ocrpack deploy` the bundle again")
    return parse((folder / DESCRIPTOR).read_bytes(), str(folder / DESCRIPTOR))


def recorded(deployment: Deployment, release: str, record: Record) -> Target:
    """Return a release that served before as a target, with its stored secrets and the deployment's address.

    Raises:
        NotFoundError: its folder is gone.
        DescriptorError: its descriptor was altered.
    """
    state = deployment.load_state()
    secrets = secrets_file.load(deployment.secrets, record.launch.secrets)
    descriptor = read_descriptor(deployment, release)
    return Target(
        deployment=deployment,
        release=release,
        descriptor=descriptor,
        record=record,
        host=state.host,
        port=state.port,
        secrets=secrets,
    )


def serve_current(deployment: Deployment, journal: Journal) -> None:
    """Start the current release, prove it and let it serve, in place of its older processes if there are any.

    Raises:
        NotFoundError: nothing ever served.
        BootError: it did not come up; what served before goes on.
        SmokeError: it reads a sample wrong; what served before goes on.
    """
    name, record, _, _ = current_release(deployment)
    target = recorded(deployment, name, record)
    with client.ensure_supervisor(deployment, target.host, target.port) as supervisor:
        bring_into_service(supervisor, target, journal, Care())


def keep_serving(deployment: Deployment) -> str:
    """Give what runs a new supervisor if it needs one, and return why it did, or nothing.

    Raises:
        SupervisorError: the supervisor did not start, or what runs does not give it the address.
    """
    why = client.why_another(deployment)
    if why:
        state = deployment.load_state()
        client.ensure_supervisor(deployment, state.host, state.port, may_stop=False).close()
    return why
