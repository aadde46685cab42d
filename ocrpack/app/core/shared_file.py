"""Open files without a name, which hold the documents of a request as long as any process needs them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from typing import IO


class SharedFile:
    """Own an open file without a name: other processes get it by descriptor, and it is gone when the last closes it."""

    def __init__(self, descriptor: int) -> None:
        """Own the descriptor, and close it at the end."""
        self._descriptor = descriptor

    @classmethod
    def copy_of(cls, parts: Iterable[bytes]) -> SharedFile:
        """Return a file with the parts one after the other.

        Raises:
            OSError: there is no space for them.
        """
        with tempfile.TemporaryFile() as file:
            for part in parts:
                file.write(part)
            return cls.same_as(file)

    @classmethod
    def same_as(cls, file: IO[bytes]) -> SharedFile:
        """Return another handle of an open file."""
        file.flush()
        return cls(os.dup(file.fileno()))

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._descriptor

    def content(self) -> bytes:
        """Return the content."""
        return content(self._descriptor)

    def __del__(self) -> None:
        os.close(self._descriptor)


def content(descriptor: int) -> bytes:
    """Return a file's bytes without moving its position, which other processes share; Windows has no `pread`."""
    size = os.fstat(descriptor).st_size
    if not hasattr(os, "pread"):
        os.lseek(descriptor, 0, os.SEEK_SET)
        return os.read(descriptor, size)
    parts, at = [], 0
    while at < size and (part := os.pread(descriptor, size - at, at)):
        parts.append(part)
        at += len(part)
    return b"".join(parts)
