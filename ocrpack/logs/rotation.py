"""Append whole lines to a log, and rotate it by size."""

from __future__ import annotations

import os
import re
from pathlib import Path

MAX_BYTES, KEEP = 10 << 20, 5
"""How large a log may grow before it is rotated, and how many predecessors are kept."""


def append(path: Path, data: bytes) -> None:
    """Append whole lines to a file in one write, after closing a line that a crash cut short; rotate it by size."""
    rotate(path, len(data), MAX_BYTES, KEEP)
    handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o640)
    try:
        size = os.fstat(handle).st_size
        if size and os.pread(handle, 1, size - 1) != b"\n":
            data = b"\n" + data
        os.write(handle, data)
    finally:
        os.close(handle)


def rotate(path: Path, coming: int, max_bytes: int, keep: int) -> None:
    """Move a log aside, and its predecessors along, if `coming` more bytes would make it too large.

    Several processes may do so at once: one of them does.
    """
    if not _too_large(path, coming, max_bytes):
        return
    import fcntl

    guard = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    try:
        fcntl.flock(guard, fcntl.LOCK_EX)
        if _too_large(path, coming, max_bytes):
            for number in range(keep - 1, 0, -1):
                older = path.with_name(f"{path.name}.{number}")
                if older.exists():
                    older.replace(path.with_name(f"{path.name}.{number + 1}"))
            path.replace(path.with_name(f"{path.name}.1"))
    finally:
        os.close(guard)


def _too_large(path: Path, coming: int, max_bytes: int) -> bool:
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        return False
    return size > 0 and size + coming > max_bytes


def rotated_files(path: Path) -> list[Path]:
    """Return a log with its rotated predecessors that exist, oldest first (`instance.log.2`, `.1`, then itself)."""
    older = [file for file in path.parent.glob(f"{path.name}.*") if re.fullmatch(r"\.[1-9][0-9]{0,8}", file.suffix)]
    older.sort(key=lambda file: -int(file.suffix[1:]))
    return [*older, path] if path.exists() else older
