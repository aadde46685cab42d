"""What a deployer does with deployments that are there: stop, start, restart, prune, remove."""

from __future__ import annotations

import dataclasses

from ocrpack import logs
from ocrpack.deploy.steps import recover
from ocrpack.deploy.steps.promote import current_release, serve_current
from ocrpack.deploy.steps.prune import prune_deployment, prune_shared
from ocrpack.deploy.store import command_lock
from ocrpack.deploy.store.layout import Deployment, Root
from ocrpack.deploy.supervisor import client
from ocrpack.deploy.supervisor.status import Status, status
from ocrpack.deploy.system import processes
from ocrpack.deploy.system.files import remove_tree
from ocrpack.deploy.systemd import units
from ocrpack.logs import Journal


def stop(deployment: Deployment, lock_wait_s: float = 0) -> bool:
    """Finish the running requests, end everything, and return whether anything ran.

    Neither a full disk nor a damaged state keeps it from stopping.
    """
    journal = _journal(deployment)
    journal.forgive()
    with (
        command_lock.hold(deployment, "stop", lock_wait_s, journal.deploy),
        journal.command(f"stop {deployment.name}", deployment.current or "", process=recover.me()),
    ):
        try:
            deployment.save_state(dataclasses.replace(deployment.load_state(), desired="stopped"))
        finally:
            unit = units.owner(deployment)
            ran = unit is not None and unit.stop()
            ran = client.stop_supervisor(deployment) or ran
        if deployment.way_back.is_laid:
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
    with command_lock.hold(deployment, "start", lock_wait_s, journal.deploy):
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
    with command_lock.hold(deployment, "restart", lock_wait_s, journal.deploy):
        recover.recover(Root(deployment.root), deployment, journal)
        _serve(deployment, "restart", journal)
    return status(deployment)


def _serve(deployment: Deployment, what: str, journal: Journal) -> None:
    name, record, _, _ = current_release(deployment)
    with (
        processes.mark_children(journal.deploy),
        journal.command(f"{what} {deployment.name} {record.version}", name, process=recover.me()),
    ):
        try:
            serve_current(deployment, journal)
        except BaseException:  # on Ctrl-C, too
            recover.keep_or_stop(deployment)
            raise


def prune(root: Root, deployment: Deployment, keep: int, lock_wait_s: float = 0, *, dry_run: bool = False) -> list[str]:
    """Remove releases beyond the newest `keep`, old failures, and what nothing uses then; return their names.

    Never current, the last known good one, or a release with live processes.
    """
    if dry_run:
        return prune_deployment(root, deployment, keep, dry_run=True)
    journal = _journal(deployment)
    with (
        command_lock.hold(deployment, "prune", lock_wait_s, journal.deploy),
        journal.command(f"prune {deployment.name}", deployment.current or "", process=recover.me()),
    ):
        recover.recover(root, deployment, journal)
        removed = prune_deployment(root, deployment, keep)
        journal.write("note", f"removed {', '.join(removed) or 'nothing'}", phase="prune")
    return removed


def _journal(deployment: Deployment) -> Journal:
    return Journal(deployment.deploy_log, logs.new_deploy_id())


def remove(root: Root, deployment: Deployment, lock_wait_s: float = 0) -> None:
    """Stop a deployment and delete all of it, with the environments and weights that nothing else uses."""
    with command_lock.hold(deployment, "remove", lock_wait_s):
        unit = units.owner(deployment)
        if unit is not None:
            unit.remove()
        client.stop_supervisor(deployment)
        remove_tree(deployment.folder)
    prune_shared(root)
