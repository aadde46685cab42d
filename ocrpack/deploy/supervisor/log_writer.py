"""Write a generation's output to the instance log, each line with time and release, and rotate it by size.

It runs as a process of its own, one a generation: it outlives the supervisor, so that the app never writes to a
broken pipe, and it ends when the last process of the generation has closed its output. Several may write to one
log: lines are appended whole, and rotation is guarded by a lock.

Usage: python -m ocrpack.deploy.supervisor.log_writer LOG RELEASE < output
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from pathlib import Path

from ocrpack.logs import KEEP, MAX_BYTES, rotate, timestamp

MAX_LINE = 16 << 10


class InstanceLog:
    """One writer of a rotated log."""

    def __init__(self, path: Path, release: str, max_bytes: int = MAX_BYTES, keep: int = KEEP) -> None:
        self._path = path
        self._release = release
        self._max_bytes = max_bytes
        self._keep = keep
        self._handle = self._open()
        self._cut = False

    def write(self, line: bytes) -> None:
        """Append one line of output; a line that a full disk cut short is closed first."""
        text = line.rstrip(b"\r\n").replace(b"\r", b" ")
        stamped = f"{timestamp()} {self._release} ".encode() + text + b"\n"
        if os.fstat(self._handle).st_size + len(stamped) > self._max_bytes or self._moved():
            rotate(self._path, len(stamped), self._max_bytes, self._keep)
            self._open_anew()
        if self._cut:
            stamped = b"\n" + stamped
        self._cut = os.write(self._handle, stamped) < len(stamped)

    def _open(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)

    def _open_anew(self) -> None:
        fresh = self._open()
        os.close(self._handle)
        self._handle = fresh

    def _moved(self) -> bool:
        try:
            return self._path.stat().st_ino != os.fstat(self._handle).st_ino
        except FileNotFoundError:
            return True


def main(path: str, release: str) -> None:
    """Copy stdin to the log until it ends; a full disk loses lines, never the app."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    log: InstanceLog | None = None
    with os.fdopen(0, "rb") as output:
        while line := output.readline(MAX_LINE):
            with contextlib.suppress(OSError):
                log = log or InstanceLog(Path(path), release)
                log.write(line)


if __name__ == "__main__":
    main(*sys.argv[1:])
