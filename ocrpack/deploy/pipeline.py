"""Deploy a bundle: preflight, lock, unpack, environment, boot, gate, promote, observe, drain, tag, prune.

A failure before the promotion leaves a running service untouched and keeps the evidence in `failed/`. Whatever a
killed deploy left behind is mended by `recover`, which every command that holds the lock runs first.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ocrpack import journal as log
from ocrpack.bundle import Archive, Manifest
from ocrpack.deploy import control, environment, preflight, release, revision, secret
from ocrpack.deploy.check import Address, SampleResult
from ocrpack.deploy.preflight import Options, Plan
from ocrpack.deploy.root import Deployment, Launch, Record, Root, State
from ocrpack.deploy.switch import boot, instance_tail, require_passed, run_samples, serve_current, switch
from ocrpack.descriptor import required_modules
from ocrpack.errors import (
    BootError,
    EnvironmentSetupError,
    Finding,
    OcrpackError,
    PreflightError,
    SmokeError,
    explained_io,
)
from ocrpack.journal import Event, Journal

_EVIDENCE_LINES = 2000


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
        with journal.command(f"deploy {manifest.name} {manifest.version}", manifest.release):
            with journal.phase("preflight"):
                plan = preflight.plan(archive, root, bundle, options)
                for finding in plan.warnings:
                    journal.write("note", finding.message, phase="preflight", level="warning")
            deployment.create()
            with deployment.lock(f"deploy {bundle.name}", options.lock_wait_s):
                journal.keep_in(deployment.deploy_log)
                preflight.refuse_other_content(deployment, manifest)
                with contextlib.suppress(BootError, SmokeError):  # then the bundle at hand may be the remedy
                    recover(root, deployment, journal)
                samples = _bring_up(archive, root, plan, options, journal, listener)
                tag, warnings = _finish(root, plan, options, journal, samples)
    url = str(Address(plan.host, plan.port).reachable)
    return Deployed(
        manifest.name, manifest.version, manifest.digest, plan.release, url, tag,
        tuple(phases.items()), samples, (*plan.warnings, *warnings),
    )  # fmt: skip


def _bring_up(
    archive: Archive, root: Root, plan: Plan, options: Options, journal: Journal, listener: Listener
) -> tuple[SampleResult, ...]:
    """Take the bundle from its archive to the service that answers on the public address."""
    deployment, made_here, begin = plan.deployment, False, log.timestamp()
    with environment.held(root, plan.environment_key):
        try:
            with journal.phase("unpack"):
                listener.total(plan.manifest.total_bytes)
                folder, made_here = release.unpack(archive, root, deployment, listener.progress)
            with journal.phase("environment"):
                made = _ensure_environment(root, plan, options, folder, journal, thorough=not made_here)
            launch = plan.launch(made, options.boot_seconds)
            with control.ensure_supervisor(deployment, plan.host, plan.port, plan.descriptor.secrets) as supervisor:
                _require_address(supervisor.ask("status"), plan)
                with journal.phase("boot"):
                    candidate = boot(supervisor, deployment, plan.release, plan.descriptor, launch, plan.secrets)
                with journal.phase("gate"):
                    samples = run_samples(candidate.address, plan.descriptor, folder, journal)
                    require_passed(samples)
                after = plan.release, _state_after(plan, launch, samples)
                switch(supervisor, candidate, plan.descriptor, deployment, after, journal)
            release.approve(deployment, plan.release)
            secret.store(deployment.secrets, plan.secrets)
            return samples
        except BaseException as error:
            if deployment.current is None:
                control.stop_supervisor(deployment)
            if made_here and deployment.current != plan.release:
                reason = str(error) or type(error).__name__
                tail = instance_tail(deployment, plan.release, _EVIDENCE_LINES, begin)
                release.quarantine(deployment, plan.release, tail, reason)
            raise


def _require_address(status: dict[str, Any], plan: Plan) -> None:
    """Refuse to go on when another deploy has meanwhile given the service another address.

    Raises:
        PreflightError: it has.
    """
    if status["port"] != plan.port:
        raise PreflightError(
            f"{plan.manifest.name} serves on port {status['port']} by now, not on {plan.port}", "deploy again"
        )


def _ensure_environment(
    root: Root, plan: Plan, options: Options, folder: Path, journal: Journal, *, thorough: bool
) -> environment.Environment:
    def note(line: str) -> None:
        journal.write("output", line, phase="environment", level="debug")

    if thorough:
        environment.discard_if_damaged(root, plan.environment_key)
    made, fresh = environment.ensure(
        root, plan.environment_key, folder, plan.requirement_files, plan.python, plan.uv,
        deadline_s=options.install_seconds, on_line=note,
    )  # fmt: skip
    journal.write("note", ("made " if fresh else "reused ") + made.folder.name, phase="environment")
    missing = environment.missing_modules(made, folder, required_modules(folder, _modules(plan.manifest)))
    if missing:
        raise EnvironmentSetupError(missing[0].message, missing[0].remedy, tuple(missing))
    return made


def _modules(manifest: Manifest) -> list[str]:
    return [entry.path for entry in manifest.files if entry.role in {"app", "file"} and entry.path.endswith(".py")]


def _state_after(plan: Plan, launch: Launch, samples: tuple[SampleResult, ...]) -> State:
    before, previous = plan.deployment.load_state(), plan.deployment.current
    record = Record(
        plan.manifest.version, plan.manifest.digest, plan.environment_key, log.timestamp(), launch,
        tuple(sample.as_dict() for sample in samples),
    )  # fmt: skip
    good = previous if previous not in {None, plan.release} else before.last_good
    return State("running", plan.host, plan.port, good, {**before.releases, plan.release: record})


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
    return removed + prune_environments(root)


def prune_environments(root: Root) -> list[str]:
    """Remove the environments that no release of any deployment needs.

    Raises:
        PreflightError: the state of a deployment is damaged, so that its needs are unknown; nothing is removed.
    """
    states = [root.deployment(name).load_state() for name in root.names()]
    return environment.prune(root, {record.environment for state in states for record in state.releases.values()})


def recover(root: Root, deployment: Deployment, journal: Journal) -> None:
    """Mend what a killed command or supervisor left, and say so; call it with the deployment's lock held.

    Raises:
        BootError: the current release, whose supervisor was killed, does not come up again.
        SmokeError: it reads a sample wrong.
    """
    for name in release.clean_leftovers(root, deployment):
        journal.write("note", f"removed {name}, which an interrupted deploy left", phase="recover", level="warning")
    if deployment.current and deployment.load_state().desired == "running" and control.connect(deployment) is None:
        text = "its supervisor is gone: starting the current release again"
        journal.write("note", text, phase="recover", level="warning")
        serve_current(deployment, journal)


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
