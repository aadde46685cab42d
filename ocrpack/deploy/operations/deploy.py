"""Deploy a bundle: preflight, lock, unpack, environment, boot, gate, promote, observe, drain, tag, prune.

A failure before the promotion leaves a running service untouched and keeps the evidence in `failed/`; one after it
goes back by itself. Whatever a killed deploy left behind is mended by `recover`, which runs first. A rollback is a
deploy of a release that is there already.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from packaging.version import InvalidVersion, Version

from ocrpack import logs
from ocrpack.bundle import Archive, Manifest
from ocrpack.deploy.proof.prove import Proof
from ocrpack.deploy.steps import import_check, preflight
from ocrpack.deploy.steps.hooks import Hooks, Kind
from ocrpack.deploy.steps.plan import Care, Options, Plan, Target
from ocrpack.deploy.steps.promote import bring_into_service, instance_tail, recorded
from ocrpack.deploy.steps.prune import prune
from ocrpack.deploy.steps.recover import me, recover, restore_service
from ocrpack.deploy.store import command_lock, environments, interpreters, releases
from ocrpack.deploy.store.layout import Deployment, Root
from ocrpack.deploy.store.state import Record
from ocrpack.deploy.supervisor import client
from ocrpack.deploy.system import processes
from ocrpack.deploy.tracking import git_tag
from ocrpack.descriptor import required_modules
from ocrpack.errors import (
    EnvironmentSetupError,
    Finding,
    NotFoundError,
    OcrpackError,
    PreflightError,
    UsageError,
    explained_io,
)
from ocrpack.logs import Event, Journal

_EVIDENCE_LINES = 2000
_T = TypeVar("_T")


@dataclass(frozen=True)
class Listener:
    """Who is told how a deploy goes on."""

    event: Callable[[Event], None]
    total: Callable[[int], None]
    progress: Callable[[int], None]


@dataclass(frozen=True)
class Deployed:
    """A deploy or a rollback that is done; phases with their seconds."""

    name: str
    version: str
    digest: str
    release: str
    previous: str | None
    url: str
    tag: str | None
    signer: str | None
    phases: tuple[tuple[str, float], ...]
    proof: Proof
    warnings: tuple[Finding, ...]


def deploy(bundle: Path, root: Root, options: Options, listener: Listener) -> Deployed:
    """Bring a bundle into service: proven by its samples before it takes traffic, tagged, and logged.

    Raises:
        BundleError: the bundle is corrupt or hostile.
        PreflightError: this machine cannot run it, the disk is full, or a hook refused.
        ConflictError: the version is here, or tagged, with other content.
        LockedError: another command holds the deployment's lock.
        EnvironmentSetupError: the requirements cannot be installed, or lack a module.
        BootError: the app did not come up.
        SmokeError: a sample was read wrong, late, not at all, or worse than the options allow.
    """
    journal, phases = _journal(listener)
    preflight.require_port(options)
    with explained_io("deploy", root.path), Archive(bundle) as archive, processes.mark_children(journal.deploy):
        manifest = archive.manifest
        deployment = root.deployment(manifest.name)
        if deployment.deploy_log.exists():
            journal.keep_in(deployment.deploy_log)
        with journal.command(f"deploy {manifest.name} {manifest.version}", manifest.release, process=me()):
            with journal.phase("preflight"):
                plan = preflight.plan(archive, root, bundle, options)
                for finding in plan.warnings:
                    journal.write("note", finding.message, phase="preflight", level="warning")
            deployment.create()
            with command_lock.hold(deployment, f"deploy {bundle.name}", options.lock_wait_s, journal.deploy):
                journal.keep_in(deployment.deploy_log)
                preflight.refuse_other_content(deployment, manifest)
                recover(root, deployment, journal)
                previous = deployment.current
                hooks = Hooks(root, plan.descriptor, plan.release, journal, plan.url, previous, options.hooks)
                target, proof = _bring_up(archive, root, plan, options, journal, listener, hooks)
                warnings = [*plan.warnings]
                tag = _finish(root, target, plan.ledger, proof, options.keep, journal, warnings)
                warnings += _run_leniently(hooks, "post_deploy", target.folder, target.programs, journal)
    return _deployed(target, previous, tag, phases, proof, warnings)


def rollback(deployment: Deployment, to: str | None, root: Root, options: Options, listener: Listener) -> Deployed:
    """Bring a release that served before into service again: the last known good one, or the one of a version.

    It goes through the same gate as a deploy, and what serves now goes on if it fails.

    Raises:
        NotFoundError: there is no such release.
        UsageError: it is current already.
        LockedError: another command holds the deployment's lock.
        PreflightError: there is no memory for both releases.
        EnvironmentSetupError: its environment is gone and cannot be made again.
        BootError: it did not come up.
        SmokeError: it read a sample wrong, or worse than the options allow.
    """
    journal, phases = _journal(listener)
    journal.keep_in(deployment.deploy_log)
    what = f"rollback {deployment.name}" + (f" --to {to}" if to else "")
    with (
        explained_io("roll back", root.path),
        processes.mark_children(journal.deploy),
        journal.command(what, deployment.current or "", process=me()),
        command_lock.hold(deployment, what, options.lock_wait_s, journal.deploy),
    ):
        recover(root, deployment, journal)
        previous = deployment.current
        name, record = earlier(deployment, to)
        journal.write("note", f"from {previous} to {name}", phase="rollback", release=name)
        target = recorded(deployment, name, record)
        preflight.require_memory(target.descriptor, deployment, stop_first=options.care.stop_first)
        ledger = _ledger(root, record, options)
        with environments.held(root, record.environment):
            with journal.phase("environment"):
                _environment_again(root, target, options, journal)
            hooks = Hooks(root, target.descriptor, name, journal, target.url, previous)
            proof = _serve_again(target, options.care, hooks, journal)
        warnings: list[Finding] = []
        tag = _finish(root, target, ledger, proof, options.keep, journal, warnings)
        warnings += _run_leniently(hooks, "post_deploy", target.folder, target.programs, journal)
    return _deployed(target, previous, tag, phases, proof, warnings)


def _serve_again(target: Target, care: Care, hooks: Hooks, journal: Journal) -> Proof:
    try:
        hooks.run("pre_deploy", target.folder, target.programs)
        return _serve(target, care, journal)
    except BaseException as error:
        if target.deployment.current != target.release:
            with contextlib.suppress(OSError):
                _run_leniently(hooks, "on_failure", target.folder, target.programs, journal, str(error))
        raise


def earlier(deployment: Deployment, to: str | None) -> tuple[str, Record]:
    """Return the release that a rollback goes to, with what is known of it.

    Raises:
        NotFoundError: there is no such release.
        UsageError: it is current already.
    """
    state, current = deployment.load_state(), deployment.current
    known = {name: record for name, record in state.releases.items() if (deployment.releases / name).is_dir()}
    shown = ", ".join(sorted(record.version for name, record in known.items() if name != current)) or "none"
    if to is None:
        if state.last_good is None or state.last_good not in known:
            raise NotFoundError(
                f"{deployment.name} has no earlier release that served",
                f"`ocrpack deploy` another bundle; releases that may be named with --to: {shown}",
            )
        return state.last_good, known[state.last_good]
    found = [
        name for name, record in known.items() if to in {record.version, name} or _same_version(to, record.version)
    ]
    if not found:
        raise NotFoundError(
            f"{deployment.name} {to} is not here, or never served", f"releases that may be named: {shown}"
        )
    if found[0] == current:
        raise UsageError(f"{deployment.name} {to} is current already", "`ocrpack restart` starts it anew")
    return found[0], known[found[0]]


def _same_version(one: str, other: str) -> bool:
    try:
        return Version(one) == Version(other)
    except InvalidVersion:
        return False


def _environment_again(root: Root, target: Target, options: Options, journal: Journal) -> None:
    """Make a release's environment again if it was removed; the release's requirements are in its folder."""
    key, descriptor = target.record.environment, target.descriptor
    if environments.find(root, key) is None:
        uv = interpreters.choose_installer(options.installer)
        python = interpreters.find_python(descriptor.python, uv)
        offline = environments.carries_all(target.folder, environments.lock_of(target.folder), python)
        environments.ensure(
            root, key, target.folder, python, uv, offline=offline,
            deadline_s=options.install_seconds, on_line=_installer_output(journal),
        )  # fmt: skip


def _ledger(root: Root, record: Record, options: Options) -> git_tag.Ledger | None:
    if not options.tag:
        return None
    if options.tag_repo is not None:
        return git_tag.choose(options.tag_repo, root.path, root.ledger)
    return None if record.ledger is None else git_tag.Ledger(Path(record.ledger), record.ledger == str(root.ledger))


def _journal(listener: Listener) -> tuple[Journal, dict[str, float]]:
    """Return a journal for one command, and the seconds of its phases as they are done."""
    phases: dict[str, float] = {}

    def hear(event: Event) -> None:
        if event.event == "done" and event.seconds is not None:
            phases[event.phase] = event.seconds
        listener.event(event)

    return Journal(None, logs.new_deploy_id(), hear), phases


def _deployed(
    target: Target,
    previous: str | None,
    tag: str | None,
    phases: dict[str, float],
    proof: Proof,
    warnings: list[Finding],
) -> Deployed:
    record = target.record
    return Deployed(
        target.deployment.name, record.version, record.digest, target.release, previous, target.url, tag, record.signer,
        tuple(phases.items()), proof, tuple(warnings),
    )  # fmt: skip


def _bring_up(
    archive: Archive, root: Root, plan: Plan, options: Options, journal: Journal, listener: Listener, hooks: Hooks
) -> tuple[Target, Proof]:
    """Take the bundle from its archive to the service that answers on the public address."""
    deployment, made_here, begin = plan.deployment, False, logs.timestamp()
    folder = deployment.releases / plan.release
    with environments.held(root, plan.environment_key):
        try:
            with journal.phase("unpack"):
                listener.total(plan.manifest.total_bytes)
                folder, made_here = releases.unpack(archive, root, deployment, plan.supply, listener.progress)
            with journal.phase("environment"):
                made = _ensure_environment(root, plan, options, folder, journal, thorough=not made_here)
            hooks.run("pre_deploy", folder, made.programs)
            target = plan.target(made, options.boot_seconds)
            proof = _serve(target, options.care, journal)
            releases.approve(deployment, plan.release)
            return target, proof
        except BaseException as error:
            reason = str(error) or type(error).__name__
            with contextlib.suppress(OSError):  # a full disk: the error at hand tells so
                if folder.is_dir() and deployment.current != plan.release:
                    _run_leniently(hooks, "on_failure", folder, None, journal, reason)
                if made_here and deployment.current != plan.release:
                    tail = instance_tail(deployment, plan.release, _EVIDENCE_LINES, begin)
                    releases.quarantine(deployment, plan.release, tail, reason)
            raise


def _serve(target: Target, care: Care, journal: Journal) -> Proof:
    """Let a release serve; where that fails, what served before serves on, be it with a new supervisor."""
    deployment = target.deployment
    try:
        with client.ensure_supervisor(deployment, target.host, target.port) as supervisor:
            _require_address(supervisor.status().port, target)
            return bring_into_service(supervisor, target, journal, care)
    except BaseException:
        with contextlib.suppress(OcrpackError, OSError):  # the error at hand is the one to tell
            if deployment.current is None:
                client.stop_supervisor(deployment)
            else:
                restore_service(deployment, journal)
        raise


def _require_address(port: int, target: Target) -> None:
    """Refuse to go on when another deploy has meanwhile given the service another address.

    Raises:
        PreflightError: it has.
    """
    if port != target.port:
        name = target.deployment.name
        raise PreflightError(f"{name} serves on port {port} by now, not on {target.port}", "deploy again")


def _ensure_environment(
    root: Root, plan: Plan, options: Options, folder: Path, journal: Journal, *, thorough: bool
) -> environments.Environment:
    if thorough:
        environments.discard_if_damaged(root, plan.environment_key)
    made, fresh = environments.ensure(
        root, plan.environment_key, folder, plan.python, plan.uv, offline=plan.offline,
        deadline_s=options.install_seconds, on_line=_installer_output(journal),
    )  # fmt: skip
    source = " from the bundle's wheels" if fresh and plan.offline else ""
    journal.write("note", f"{'made' if fresh else 'reused'} {made.folder.name}{source}", phase="environment")
    missing = import_check.check(
        made, folder, required_modules(folder, _modules(plan.manifest)), {**os.environ, **plan.descriptor.env},
        options.boot_seconds or plan.descriptor.app.boot_seconds,
    )  # fmt: skip
    if missing:
        raise EnvironmentSetupError(missing[0].message, missing[0].remedy, tuple(missing))
    return made


def _installer_output(journal: Journal) -> Callable[[str], None]:
    return lambda line: journal.write("output", line, phase="environment", level="debug")


def _modules(manifest: Manifest) -> list[str]:
    return [entry.path for entry in manifest.files if entry.role in {"app", "file"} and entry.path.endswith(".py")]


def _finish(
    root: Root,
    target: Target,
    ledger: git_tag.Ledger | None,
    proof: Proof,
    keep: int,
    journal: Journal,
    warnings: list[Finding],
) -> str | None:
    """Tag and prune; their failures are warnings, since the service runs."""
    record, deployment = target.record, target.deployment

    def tag() -> str | None:
        if ledger is None:
            return None
        made = git_tag.mark(ledger, deployment.name, record.version, record.digest, proof.samples)
        journal.write("note", f"{made} in {ledger.path}", phase="tag")
        return made

    def clean() -> None:
        removed = prune(root, deployment, keep)
        if removed:
            journal.write("note", f"removed {', '.join(removed)}", phase="prune")

    made = _leniently("tag", tag, journal, warnings)
    _leniently("prune", clean, journal, warnings)
    return made


def _leniently(phase: str, step: Callable[[], _T], journal: Journal, warnings: list[Finding]) -> _T | None:
    try:
        with journal.phase(phase):
            return step()
    except (OcrpackError, OSError) as error:
        remedy = getattr(error, "remedy", "") or "the service runs; mend the cause and deploy again"
        warnings.append(Finding(phase, str(error), remedy, severity="warning"))
        return None


def _run_leniently(
    hooks: Hooks, kind: Kind, folder: Path, programs: Path | None, journal: Journal, error: str = ""
) -> list[Finding]:
    """Run hooks whose failure changes nothing any more, and return it as a warning."""
    try:
        hooks.run(kind, folder, programs, error)
    except PreflightError as failure:
        journal.write("note", failure.message, phase="hook", level="warning")
        return [Finding("hook", failure.message, failure.remedy, severity="warning")]
    return []


def as_json(deployed: Deployed) -> dict[str, Any]:
    """Return the answer of `deploy --json` and `rollback --json`."""
    return {
        "name": deployed.name,
        "version": deployed.version,
        "digest": deployed.digest,
        "release": deployed.release,
        "previous": deployed.previous,
        "url": deployed.url,
        "tag": deployed.tag,
        "signer": deployed.signer,
        "phases": [{"name": name, "seconds": seconds} for name, seconds in deployed.phases],
        "samples": [sample.as_dict() for sample in deployed.proof.samples],
        "comparison": [one.as_dict() for one in deployed.proof.comparison],
        "warnings": [finding.as_dict() for finding in deployed.warnings],
    }
