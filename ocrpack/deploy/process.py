"""Recognise processes again: a pid alone may have been given to another process since."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Identity:
    """A process for good: its pid, when it started, and the boot that it runs in."""

    pid: int
    started: str
    boot: str

    def save(self, path: Path) -> None:
        """Write the identity to a file."""
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")

    @property
    def alive(self) -> bool:
        """Whether that very process still runs."""
        return identify(self.pid) == self

    def kill_group(self) -> None:
        """Kill the process group that it leads, if it is still that process."""
        if self.alive:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)


def identify(pid: int) -> Identity | None:
    """Return the identity of a running process, or None."""
    if sys.platform == "linux":
        try:
            fields = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
            boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        except OSError:
            return None
        return None if fields[0] == "Z" else Identity(pid, fields[19], boot)
    import psutil

    try:
        return Identity(pid, str(psutil.Process(pid).create_time()), str(psutil.boot_time()))
    except psutil.Error:
        return None


def load(path: Path) -> Identity | None:
    """Read an identity from a file, or None where there is none that can be read."""
    try:
        return Identity(**json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError):
        return None
