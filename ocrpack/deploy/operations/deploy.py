"""Deploy a bundle: preflight, lock, unpack, environment, boot, gate, promote, observe, drain, tag, prune.

A failure before the promotion leaves a running service untouched and keeps the evidence in `failed/`; one after it
goes back by itself. Whatever a killed deploy left behind is mended by `recover`, which runs first.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from ocrpack import logs
from ocrpack.bundle import Archive, Manifest
from ocrpack.deploy.operations.changeover import Callbacks, Changeover, Deployed, new_journal
from ocrpack.deploy.proof.prove import Proof
from ocrpack.deploy.steps import import_check, preflight
from ocrpack.deploy.steps.hooks import Hooks
from ocrpack.deploy.steps.options import Options
from ocrpack.deploy.steps.plan import Plan, Target
from ocrpack.deploy.steps.promote import instance_tail
from ocrpack.deploy.steps.recover import me, recover
from ocrpack.deploy.store import command_lock, environments, failed_releases, releases
from ocrpack.deploy.store.environments import Environment
from ocrpack.deploy.store.layout import Root
from ocrpack.deploy.system import processes
from ocrpack.descriptor import required_modules
from ocrpack.errors import EnvironmentSetupError, explained_io

_EVIDENCE_LINES = 2000


def deploy(bundle: Path, root: Root, options: Options, callbacks: Callbacks) -> Deployed:
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
    journal, phases = new_journal(callbacks)
    preflight.require_port(options)
    with explained_io("deploy", root.path), Archive(bundle) as archive, processes.mark_children(journal.deploy):
        manifest = archive.manifest
        deployment = root.deployment(manifest.name)
        if deployment.deploy_log.exists():  # before the first deploy, preflight leaves no trace
            journal.keep_in(deployment.deploy_log)
        with journal.command(f"deploy {manifest.name} {manifest.version}", manifest.release, process=me()):
            with journal.phase("preflight"):
                plan = preflight.plan(archive, root, bundle, options)
                for finding in plan.warnings:
                    journal.write("note", finding.message, phase="preflight", level="warning")
            deployment.create()
            with command_lock.hold(deployment, f"deploy {bundle.name}", options.lock_wait_s, journal.deploy):
                journal.keep_in(deployment.deploy_log)
                preflight.refuse_other_content(deployment, manifest)  # again: another deploy may have been faster
                recover(root, deployment, journal)
                changeover = Changeover(
                    root=root,
                    deployment=deployment,
                    options=options,
                    journal=journal,
                    hooks=Hooks(
                        root=root,
                        descriptor=plan.descriptor,
                        release=plan.release,
                        journal=journal,
                        url=plan.url,
                        previous=deployment.current,
                        wanted=options.hooks,
                    ),
                    previous=deployment.current,
                    warnings=[*plan.warnings],
                )
                with environments.held(root, plan.environment_key):
                    target, proof = _bring_up(changeover, archive, plan, callbacks)
                tag = changeover.tag(target, plan.ledger, proof)
                changeover.prune()
                changeover.tell_hooks("post_deploy", target.folder, target.programs)
    return changeover.outcome(target, proof, tag=tag, phases=phases)


def _bring_up(changeover: Changeover, archive: Archive, plan: Plan, callbacks: Callbacks) -> tuple[Target, Proof]:
    """Take the bundle from its archive to the service that answers on the public address."""
    deployment, journal = changeover.deployment, changeover.journal
    folder, made_here, begin = deployment.releases / plan.release, False, logs.timestamp()
    try:
        with journal.phase("unpack"):
            callbacks.on_total(plan.manifest.total_bytes)
            folder, made_here = releases.unpack(archive, changeover.root, deployment, plan.supply, callbacks.on_bytes)
        with journal.phase("environment"):
            # A release that was here already may have an environment that was damaged since.
            environment = _environment(changeover, plan, folder, thorough=not made_here)
        changeover.hooks.run("pre_deploy", folder, environment.programs)
        target = plan.target(environment, changeover.options.boot_seconds)
        proof = changeover.serve(target)  # boot, gate, promote, observe, drain
        releases.approve(deployment, plan.release)
        return target, proof
    except BaseException as error:  # on Ctrl-C, too
        reason = str(error) or type(error).__name__
        with contextlib.suppress(OSError):  # a full disk: the error at hand tells so
            if folder.is_dir() and deployment.current != plan.release:
                changeover.tell_hooks("on_failure", folder, error=reason)
            if made_here and deployment.current != plan.release:
                tail = instance_tail(deployment, plan.release, _EVIDENCE_LINES, begin)
                failed_releases.keep(deployment, plan.release, tail, reason)
        raise


def _environment(changeover: Changeover, plan: Plan, folder: Path, *, thorough: bool) -> Environment:
    """Return the release's environment, made if need be, in which all that the app imports can be imported.

    Raises:
        EnvironmentSetupError: the requirements cannot be installed, or lack a module.
    """
    options = changeover.options
    if thorough:
        environments.discard_if_damaged(changeover.root, plan.environment_key)
    recipe = environments.Recipe(
        release=folder,
        python=plan.python,
        uv=plan.uv,
        offline=plan.offline,
        deadline_s=options.install_seconds,
        on_line=changeover.note_installer,
    )
    environment, fresh = environments.ensure(changeover.root, plan.environment_key, recipe)
    source = " from the bundle's wheels" if fresh and plan.offline else ""
    done = f"{'made' if fresh else 'reused'} {environment.folder.name}{source}"
    changeover.journal.write("note", done, phase="environment")
    modules = required_modules(folder, _modules(plan.manifest))
    variables = {**os.environ, **plan.descriptor.env}
    deadline_s = options.boot_seconds or plan.descriptor.app.boot_seconds
    failing = import_check.failing_imports(environment, folder, modules, variables, deadline_s)
    if failing:
        raise EnvironmentSetupError(failing[0].message, failing[0].remedy, tuple(failing))
    return environment


def _modules(manifest: Manifest) -> list[str]:
    """Return the app's own Python files."""
    return [entry.path for entry in manifest.files if entry.role in {"app", "file"} and entry.path.endswith(".py")]
