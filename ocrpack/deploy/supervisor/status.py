"""See how a deployment stands, quickly and without changing anything."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from dataclasses import dataclass
from typing import Any

from ocrpack.deploy.proof.app_client import public
from ocrpack.deploy.store import command_lock
from ocrpack.deploy.store.layout import Deployment
from ocrpack.deploy.supervisor import client
from ocrpack.deploy.supervisor.generation import left_running
from ocrpack.errors import PreflightError


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
    last_good: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the status as JSON-ready values."""
        return dataclasses.asdict(self)


def status(deployment: Deployment) -> Status:
    """Return how a deployment stands.

    Raises:
        PreflightError: it is another user's.
        SupervisorError: its supervisor does not answer, or is of a newer ocrpack.
    """
    try:
        state, current = deployment.load_state(), deployment.current
    except PreflightError:
        return Status(
            name=deployment.name,
            version=None,
            digest=None,
            state="damaged",
            url=None,
            pid=None,
            uptime_s=None,
            restarts=0,
        )
    record = state.releases.get(current) if current else None
    good = state.releases.get(state.last_good) if state.last_good else None
    known = Status(
        name=deployment.name,
        version=record.version if record else None,
        digest=record.digest if record else None,
        state="empty" if current is None else "stopped" if state.desired == "stopped" else "failed",
        url=str(public(record.launch, {}, state.host, state.port).reachable) if state.port and record else None,
        pid=None,
        uptime_s=None,
        restarts=0,
        last_good=good.version if good else None,
    )
    supervisor = client.connect(deployment)
    if supervisor is None:
        return dataclasses.replace(known, state="unsupervised") if left_running(deployment) else known
    with supervisor:
        answer = supervisor.status()
    known = dataclasses.replace(known, pid=answer.pid, restarts=answer.restarts)
    serving = answer.serving_generation
    if serving is None:
        return known
    if not serving.alive:
        return dataclasses.replace(known, state="restarting", pid=None)
    uptime = round(time.time() - serving.started, 1)
    return dataclasses.replace(known, state="running", pid=serving.pid, uptime_s=uptime)


def processes(deployment: Deployment) -> list[int]:
    """Return the pids of all that runs of a deployment's releases, the children of their processes included."""
    import psutil

    supervisor = client.connect(deployment)
    if supervisor is None:
        masters = [generation.master.identity.pid for generation in left_running(deployment)]
    else:
        with supervisor:
            masters = [one.pid for one in supervisor.status().generations if one.alive]
    found = []
    for pid in masters:
        with contextlib.suppress(psutil.Error):
            master = psutil.Process(pid)
            found += [pid, *(child.pid for child in master.children(recursive=True))]
    return found


def needs_mending(deployment: Deployment) -> bool:
    """Tell whether a command or a supervisor was killed and left something to finish, to undo or to take over."""
    if deployment.way_back.is_laid or command_lock.was_left(deployment):
        return True
    return bool(client.why_another(deployment))
