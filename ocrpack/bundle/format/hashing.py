"""Copy bytes once while hashing them: SHA-256, CRC-32 and the copy run side by side.

`hashlib` and the CRC-32 release the interpreter lock on large buffers, so two cores are used where there are two. From
file to file the kernel copies (copy_file_range(2)), and what is hashed is then read from the copy: the digests are
those of the bytes that lie there, even if the source changes meanwhile.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import os
import stat
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

try:  # several times as fast as zlib's
    from isal.isal_zlib import crc32
except ImportError:
    from zlib import crc32

CHUNK = 1 << 20
BUFFERS = 4
_REGION, _REGIONS_AHEAD = 4 << 20, 4
_WORTH_THREADS = 8 << 20
"""From this size on, threads and the kernel's copy save more than they cost."""
_CANNOT_COPY = {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM, errno.EBADF}
"""What copy_file_range(2) answers where a kernel, a file system or a mode of opening does not allow it."""
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
    """Hashes streams; keep one for many files, since it holds threads and buffers."""

    def __init__(self) -> None:
        self._sha = ThreadPoolExecutor(1, "sha256")
        self._crc = ThreadPoolExecutor(1, "crc32")
        self._buffers = [memoryview(bytearray(CHUNK)) for _ in range(BUFFERS)]

    def close(self) -> None:
        """End the threads."""
        self._sha.shutdown()
        self._crc.shutdown()

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
        progress = progress or _untold
        if limit >= _WORTH_THREADS:
            origin, copy = _handle(source), None if sink is None else _handle(sink)
            if origin is not None and sink is None:
                return self._digest_file(source, origin, limit, progress)
            if origin is not None and copy is not None and hasattr(os, "copy_file_range"):
                found = self._copy_in_kernel(source, sink, limit, progress)
                if found is not None:
                    return found
        return self._copy_through(source, sink, limit, progress)

    def _digest_file(self, source: Readable, handle: int, limit: int, progress: Progress) -> Digests:
        begin = source.tell()
        digesting = _Digesting(self._sha, self._crc, handle)
        left = min(limit, max(0, os.fstat(handle).st_size - begin))
        while left:
            length = min(left, _REGION)
            digesting.add(begin, length)
            progress(length)
            begin, left = begin + length, left - length
        source.seek(begin)
        return digesting.result()

    def _copy_in_kernel(self, source: Readable, sink: Any, limit: int, progress: Progress) -> Digests | None:
        """Copy from file to file, or return None where this kernel or file system cannot; nothing is copied then."""
        sink.flush()
        origin, copy = source.fileno(), sink.fileno()
        begin, at, done = source.tell(), sink.tell(), 0
        digesting = _Digesting(self._sha, self._crc, copy)
        while done < limit:
            try:
                count = os.copy_file_range(origin, copy, min(_REGION, limit - done), begin + done, at + done)
            except OSError as error:
                if done == 0 and error.errno in _CANNOT_COPY:
                    return None
                raise
            if count == 0:
                break
            digesting.add(at + done, count)
            done += count
            progress(count)
        source.seek(begin + done)
        sink.seek(at + done)
        return digesting.result()

    def _copy_through(self, source: Readable, sink: Writable | None, limit: int, progress: Progress) -> Digests:
        """Copy through this process's memory, as streams and small files need it."""
        sha, crc, size, turn = hashlib.sha256(), 0, 0, 0
        hashing: deque[Future[None]] = deque()
        while size < limit:
            if len(hashing) == BUFFERS - 1:
                hashing.popleft().result()
            count = source.readinto(self._buffers[turn][: min(CHUNK, limit - size)])
            if not count:
                break
            view = self._buffers[turn][:count]
            if count < CHUNK and size == 0:
                sha.update(view)
            else:
                hashing.append(self._sha.submit(sha.update, view))
                turn = (turn + 1) % BUFFERS
            crc = crc32(view, crc)
            if sink is not None:
                _write_all(sink, view)
            size += count
            progress(count)
        for future in hashing:
            future.result()
        return Digests(sha.hexdigest(), crc, size)


class _Digesting:
    """Digests of consecutive regions of a file, made by two threads while the caller goes on."""

    def __init__(self, sha: ThreadPoolExecutor, crc: ThreadPoolExecutor, handle: int) -> None:
        self._executors = sha, crc
        self._handle = handle
        self._sha256 = hashlib.sha256()
        self._crc32 = 0
        self._size = 0
        self._pending: deque[tuple[Future[None], Future[None]]] = deque()

    def add(self, begin: int, length: int) -> None:
        """Digest the next region; wait where the threads are too far behind, so that they read from the cache."""
        if len(self._pending) == _REGIONS_AHEAD:
            self._wait_for_one()
        steps = self._sha256.update, self._add_crc
        one, other = (
            executor.submit(self._feed, step, begin, length)
            for executor, step in zip(self._executors, steps, strict=True)
        )
        self._pending.append((one, other))
        self._size += length

    def result(self) -> Digests:
        """Return the digests of all regions.

        Raises:
            OSError: the file cannot be read, or became shorter.
        """
        while self._pending:
            self._wait_for_one()
        return Digests(self._sha256.hexdigest(), self._crc32, self._size)

    def _wait_for_one(self) -> None:
        for future in self._pending.popleft():
            future.result()

    def _add_crc(self, view: memoryview) -> None:
        self._crc32 = crc32(view, self._crc32)

    def _feed(self, step: Callable[[memoryview], None], begin: int, length: int) -> None:
        buffer = memoryview(bytearray(min(CHUNK, length)))
        while length:
            count = os.preadv(self._handle, [buffer[: min(CHUNK, length)]], begin)
            if not count:
                raise OSError(errno.EIO, "the file became shorter while it was read")
            step(buffer[:count])
            begin, length = begin + count, length - count


def _untold(_: int) -> None:
    """Tell nobody."""


def _handle(stream: object) -> int | None:
    """Return the descriptor of a plain file that can be read at any place, None for other streams."""
    if not hasattr(os, "preadv") or not isinstance(stream, io.FileIO | io.BufferedReader | io.BufferedRandom):
        return None
    handle = stream.fileno()
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        return None
    return handle


def _write_all(sink: Writable, view: memoryview) -> None:
    while view:
        view = view[sink.write(view) :]
