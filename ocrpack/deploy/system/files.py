"""Write, sync and remove files so that a crash or a full disk never leaves half of one."""

from __future__ import annotations

import ctypes
import os
import shutil
import stat
import tempfile
from collections.abc import Iterable
from pathlib import Path


def write_durably(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Replace a file's content atomically; it is on disk when this returns."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(handle, mode)
            file.write(data)
            file.flush()
            os.fsync(handle)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    fsync(path.parent)


def fsync(path: Path) -> None:
    """Bring a file's content, or a folder's entries, to disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_new(path: Path, data: bytes, mode: int) -> None:
    """Write a file that is not there yet.

    Raises:
        OSError: it is there, or the disk is full.
    """
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        os.fchmod(handle, mode)
        left = memoryview(data)
        while left:
            left = left[os.write(handle, left) :]
    finally:
        os.close(handle)


def sync_tree(folder: Path, files: Iterable[Path]) -> None:
    """Bring new files and their folders to disk: on Linux the whole file system at once, which is faster than each.

    Raises:
        OSError: the disk failed or is full.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if hasattr(libc, "syncfs"):
        handle = os.open(folder, os.O_RDONLY)
        try:
            if libc.syncfs(handle) == 0:
                return
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(folder))
        finally:
            os.close(handle)
    for path in files:
        fsync(path)


def remove_tree(folder: Path) -> None:
    """Delete a folder with all below it, read-only files and folders included."""
    if not folder.is_dir():
        folder.unlink(missing_ok=True)
        return
    for path, folders, _ in os.walk(folder):
        for name in folders:
            if not (Path(path) / name).is_symlink():
                (Path(path) / name).chmod(stat.S_IRWXU)
    folder.chmod(stat.S_IRWXU)
    shutil.rmtree(folder)
