"""Open files without a name: what a request holds on disk, for as long as anybody needs it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from typing import IO


class Held:
    """An open file that no other process sees unless it is handed over, and that is gone when nobody holds it."""

    def __init__(self, descriptor: int) -> None:
        """Own a descriptor."""
        self._descriptor = descriptor

    @classmethod
    def copy_of(cls, parts: Iterable[bytes]) -> Held:
        """Return a file that holds all parts.

        Raises:
            OSError: there is no space for it.
        """
        with tempfile.TemporaryFile() as file:
            for part in parts:
                file.write(part)
            return cls.same_as(file)

    @classmethod
    def same_as(cls, file: IO[bytes]) -> Held:
        """Return another handle of an open file."""
        file.flush()
        return cls(os.dup(file.fileno()))

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._descriptor

    def content(self) -> bytes:
        """Return all that the file holds."""
        return content(self._descriptor)

    def __del__(self) -> None:
        os.close(self._descriptor)


def content(descriptor: int) -> bytes:
    """Return a file's bytes without moving its position, which other processes share (but on Windows)."""
    size = os.fstat(descriptor).st_size
    if not hasattr(os, "pread"):
        os.lseek(descriptor, 0, os.SEEK_SET)
        return os.read(descriptor, size)
    parts, at = [], 0
    while at < size and (part := os.pread(descriptor, size - at, at)):
        parts.append(part)
        at += len(part)
    return b"".join(parts)
