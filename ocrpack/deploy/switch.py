"""Take a release from its processes to the public address: boot, gate, promote, observe, drain.

Deploying, starting and restarting all go this way.
"""

from __future__ import annotations

import dataclasses
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ocrpack import journal as log
from ocrpack.deploy import check, control, secret
from ocrpack.deploy.check import Address, SampleResult
from ocrpack.deploy.control import Control
from ocrpack.deploy.root import Deployment, Launch, Record, State
from ocrpack.descriptor import DESCRIPTOR, Descriptor, parse
from ocrpack.errors import BootError, NotFoundError, SmokeError
from ocrpack.journal import Journal

_TAIL_LINES = 30


@dataclass(frozen=True)
class Candidate:
    """A generation behind its gate."""

    control: Control
    number: int
    address: Address

    def ended(self) -> int | None:
        """Return the status that its master ended with, or None while it runs."""
        status: int | None = self.control.ask("poll", number=self.number)["status"]
        return status


def boot(
    supervisor: Control,
    deployment: Deployment,
    name: str,
    descriptor: Descriptor,
    launch: Launch,
    secrets: Mapping[str, str],
) -> Candidate:
    """Start a release behind its gate and wait until it is ready.

    Raises:
        BootError: it ended, or was not ready in time; the tail of its output is in the message.
    """
    begin = log.timestamp()
    answer = supervisor.ask("launch", release=name, launch=dataclasses.asdict(launch), secrets=dict(secrets))
    candidate = Candidate(supervisor, answer["number"], Address(unix=Path(answer["private"])))
    try:
        check.wait_until_ready(candidate.address, descriptor, candidate.ended, launch.boot_seconds)
    except BootError as error:
        tail = instance_tail(deployment, name, _TAIL_LINES, begin)
        raise BootError(f"{error.message}\n{tail}" if tail else error.message, error.remedy) from None
    return candidate


def instance_tail(deployment: Deployment, name: str, lines: int, since: str) -> str:
    """Return the last lines that a release wrote since a moment."""
    time.sleep(0.1)  # the log writer may be a moment behind the app
    events = log.read(deployment.instance_log, log.parse_instance_line)
    own = (event.message for event in events if event.release == name and event.time >= since)
    return "\n".join(deque(own, lines))


def run_samples(address: Address, descriptor: Descriptor, folder: Path, journal: Journal) -> tuple[SampleResult, ...]:
    """Send every sample through the app, one after the other, and log what came out."""
    results = []
    for sample in descriptor.samples:
        result = check.run_sample(address, descriptor, folder, sample)
        results.append(result)
        rate = "no text" if result.cer is None else f"CER {result.cer:.4f}"
        text = f"{result.image}: {result.problem or rate} in {result.seconds:.2f} s"
        level: log.Level = "info" if result.passed else "error"
        journal.write("note", text, phase="gate", level=level, sample=result.as_dict())
    if not descriptor.samples:
        journal.write("note", "no samples: nothing proves the text", phase="gate", level="warning")
    return tuple(results)


def require_passed(samples: tuple[SampleResult, ...]) -> None:
    """Refuse results that did not all pass.

    Raises:
        SmokeError: the first failure, with the expected and the received text.
    """
    findings = tuple(sample.finding for sample in samples if sample.finding is not None)
    if findings:
        first = findings[0]
        raise SmokeError(
            f"{first.message}\n  expected: {_shortened(first.expected)}\n  got:      {_shortened(first.got)}",
            first.remedy,
            findings,
        )


def _shortened(text: str | None, limit: int = 400) -> str:
    line = check.normalise(text or "")
    return line if len(line) <= limit else line[:limit] + f"… ({len(line)} characters)"


def switch(
    supervisor: Control,
    candidate: Candidate,
    descriptor: Descriptor,
    deployment: Deployment,
    after: tuple[str, State],
    journal: Journal,
) -> None:
    """Promote a proven candidate, watch it on the public address, and drain what served before.

    `after` is the release that is then current, and the deployment's state.

    Raises:
        BootError: it could not take the public address, or did not answer there; what served before goes on.
    """
    before, previous = deployment.load_state(), deployment.current
    name, state = after
    try:
        with journal.phase("promote"):
            supervisor.ask("promote", number=candidate.number)
            deployment.save_state(state)
            deployment.activate(name)
        with journal.phase("observe"):
            addresses = (Address(state.host, state.port), candidate.address)
            findings = [finding for address in addresses for finding in check.health(address, descriptor)]
            if findings:
                raise BootError(f"after its promotion: {findings[0].message}", findings[0].remedy, tuple(findings))
    except BaseException:
        deployment.activate(previous)
        deployment.save_state(before)
        supervisor.ask("withdraw", number=candidate.number)
        raise
    with journal.phase("drain"):
        drained = supervisor.ask("settle", number=candidate.number)
        journal.write("note", f"{len(drained['drained'])} generations drained", phase="drain", **drained)


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
    folder = deployment.releases / name
    if not folder.is_dir():
        raise NotFoundError(f"{name} is gone from {deployment.releases}", "`ocrpack deploy` the bundle again")
    return name, record, parse((folder / DESCRIPTOR).read_bytes(), str(folder / DESCRIPTOR)), folder


def serve_current(deployment: Deployment, journal: Journal) -> None:
    """Start the current release, prove it and let it serve, in place of its older processes if there are any.

    Raises:
        NotFoundError: nothing ever served.
        BootError: it did not come up; what served before goes on.
        SmokeError: it reads a sample wrong; what served before goes on.
    """
    name, record, descriptor, folder = current_release(deployment)
    state = deployment.load_state()
    secrets = secret.load(deployment.secrets, record.launch.secrets)
    with control.ensure_supervisor(deployment, state.host, state.port, descriptor.secrets) as supervisor:
        with journal.phase("boot"):
            candidate = boot(supervisor, deployment, name, descriptor, record.launch, secrets)
        with journal.phase("gate"):
            require_passed(run_samples(candidate.address, descriptor, folder, journal))
        after = dataclasses.replace(state, desired="running")
        switch(supervisor, candidate, descriptor, deployment, (name, after), journal)
