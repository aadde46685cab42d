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
_PIECE, _BUFFERS = 4 << 20, 3
"""How much is copied and hashed at a time: large pieces cost few switches between the threads."""
_CANNOT_COPY = {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM}
"""What copy_file_range(2) answers where a kernel or a file system does not do it."""
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
        kernel = _KernelCopy.between(source, sink) if limit >= _PIECE else None
        while size < limit:
            if len(hashing) == _BUFFERS - 1:  # all buffers but the next one are being hashed
                hashing.popleft().result()
            buffer = self._buffers[turn][: min(_PIECE, limit - size)]
            count = kernel.copy(buffer) if kernel else None
            if count is None:
                kernel = None
                count = source.readinto(buffer) or 0
                if sink is not None:
                    _write_all(sink, buffer[:count])
            if count == 0:
                break
            if count < CHUNK and size == 0:
                sha.update(buffer[:count])
            else:
                hashing.append(self._sha.submit(sha.update, buffer[:count]))
                turn = (turn + 1) % _BUFFERS
            crc = crc32(buffer[:count], crc)
            size += count
            if progress is not None:
                progress(count)
        for future in hashing:
            future.result()
        if kernel:
            kernel.seek()
        return Digests(sha.hexdigest(), crc, size)


class _KernelCopy:
    """Copies from file to file by copy_file_range(2), and reads the copy."""

    def __init__(self, source: Any, sink: Any) -> None:
        sink.flush()
        self._source, self._sink = source, sink
        self._from, self._to = source.tell(), sink.tell()

    @classmethod
    def between(cls, source: object, sink: object) -> _KernelCopy | None:
        """Return a copy between two plain files, None between other streams or where the system has none."""
        able = hasattr(os, "copy_file_range") and hasattr(os, "preadv")
        return cls(source, sink) if able and _is_plain(source) and _is_plain(sink) else None

    def copy(self, buffer: memoryview) -> int | None:
        """Copy at most a buffer's length, fill the buffer from the copy, and return the number of bytes.

        None is returned, and nothing is copied, where this kernel or file system cannot do it.
        """
        try:
            source, sink = self._source.fileno(), self._sink.fileno()
            count = os.copy_file_range(source, sink, len(buffer), self._from, self._to)
        except OSError as error:
            if error.errno not in _CANNOT_COPY:
                raise
            self.seek()
            return None
        done = 0
        while done < count:
            read = os.preadv(sink, [buffer[done:count]], self._to + done)
            if not read:
                raise OSError(errno.EIO, "the copy became shorter while it was read")
            done += read
        self._from, self._to = self._from + count, self._to + count
        return count

    def seek(self) -> None:
        """Leave both files behind what was copied."""
        self._source.seek(self._from)
        self._sink.seek(self._to)


def _is_plain(stream: object) -> bool:
    """Tell whether a stream is a plain file that can be read at any place."""
    if not isinstance(stream, io.FileIO | io.BufferedReader | io.BufferedRandom) or not stream.readable():
        return False
    return stat.S_ISREG(os.fstat(stream.fileno()).st_mode)


def _write_all(sink: Writable, view: memoryview) -> None:
    while view:
        view = view[sink.write(view) :]
