"""Copy bytes once while hashing them: SHA-256 runs beside reading, the CRC-32 and writing.

`hashlib` releases the interpreter lock on large buffers, so two cores are used where there are two. The copy goes
through this process's memory, where it is hashed: copy_file_range(2) was no faster, and its copy has to be read again.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

try:  # several times as fast as zlib's
    from isal.isal_zlib import crc32
except ImportError:
    from zlib import crc32

CHUNK = 1 << 20
_PIECE, _BUFFERS = 4 << 20, 3
"""How much is copied and hashed at a time: large pieces cost few switches between the threads."""
_WRITE_BACK_EVERY_S = 0.3

Progress = Callable[[int], None]
Readable = io.RawIOBase | io.BufferedIOBase


class Writable(Protocol):
    """What bytes go to."""

    def write(self, data: memoryview, /) -> int:
        """Write from the buffer and return the number of bytes."""


@dataclass(frozen=True)
class Digests:
    """What a pass over a stream measured; `sha256` in hex, `size` in bytes."""

    sha256: str
    crc32: int
    size: int


def digests_of(data: bytes) -> Digests:
    """Return the digests of bytes in memory."""
    return Digests(hashlib.sha256(data).hexdigest(), crc32(data), len(data))


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hex.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def written_back(handle: int) -> Iterator[None]:
    """Bring a file to disk while the block still writes to it, and wholly before this returns.

    Waiting for the disk thus runs beside the hashing, instead of after it.

    Raises:
        OSError: the disk failed or is full.
    """
    over = threading.Event()

    def write_back() -> None:
        with contextlib.suppress(OSError):  # the last fsync meets the same fault, and tells
            while not over.wait(_WRITE_BACK_EVERY_S):
                os.fdatasync(handle)

    helper = threading.Thread(target=write_back, name="write-back")
    if hasattr(os, "fdatasync"):
        helper.start()
    try:
        yield
    finally:
        over.set()
        if helper.ident is not None:
            helper.join()
    os.fsync(handle)


class Hasher:
    """Hashes streams; keep one for many files, since it holds a thread and buffers."""

    def __init__(self) -> None:
        self._sha = ThreadPoolExecutor(1, "sha256")
        self._buffers = [memoryview(bytearray(_PIECE)) for _ in range(_BUFFERS)]

    def close(self) -> None:
        """End the thread."""
        self._sha.shutdown()

    def __enter__(self) -> Hasher:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def copy(self, source: Readable, sink: Writable | None, limit: int, progress: Progress | None = None) -> Digests:
        """Read at most `limit` bytes, write them to `sink` if there is one, and return their digests.

        Both are left behind what was copied.

        Raises:
            OSError: reading or writing failed.
        """
        sha, crc, size, turn = hashlib.sha256(), 0, 0, 0
        hashing: deque[Future[None]] = deque()
        while size < limit:
            if len(hashing) == _BUFFERS - 1:  # all buffers but the next one are being hashed
                hashing.popleft().result()
            buffer = self._buffers[turn][: min(_PIECE, limit - size)]
            count = source.readinto(buffer)
            if not count:
                break
            if count < CHUNK and size == 0:
                sha.update(buffer[:count])
            else:
                hashing.append(self._sha.submit(sha.update, buffer[:count]))
                turn = (turn + 1) % _BUFFERS
            crc = crc32(buffer[:count], crc)
            if sink is not None:
                _write_all(sink, buffer[:count])
            size += count
            if progress is not None:
                progress(count)
        for future in hashing:
            future.result()
        return Digests(sha.hexdigest(), crc, size)


def _write_all(sink: Writable, view: memoryview) -> None:
    while view:
        view = view[sink.write(view) :]
