"""Deploy a bundle: preflight, lock, unpack, environment, boot, gate, promote, observe, drain, tag, prune.

A failure before the promotion leaves a running service untouched and keeps the evidence in `failed/`. Whatever a
killed deploy left behind is mended by `recover`, which every command that holds the lock runs first.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ocrpack import journal as log
from ocrpack.bundle import Archive, Manifest
from ocrpack.deploy import check, control, environment, preflight, release, revision, secret
from ocrpack.deploy.check import Address, SampleResult
from ocrpack.deploy.control import Control
from ocrpack.deploy.preflight import Options, Plan
from ocrpack.deploy.root import Deployment, Launch, Record, Root, State
from ocrpack.descriptor import Descriptor, required_modules
from ocrpack.errors import BootError, EnvironmentSetupError, Finding, OcrpackError, SmokeError, explained_io
from ocrpack.journal import Event, Journal

_TAIL_LINES = 30


@dataclass(frozen=True)
class Listener:
    """Who is told how a deploy goes on."""

    event: Callable[[Event], None]
    total: Callable[[int], None]
    progress: Callable[[int], None]


@dataclass(frozen=True)
class Deployed:
    """A deploy that is done; phases with their seconds."""

    name: str
    version: str
    digest: str
    release: str
    url: str
    tag: str | None
    phases: tuple[tuple[str, float], ...]
    samples: tuple[SampleResult, ...]
    warnings: tuple[Finding, ...]


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


def deploy(bundle: Path, root: Root, options: Options, listener: Listener) -> Deployed:
    """Bring a bundle into service: proven by its samples before it takes traffic, tagged, and logged.

    Raises:
        BundleError: the bundle is corrupt or hostile.
        PreflightError: this machine cannot run it, or the disk is full.
        ConflictError: the version is here, or tagged, with other content.
        LockedError: another command holds the deployment's lock.
        EnvironmentSetupError: the requirements cannot be installed, or lack a module.
        BootError: the app did not come up.
        SmokeError: a sample was read wrong, late or not at all.
    """
    phases: dict[str, float] = {}

    def hear(event: Event) -> None:
        if event.event == "done" and event.seconds is not None:
            phases[event.phase] = event.seconds
        listener.event(event)

    journal = Journal(None, log.new_deploy_id(), hear)
    preflight.require_port(options)
    with explained_io("deploy", root.path), Archive(bundle) as archive:
        manifest = archive.manifest
        deployment = root.deployment(manifest.name)
        if deployment.deploy_log.exists():
            journal.keep_in(deployment.deploy_log)
        with framed(journal, f"deploy {manifest.name} {manifest.version}", manifest.release):
            with journal.phase("preflight"):
                plan = preflight.plan(archive, root, bundle, options)
                for finding in plan.warnings:
                    journal.write("note", finding.message, phase="preflight", level="warning")
            deployment.create()
            with deployment.lock(f"deploy {bundle.name}", options.lock_wait_s):
                journal.keep_in(deployment.deploy_log)
                preflight.refuse_other_content(deployment, manifest)
                recover(deployment, journal)
                samples = _bring_up(archive, root, plan, options, journal, listener)
                tag, warnings = _finish(root, plan, options, journal, samples)
    url = str(Address(plan.host, plan.port).reachable)
    return Deployed(
        manifest.name, manifest.version, manifest.digest, plan.release, url, tag,
        tuple(phases.items()), samples, (*plan.warnings, *warnings),
    )  # fmt: skip


@contextlib.contextmanager
def framed(journal: Journal, what: str, of: str) -> Iterator[None]:
    """Write `begin` and exactly one `end` around a command."""
    begin = time.monotonic()
    journal.write("begin", what, release=of)
    try:
        yield
    except BaseException as error:
        seconds = round(time.monotonic() - begin, 4)
        text = f"{what} failed: {str(error) or type(error).__name__}"
        code = error.exit_code if isinstance(error, OcrpackError) else None
        with contextlib.suppress(OSError):
            journal.write("end", text, level="error", release=of, seconds=seconds, ok=False, exit_code=code)
        raise
    journal.write("end", f"{what} done", release=of, seconds=round(time.monotonic() - begin, 4), ok=True)


def _bring_up(
    archive: Archive, root: Root, plan: Plan, options: Options, journal: Journal, listener: Listener
) -> tuple[SampleResult, ...]:
    """Take the bundle from its archive to the service that answers on the public address."""
    deployment, made_here = plan.deployment, False
    try:
        with journal.phase("unpack"):
            listener.total(plan.manifest.total_bytes)
            folder, made_here = release.unpack(archive, root, deployment, listener.progress)
        with journal.phase("environment"):
            made = _ensure_environment(root, plan, options, folder, journal)
        secret.store(deployment.secrets, plan.secrets)
        launch = plan.launch(made, options.boot_seconds)
        with control.ensure_supervisor(deployment, plan.host, plan.port, plan.descriptor.secrets) as supervisor:
            with journal.phase("boot"):
                candidate = boot(supervisor, deployment, plan.release, plan.descriptor, launch)
            with journal.phase("gate"):
                samples = run_samples(candidate.address, plan.descriptor, folder, journal)
                require_passed(samples)
            switch(supervisor, candidate, plan.descriptor, deployment, _state_after(plan, launch, samples), journal)
        return samples
    except BaseException as error:
        if deployment.current is None:
            control.stop_supervisor(deployment)
        if made_here and deployment.current != plan.release:
            reason = str(error) or type(error).__name__
            release.quarantine(deployment, plan.release, instance_tail(deployment, plan.release, 2000), reason)
        raise


def _ensure_environment(
    root: Root, plan: Plan, options: Options, folder: Path, journal: Journal
) -> environment.Environment:
    def note(line: str) -> None:
        journal.write("output", line, phase="environment", level="debug")

    made, fresh = environment.ensure(
        root, plan.environment_key, folder, plan.requirement_files, plan.python, plan.uv,
        deadline_s=options.install_seconds, on_line=note,
    )  # fmt: skip
    journal.write("note", ("made " if fresh else "reused ") + made.folder.name, phase="environment")
    if fresh:
        missing = environment.missing_modules(made, folder, required_modules(folder, _modules(plan.manifest)))
        if missing:
            raise EnvironmentSetupError(missing[0].message, missing[0].remedy, tuple(missing))
    return made


def _modules(manifest: Manifest) -> list[str]:
    return [entry.path for entry in manifest.files if entry.role in {"app", "file"} and entry.path.endswith(".py")]


def boot(supervisor: Control, deployment: Deployment, name: str, descriptor: Descriptor, launch: Launch) -> Candidate:
    """Start a release behind its gate and wait until it is ready.

    Raises:
        BootError: it ended, or was not ready in time; the tail of its output is in the message.
    """
    answer = supervisor.ask("launch", release=name, launch=dataclasses.asdict(launch))
    candidate = Candidate(supervisor, answer["number"], Address(unix=Path(answer["private"])))
    try:
        check.wait_until_ready(candidate.address, descriptor, candidate.ended, launch.boot_seconds)
    except BootError as error:
        tail = instance_tail(deployment, name, _TAIL_LINES)
        raise BootError(f"{error.message}\n{tail}" if tail else error.message, error.remedy) from None
    return candidate


def instance_tail(deployment: Deployment, name: str, lines: int) -> str:
    """Return the last lines that a release wrote."""
    time.sleep(0.1)  # the log writer may be a moment behind the app
    events = log.read(deployment.instance_log, log.parse_instance_line)
    return "\n".join(deque((event.message for event in events if event.release == name), lines))


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


def _state_after(plan: Plan, launch: Launch, samples: tuple[SampleResult, ...]) -> tuple[str, State]:
    before, previous = plan.deployment.load_state(), plan.deployment.current
    record = Record(
        plan.manifest.version, plan.manifest.digest, plan.environment_key, log.timestamp(), launch,
        tuple(sample.as_dict() for sample in samples),
    )  # fmt: skip
    good = previous if previous not in {None, plan.release} else before.last_good
    return plan.release, State("running", plan.host, plan.port, good, {**before.releases, plan.release: record})


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
    with journal.phase("promote"):
        supervisor.ask("promote", number=candidate.number)
        deployment.save_state(state)
        deployment.activate(name)
    try:
        with journal.phase("observe"):
            addresses = (Address(state.host, state.port), candidate.address)
            findings = [finding for address in addresses for finding in check.health(address, descriptor)]
            if findings:
                raise BootError(f"after its promotion: {findings[0].message}", findings[0].remedy, tuple(findings))
    except BaseException:
        deployment.save_state(before)
        deployment.activate(previous)
        raise
    with journal.phase("drain"):
        drained = supervisor.ask("settle", number=candidate.number)
        journal.write("note", f"{len(drained['drained'])} generations drained", phase="drain", **drained)


def _finish(
    root: Root, plan: Plan, options: Options, journal: Journal, samples: tuple[SampleResult, ...]
) -> tuple[str | None, list[Finding]]:
    """Tag and prune; their failures are warnings, since the service runs."""
    warnings: list[Finding] = []
    tag = None
    with _lenient("tag", journal, warnings):
        if plan.ledger is not None:
            manifest = plan.manifest
            tag = revision.mark(plan.ledger, manifest.name, manifest.version, manifest.digest, samples)
            journal.write("note", f"{tag} in {plan.ledger.path}", phase="tag")
    with _lenient("prune", journal, warnings):
        removed = prune(root, plan.deployment, options.keep)
        if removed:
            journal.write("note", f"removed {', '.join(removed)}", phase="prune")
    return tag, warnings


@contextlib.contextmanager
def _lenient(phase: str, journal: Journal, warnings: list[Finding]) -> Iterator[None]:
    try:
        with journal.phase(phase):
            yield
    except (OcrpackError, OSError) as error:
        remedy = getattr(error, "remedy", "") or "the service runs; mend the cause and deploy again"
        warnings.append(Finding(phase, str(error), remedy, severity="warning"))


def prune(root: Root, deployment: Deployment, keep: int) -> list[str]:
    """Remove old releases, then environments that nothing uses; never current or the last known good one."""
    state = deployment.load_state()
    spare = {name for name in (deployment.current, state.last_good) if name is not None}
    removed = release.prune(root, deployment, keep, spare)
    kept = {name: record for name, record in state.releases.items() if name not in removed}
    if len(kept) != len(state.releases):
        deployment.save_state(dataclasses.replace(state, releases=kept))
    return removed + environment.prune(root, used_environments(root))


def used_environments(root: Root) -> set[str]:
    """Return the keys of all environments that a release of any deployment needs."""
    states = [root.deployment(name).load_state() for name in root.names()]
    return {record.environment for state in states for record in state.releases.values()}


def recover(deployment: Deployment, journal: Journal) -> None:
    """Mend what a killed command left, and say so; call it with the deployment's lock held."""
    for name in release.clean_leftovers(deployment):
        journal.write("note", f"removed {name}, which an interrupted deploy left", phase="recover", level="warning")


def as_json(deployed: Deployed) -> dict[str, Any]:
    """Return the `deploy --json` answer."""
    return {
        "name": deployed.name,
        "version": deployed.version,
        "digest": deployed.digest,
        "release": deployed.release,
        "url": deployed.url,
        "tag": deployed.tag,
        "phases": [{"name": name, "seconds": seconds} for name, seconds in deployed.phases],
        "samples": [sample.as_dict() for sample in deployed.samples],
        "warnings": [finding.as_dict() for finding in deployed.warnings],
    }
