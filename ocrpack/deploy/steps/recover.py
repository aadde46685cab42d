"""Mend what a killed command or supervisor left, and remove what nothing needs any more."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import time
from collections.abc import Iterator
from typing import Any

from ocrpack import logs
from ocrpack.deploy.steps.promote import keep_serving, serve_current
from ocrpack.deploy.store import command_lock, releases, secrets_file
from ocrpack.deploy.store.layout import Deployment, Root
from ocrpack.deploy.supervisor import client, status
from ocrpack.deploy.supervisor.generation import left_running
from ocrpack.deploy.system import processes
from ocrpack.errors import OcrpackError
from ocrpack.logs import Journal

_CANDIDATES_END_S = 10.0
KILLED = 137
"""The status of a command that ended by SIGKILL, as shells tell it."""


def mend(root: Root, deployment: Deployment) -> None:
    """Recover where that is needed and nobody else is at it; for commands that only look.

    What cannot be mended is in the journal and does not keep them from looking.
    """
    with contextlib.suppress(OcrpackError, OSError):
        if status.needs_mending(deployment):
            with command_lock.hold(deployment, "recover"):
                recover(root, deployment, Journal(deployment.deploy_log, logs.new_deploy_id()))


def me() -> dict[str, Any]:
    """Return this process, as the journal's `begin` events name who began."""
    identity = processes.identify(os.getpid())
    return dataclasses.asdict(identity) if identity else {}


def recover(root: Root, deployment: Deployment, journal: Journal) -> None:
    """Finish or undo what was left half done, and let current serve if it does not; hold the deployment's lock.

    Each is told in the journal.

    A release that does not come up again is noted: the command at hand may be the remedy.
    """

    def say(text: str) -> None:
        journal.write("note", text, phase="recover", level="warning")

    for event in _killed(deployment):
        for orphan in processes.started_with(processes.COMMAND, event.deploy):
            orphan.signal(signal.SIGKILL)
        text = f"{event.message} was killed, or could not write here; the next command wrote this end"
        Journal(deployment.deploy_log, event.deploy).write(
            "end", text, level="error", release=event.release, ok=False, exit_code=KILLED
        )
    end_promotion(deployment, journal)
    for name in releases.clean_leftovers(root, deployment, _still_running(deployment)):
        say(f"removed {name}, which an interrupted deploy left")
    forget_records(deployment)
    try:
        restore_service(deployment, journal)
    except OcrpackError as error:
        say(f"the current release does not serve: {error}")


def restore_service(deployment: Deployment, journal: Journal) -> None:
    """Let the current release serve if it is meant to and does not, with the processes that are there if possible.

    Raises:
        BootError: it does not come up.
        SmokeError: it reads a sample wrong.
    """
    why = keep_serving(deployment)
    if why:
        text = f"{why}: a new one took over what runs"
        journal.write("note", text, phase="recover", level="warning")
    serving = _serving(deployment)
    if deployment.current and deployment.load_state().desired == "running" and serving != deployment.current:
        text = f"{serving or 'nothing'} serves: starting {deployment.current}, which is current"
        journal.write("note", text, phase="recover", level="warning")
        serve_current(deployment, journal)


def _still_running(deployment: Deployment) -> set[str]:
    """Return the releases with live processes, once candidates of killed commands had time to end."""
    deadline = time.monotonic() + _CANDIDATES_END_S
    while (running := set(running_releases(deployment))) - {deployment.current} and time.monotonic() < deadline:
        time.sleep(0.1)
    return running


def _killed(deployment: Deployment) -> Iterator[logs.Event]:
    """Yield the `begin` events of commands that wrote no `end` and run no more."""
    open_ones: dict[str, logs.Event] = {}
    for event in logs.read(deployment.deploy_log, _parse_frame):
        if event.event == "begin":
            open_ones[event.deploy] = event
        elif event.event == "end":
            open_ones.pop(event.deploy, None)
    for event in open_ones.values():
        with contextlib.suppress(TypeError, KeyError):
            if not processes.Identity(**event.data["process"]).alive:
                yield event


def _parse_frame(line: str) -> logs.Event | None:
    """Read a line of the journal if it begins or ends a command; all others are not even parsed."""
    return logs.parse_journal_line(line) if '"event":"begin"' in line or '"event":"end"' in line else None


def end_promotion(deployment: Deployment, journal: Journal) -> None:
    """Finish a promotion that was interrupted after it had moved `current`, or undo it."""
    if not deployment.way_back.is_laid:
        return
    if deployment.way_back.was_promoted:
        secrets_file.commit(deployment.secrets)
        deployment.way_back.forget()
        text = f"finished the promotion of {deployment.current}, which was interrupted"
    else:
        secrets_file.drop(deployment.secrets)
        deployment.way_back.go()
        text = f"undid a promotion that was interrupted; {deployment.current or 'nothing'} stays current"
    journal.write("note", text, phase="recover", level="warning")


def forget_records(deployment: Deployment) -> None:
    """Drop what `state.json` knows of releases that are gone."""
    state = deployment.load_state()
    kept = {name: record for name, record in state.releases.items() if (deployment.releases / name).is_dir()}
    if len(kept) != len(state.releases):
        good = state.last_good if state.last_good in kept else None
        deployment.save_state(dataclasses.replace(state, releases=kept, last_good=good))


def keep_or_stop(deployment: Deployment) -> None:
    """After a start that failed: keep what serves, and end what does not."""
    with contextlib.suppress(OcrpackError):
        keep_serving(deployment)
        if _serving(deployment) is None:
            client.stop_supervisor(deployment)


def _serving(deployment: Deployment) -> str | None:
    """Return the release that serves."""
    supervisor = client.connect(deployment)
    if supervisor is None:
        return None
    with supervisor:
        found = supervisor.status().serving_generation
    return None if found is None else found.release


def running_releases(deployment: Deployment) -> Iterator[str]:
    """Yield the releases with live processes, some of them twice."""
    supervisor = client.connect(deployment)
    if supervisor is not None:
        with supervisor:
            yield from (one.release for one in supervisor.status().generations)
    yield from (generation.release for generation in left_running(deployment))
