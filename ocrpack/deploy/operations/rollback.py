"""Roll back: deploy a release again that is here already, through the same gate as a deploy."""

from __future__ import annotations

import contextlib
from pathlib import Path

from packaging.version import InvalidVersion, Version

from ocrpack.deploy.operations.changeover import Callbacks, Changeover, Deployed, new_journal
from ocrpack.deploy.proof.prove import Proof
from ocrpack.deploy.steps import preflight
from ocrpack.deploy.steps.hooks import Hooks
from ocrpack.deploy.steps.options import Options
from ocrpack.deploy.steps.plan import Target
from ocrpack.deploy.steps.promote import recorded
from ocrpack.deploy.steps.recover import me, recover
from ocrpack.deploy.store import command_lock, environments, interpreters
from ocrpack.deploy.store.layout import Deployment, Root
from ocrpack.deploy.store.state import Record
from ocrpack.deploy.system import processes
from ocrpack.deploy.tracking import git_tag
from ocrpack.errors import NotFoundError, UsageError, explained_io


def rollback(deployment: Deployment, to: str | None, root: Root, options: Options, callbacks: Callbacks) -> Deployed:
    """Bring a release that served before into service again: the last known good one, or the one of a version.

    What serves now goes on if that fails.

    Raises:
        NotFoundError: there is no such release.
        UsageError: it is current already.
        LockedError: another command holds the deployment's lock.
        PreflightError: there is no memory for both releases.
        EnvironmentSetupError: its environment is gone and cannot be made again.
        BootError: it did not come up.
        SmokeError: it read a sample wrong, or worse than the options allow.
    """
    journal, phases = new_journal(callbacks)
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
        name, record = find_earlier(deployment, to)
        journal.write("note", f"from {previous} to {name}", phase="rollback", release=name)
        target = recorded(deployment, name, record)
        preflight.require_memory(target.descriptor, deployment, stop_first=options.care.stop_first)
        ledger = _ledger(root, record, options)
        changeover = Changeover(
            root=root,
            deployment=deployment,
            options=options,
            journal=journal,
            hooks=Hooks(
                root=root,
                descriptor=target.descriptor,
                release=name,
                journal=journal,
                url=target.url,
                previous=previous,
                wanted=options.hooks,
            ),
            previous=previous,
        )
        with environments.held(root, record.environment):
            with journal.phase("environment"):
                _restore_environment(changeover, target)
            proof = _bring_up(changeover, target)
        tag = changeover.tag(target, ledger, proof)
        changeover.prune()
        changeover.tell_hooks("post_deploy", target.folder, target.programs)
    return changeover.outcome(target, proof, tag=tag, phases=phases)


def find_earlier(deployment: Deployment, to: str | None) -> tuple[str, Record]:
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
    """Tell whether two versions are the same one by PEP 440, as 1.0 and 1.0.0 are."""
    try:
        return Version(one) == Version(other)
    except InvalidVersion:
        return False


def _ledger(root: Root, record: Record, options: Options) -> git_tag.Ledger | None:
    """Return the repository for the tag: the given one, else the one that the release was tagged in before."""
    if not options.tag:
        return None
    if options.tag_repo is not None:
        return git_tag.choose_repository(options.tag_repo, root.path, root.ledger)
    return None if record.ledger is None else git_tag.Ledger(Path(record.ledger), record.ledger == str(root.ledger))


def _restore_environment(changeover: Changeover, target: Target) -> None:
    """Make a release's environment again if it was removed; the release's requirements are in its folder."""
    key = target.record.environment
    if environments.find(changeover.root, key) is not None:
        return
    uv = interpreters.choose_installer(changeover.options.installer)
    python = interpreters.find_python(target.descriptor.python, uv)
    recipe = environments.Recipe(
        release=target.folder,
        python=python,
        uv=uv,
        offline=environments.carries_all(target.folder, environments.lock_of(target.folder), python),
        deadline_s=changeover.options.install_seconds,
        on_line=changeover.note_installer,
    )
    environments.ensure(changeover.root, key, recipe)


def _bring_up(changeover: Changeover, target: Target) -> Proof:
    """Take the release from its environment to the service that answers on the public address."""
    try:
        changeover.hooks.run("pre_deploy", target.folder, target.programs)
        return changeover.serve(target)
    except BaseException as error:  # on Ctrl-C, too
        if changeover.deployment.current != target.release:
            with contextlib.suppress(OSError):  # the error at hand is the one to tell
                changeover.tell_hooks("on_failure", target.folder, target.programs, str(error))
        raise
