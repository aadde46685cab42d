"""Write a bundle's archive, each file read once."""

from __future__ import annotations

import zlib
from typing import BinaryIO

from ocrpack.bundle.format.hashing import CHUNK, Hasher, Progress, Readable, digests_of
from ocrpack.bundle.format.manifest import MANIFEST, SIGNATURE, Entry, Manifest, Role
from ocrpack.bundle.format.zip_records import Member, encode_end
from ocrpack.errors import BundleError


class ArchiveWriter:
    """Writes entries in the manifest's order; `finish` adds the manifest and the directory."""

    def __init__(self, file: BinaryIO, hasher: Hasher) -> None:
        self._file = file
        self._hasher = hasher
        self._members: list[Member] = []
        self._entries: list[Entry] = []

    def add(self, path: str, role: Role, source: Readable, size: int, progress: Progress | None = None) -> Entry:
        """Append one file, reading it once, and return its manifest entry.

        Raises:
            BundleError: the file did not have `size` bytes, since it changed while it was read.
        """
        if size < CHUNK:
            data = source.read(size) or b""
            digests = digests_of(data)
            _refuse_changed(path, source, digests.size, size)
            self._append(path, size, digests.crc32)
            self._file.write(data)
            if progress is not None:
                progress(size)
        else:
            start = self._append(path, size, 0)
            digests = self._hasher.copy(source, self._file, size, progress)
            _refuse_changed(path, source, digests.size, size)
            self._seal(start, digests.crc32)
        self._entries.append(Entry(path, size, digests.sha256, role))
        return self._entries[-1]

    def leave_out(self, path: str, role: Role, source: Readable, size: int, progress: Progress | None = None) -> Entry:
        """Name a file in the manifest, reading it once, and leave its bytes to the target; return its entry."""
        digests = self._hasher.copy(source, None, size, progress)
        _refuse_changed(path, source, digests.size, size)
        self._entries.append(Entry(path, digests.size, digests.sha256, role))
        return self._entries[-1]

    @property
    def entries(self) -> tuple[Entry, ...]:
        """What was added so far."""
        return tuple(self._entries)

    def finish(self, manifest: Manifest, signature: bytes = b"") -> None:
        """Append the manifest, its signature if there is one, and the central directory; the archive is whole then."""
        for path, data in ((MANIFEST, manifest.data), (SIGNATURE, signature)):
            if data:
                self._append(path, len(data), zlib.crc32(data))
                self._file.write(data)
        directory_offset = self._file.tell()
        directory = b"".join(member.central_header() for member in self._members)
        self._file.write(directory + encode_end(len(self._members), len(directory), directory_offset))

    def mark(self) -> tuple[int, int, int]:
        """Return a place to `rewind` to."""
        return self._file.tell(), len(self._members), len(self._entries)

    def rewind(self, mark: tuple[int, int, int]) -> None:
        """Take back all that was written after a mark."""
        self._file.seek(mark[0])
        self._file.truncate()
        del self._members[mark[1] :], self._entries[mark[2] :]

    def _append(self, path: str, size: int, crc32: int) -> int:
        member = Member(path, size, crc32, self._file.tell())
        self._members.append(member)
        self._file.write(member.local_header())
        return member.offset

    def _seal(self, offset: int, crc32: int) -> None:
        last = self._members.pop()
        self._members.append(Member(last.path, last.size, crc32, offset))
        end = self._file.tell()
        self._file.seek(offset)
        self._file.write(self._members[-1].local_header())
        self._file.seek(end)


def _refuse_changed(path: str, source: Readable, found: int, expected: int) -> None:
    if found != expected or source.read(1):
        raise BundleError(f"{path} changed while it was packed", "build again when nothing writes to the file")
