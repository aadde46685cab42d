"""Recognise, watch and end processes: a pid alone may have been given to another process since."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen, TimeoutExpired
from typing import Protocol

COMMAND = "OCRPACK_COMMAND"
"""The variable that tells which command started a process."""
_POLL_S = 0.1


@dataclass(frozen=True)
class Identity:
    """A process for good: its pid, when it started, and the boot that it runs in."""

    pid: int
    started: str
    boot: str

    @property
    def alive(self) -> bool:
        """Whether that very process still runs."""
        return identify(self.pid) == self

    def signal(self, number: int) -> None:
        """Send a signal, if it is still that process."""
        if self.alive:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(self.pid, number)

    def kill_group(self) -> None:
        """Kill the process group that it leads, if it is still that process."""
        if self.alive:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)


def boot_id() -> str:
    """Return what tells this boot of the machine from all others."""
    if sys.platform == "linux":
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    import psutil

    return str(psutil.boot_time())


def identify(pid: int) -> Identity | None:
    """Return the identity of a running process, or None."""
    if sys.platform == "linux":
        try:
            fields = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
        except OSError:
            return None
        return None if fields[0] == "Z" else Identity(pid, fields[19], boot_id())
    import psutil

    try:
        process = psutil.Process(pid)
        gone = process.status() == psutil.STATUS_ZOMBIE
        return None if gone else Identity(pid, str(process.create_time()), boot_id())
    except psutil.Error:
        return None


class Master(Protocol):
    """A process that is watched, be it a child or one that an earlier supervisor started."""

    identity: Identity

    def ended(self) -> int | None:
        """Return the status that it ended with (-1 where that cannot be known), or None while it runs."""

    def wait(self, seconds: float | None = None) -> int | None:
        """Wait until it ends, at most that long, and return what `ended` does."""


class Child:
    """A process that this one started."""

    def __init__(self, process: Popen[bytes]) -> None:
        self._process = process
        # One that ended already has no identity any more; this one is alive for nobody.
        self.identity = identify(process.pid) or Identity(process.pid, "", boot_id())

    def ended(self) -> int | None:
        """Return the status that it ended with, or None while it runs."""
        return self._process.poll()

    def wait(self, seconds: float | None = None) -> int | None:
        """Wait until it ends, at most that long, and return its status."""
        with contextlib.suppress(TimeoutExpired):
            return self._process.wait(seconds)
        return None


class Adopted:
    """A process that another one started; its exit status cannot be known."""

    def __init__(self, identity: Identity) -> None:
        self.identity = identity

    def ended(self) -> int | None:
        """Return -1 when it is gone, or None while it runs."""
        return None if self.identity.alive else -1

    def wait(self, seconds: float | None = None) -> int | None:
        """Wait until it is gone, at most that long."""
        deadline = None if seconds is None else time.monotonic() + seconds
        while self.ended() is None and (deadline is None or time.monotonic() < deadline):
            time.sleep(_POLL_S)
        return self.ended()


def started_with(variable: str, value: str) -> Iterator[Identity]:
    """Yield this user's processes whose environment held that value when they started, wherever they belong now."""
    import psutil

    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get(variable) == value:
                found = identify(process.pid)
                if found is not None:
                    yield found


@contextlib.contextmanager
def mark_children(value: str) -> Iterator[None]:
    """Let what is started in the block be found again by `started_with(COMMAND, value)`."""
    os.environ[COMMAND] = value
    try:
        yield
    finally:
        del os.environ[COMMAND]
