"""The bundle's archive: a plain ZIP with one canonical byte form, which reading checks.

Every entry is stored, in the manifest's order, dated 1980-01-01 with mode 0644, with sizes and CRC-32 in its local
header; nothing stands before, between or after the entries; ZIP64 fields are there exactly where a value does not fit
(APPNOTE.TXT 6.3.10, sections 4.3 to 4.5). So one set of files has one sequence of bytes, and a reader needs to
believe nothing: it encodes what it read again and compares.

The manifest is the last entry but for a signature of it. A thin bundle has the same manifest as the full one, and lacks
files of the role `weights`.
"""

from __future__ import annotations

import hashlib
import io
import os
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ocrpack.bundle.manifest import (
    MANIFEST,
    MAX_FILES,
    SIGNATURE,
    Entry,
    Manifest,
    Role,
    check_paths,
    parse,
    size_limit,
)
from ocrpack.bundle.oddity import oddity
from ocrpack.bundle.stream import CHUNK, Digests, Hasher, Progress, Readable, Writable
from ocrpack.descriptor import DESCRIPTOR, Descriptor
from ocrpack.descriptor import parse as parse_descriptor
from ocrpack.errors import BundleError, DescriptorError, Finding, NotFoundError, Where

_LOCAL = struct.Struct("<4sHHHHHIIIHH")
_CENTRAL = struct.Struct("<4sHHHHHHIIIHHHHHII")
_END = struct.Struct("<4sHHHHIIH")
_END64 = struct.Struct("<4sQHHIIQQQQ")
_LOCATOR = struct.Struct("<4sIQI")
_UTF8, _STORED, _TIME, _DATE = 0x0800, 0, 0, (0 << 9) | (1 << 5) | 1
_MODE = 0o100644 << 16
_U16, _U32 = 0xFFFF, 0xFFFFFFFF
_MAX_DIRECTORY = 256 << 20
_MAX_SMALL = 64 << 20
_MAX_SIGNATURE = 64 << 10
CORRUPT_REMEDY = "copy the bundle again, or build it anew"


@dataclass(frozen=True)
class Member:
    """One entry of the archive: where its header starts, its size in bytes and its CRC-32."""

    path: str
    size: int
    crc32: int
    offset: int

    @property
    def start(self) -> int:
        """Where the entry's data starts."""
        return self.offset + len(self.local_header())

    @property
    def end(self) -> int:
        """Where the entry's data ends."""
        return self.start + self.size

    def local_header(self) -> bytes:
        """Encode the entry's local header."""
        name = self.path.encode()
        big = self.size >= _U32
        extra = struct.pack("<HHQQ", 1, 16, self.size, self.size) if big else b""
        size = _U32 if big else self.size
        version = 45 if big else 20
        fixed = _LOCAL.pack(
            b"PK\3\4", version, _UTF8, _STORED, _TIME, _DATE, self.crc32, size, size, len(name), len(extra)
        )
        return fixed + name + extra

    def central_header(self) -> bytes:
        """Encode the entry's record in the central directory."""
        name = self.path.encode()
        large = [value for value in (self.size, self.size, self.offset) if value >= _U32]
        extra = struct.pack(f"<HH{len(large)}Q", 1, 8 * len(large), *large) if large else b""
        size, offset = min(self.size, _U32), min(self.offset, _U32)
        version = 45 if large else 20
        fixed = _CENTRAL.pack(
            b"PK\1\2", 3 << 8 | version, version, _UTF8, _STORED, _TIME, _DATE, self.crc32, size, size,
            len(name), len(extra), 0, 0, 0, _MODE, offset,
        )  # fmt: skip
        return fixed + name + extra


def encode_end(count: int, directory_size: int, directory_offset: int) -> bytes:
    """Encode what follows the central directory."""
    head = b""
    if count >= _U16 or directory_size >= _U32 or directory_offset >= _U32:
        head = _END64.pack(
            b"PK\6\6", 44, 3 << 8 | 45, 45, 0, 0, count, count, directory_size, directory_offset
        ) + _LOCATOR.pack(b"PK\6\7", 0, directory_offset + directory_size, 1)
    tail = _END.pack(
        b"PK\5\6", 0, 0, min(count, _U16), min(count, _U16), min(directory_size, _U32), min(directory_offset, _U32), 0
    )
    return head + tail


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
        small = io.BytesIO() if size < CHUNK else None
        start = self._append(path, size, 0) if small is None else 0
        digests = self._hasher.copy(source, self._file if small is None else small, size, progress)
        if digests.size != size or source.read(1):
            raise BundleError(f"{path} changed while it was packed", "build again when nothing writes to the file")
        if small is None:
            self._seal(start, digests.crc32)
        else:
            self._append(path, size, digests.crc32)
            self._file.write(small.getbuffer())
        self._entries.append(Entry(path, size, digests.sha256, role))
        return self._entries[-1]

    def leave_out(self, path: str, role: Role, source: Readable, size: int, progress: Progress | None = None) -> Entry:
        """Name a file in the manifest, reading it once, and leave its bytes to the target; return its entry."""
        digests = self._hasher.copy(source, None, size, progress)
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


class Archive:
    """An opened bundle whose structure was found canonical; the files' content is checked as it is read."""

    def __init__(self, path: Path) -> None:
        """Open a bundle.

        Raises:
            NotFoundError: there is no such file.
            BundleError: the file cannot be read, is no canonical archive, or its manifest names other files.
        """
        self.path = path
        try:
            if not path.is_file() and path.exists():
                raise BundleError(f"{path} is no plain file", "name a bundle that `ocrpack build` made")
            self._file = path.open("rb", buffering=0)
        except FileNotFoundError:
            raise NotFoundError(f"there is no bundle {path}", "`ocrpack build` makes one") from None
        except OSError as error:
            raise BundleError(
                f"cannot read {path}: {error.strerror}", "name a bundle that `ocrpack build` made"
            ) from None
        try:
            self.members = self._read_directory()
            self.manifest = self._read_manifest()
            self._entries = {entry.path: entry for entry in self.manifest.files}
            self.absent = tuple(entry for entry in self.manifest.files if entry.path not in self.members)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def read(self, path: str, limit: int = _MAX_SMALL) -> bytes:
        """Return a small file's bytes, checked against the manifest.

        Raises:
            BundleError: the file is absent, longer than `limit` bytes, or not what the manifest says.
        """
        entry = self._entries.get(path)
        if entry is None or path not in self.members:
            raise BundleError(f"{self.path.name} holds no {path}", "build the bundle anew")
        if entry.size > limit:
            raise BundleError(f"{path} has {entry.size} bytes, {limit} are allowed")
        data = self._read_at(self.members[path].start, entry.size)
        findings = self._compare(entry, Digests(hashlib.sha256(data).hexdigest(), zlib.crc32(data), len(data)))
        if findings:
            raise self._corrupt(findings)
        return data

    def descriptor(self) -> Descriptor:
        """Return the bundle's descriptor.

        Raises:
            BundleError: it is absent or unsound, or speaks of another bundle than the manifest.
        """
        try:
            descriptor = parse_descriptor(self.read(DESCRIPTOR), f"{self.path.name}/{DESCRIPTOR}")
        except DescriptorError as error:
            raise BundleError(f"{self.path.name}: {error.message}", CORRUPT_REMEDY, error.findings) from None
        if (descriptor.name, descriptor.version) != (self.manifest.name, self.manifest.version):
            raise self._refuse("its descriptor and its manifest name different bundles")
        return descriptor

    def copy(
        self, entry: Entry, sink: Writable | None, hasher: Hasher, progress: Progress | None = None
    ) -> list[Finding]:
        """Copy one file's bytes to `sink` and return what is wrong with them, compared with manifest and header."""
        self._file.seek(self.members[entry.path].start)
        return self._compare(entry, hasher.copy(self._file, sink, entry.size, progress))

    def _compare(self, entry: Entry, digests: Digests) -> list[Finding]:
        """Return what is wrong with a file's digests, compared with manifest and header."""
        member = self.members[entry.path]
        where = Where(f"{self.path.name}/{entry.path}")
        if digests.sha256 != entry.sha256:
            text = f"{entry.path} was altered"
            return [Finding("digest", text, CORRUPT_REMEDY, where, f"SHA-256 {entry.sha256}", digests.sha256)]
        if digests.crc32 != member.crc32:
            text = f"{entry.path}: the archive's checksum does not fit its content"
            return [Finding("crc", text, CORRUPT_REMEDY, where, f"{digests.crc32:08x}", f"{member.crc32:08x}")]
        return []

    def check(self, progress: Progress | None = None) -> list[Finding]:
        """Read every file that is inside once and return what is wrong; an empty list means sound."""
        present = [entry for entry in self.manifest.files if entry.path in self.members]
        with Hasher() as hasher:
            return [finding for entry in present for finding in self.copy(entry, None, hasher, progress)]

    def signature(self) -> bytes:
        """Return the manifest's signature, empty where the bundle is unsigned."""
        member = self.members.get(SIGNATURE)
        if member is None:
            return b""
        data = self._read_at(member.start, member.size)
        if zlib.crc32(data) != member.crc32:
            raise self._refuse(f"{SIGNATURE} was altered")
        return data

    def _corrupt(self, findings: list[Finding]) -> BundleError:
        return BundleError(f"{self.path.name} is corrupt: {findings[0].message}", CORRUPT_REMEDY, tuple(findings))

    def _refuse(self, reason: str) -> BundleError:
        return BundleError(f"{self.path.name} is no sound bundle: {reason}", CORRUPT_REMEDY)

    def _read_at(self, offset: int, size: int) -> bytes:
        self._file.seek(offset)
        parts = []
        while size > 0 and (part := self._file.read(size)):
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def _read_directory(self) -> dict[str, Member]:
        total = os.fstat(self._file.fileno()).st_size
        if total < _END.size:
            raise self._refuse("it is too short for a ZIP")
        count, size, offset, tail = self._read_end(total)
        if count > MAX_FILES + 1 or size > _MAX_DIRECTORY:
            raise self._refuse(f"its directory claims {count} entries in {size} bytes, {MAX_FILES} are allowed")
        if offset + size + len(tail) != total:
            raise self._refuse("its end record does not fit its length: it was cut, or something was added")
        directory = self._read_at(offset, size)
        members = _parse_directory(directory, count, self._refuse)
        expected_offset = 0
        for member in members:
            if member.offset != expected_offset:
                raise self._refuse(f"data before, between or over its entries, at {member.path!r:.200}")
            expected_offset = member.end
        if expected_offset != offset:
            raise self._refuse("data between its last entry and its directory")
        if (
            b"".join(member.central_header() for member in members) != directory
            or encode_end(count, size, offset) != tail
        ):
            raise self._refuse("its directory is not in the canonical form")
        for member in members:
            header = member.local_header()
            if self._read_at(member.offset, len(header)) != header:
                raise self._refuse(f"the two headers of {member.path!r:.200} disagree")
        return {member.path: member for member in members}

    def _read_end(self, total: int) -> tuple[int, int, int, bytes]:
        tail = self._read_at(total - _END.size, _END.size)
        signature, _, _, _, count, size, offset, _ = _END.unpack(tail)
        if signature != b"PK\5\6":
            raise self._refuse("it does not end with a ZIP's end record: it was cut, or is no ZIP")
        if count == _U16 or _U32 in (size, offset):
            start = total - _END.size - _LOCATOR.size - _END64.size
            if start < 0:
                raise self._refuse("its ZIP64 end record is missing")
            tail = self._read_at(start, total - start)
            fields = _END64.unpack(tail[: _END64.size])
            count, size, offset = fields[7], fields[8], fields[9]
        return count, size, offset, tail

    def _read_manifest(self) -> Manifest:
        member = self.members.get(MANIFEST)
        if member is None:
            raise self._refuse("it holds no manifest.json")
        limit = size_limit(self.members)
        if member.size > limit:
            raise self._refuse(f"its manifest has {member.size} bytes, {limit} are allowed for its files")
        data = self._read_at(member.start, member.size)
        if zlib.crc32(data) != member.crc32:
            raise self._refuse("manifest.json was altered")
        manifest = parse(data)
        packed = [(member.path, member.size) for member in self.members.values()]
        signature = self.members.get(SIGNATURE)
        if signature is not None and (signature.size > _MAX_SIGNATURE or packed.pop() != (SIGNATURE, signature.size)):
            raise self._refuse(f"{SIGNATURE} is not the last entry, or has over {_MAX_SIGNATURE} bytes")
        inside = [entry for entry in manifest.files if entry.path in self.members or entry.role != "weights"]
        named = [(entry.path, entry.size) for entry in inside]
        if packed != [*named, (MANIFEST, member.size)]:
            raise self._refuse("its manifest names other files, or other sizes, than it holds")
        return manifest


def _parse_directory(data: bytes, count: int, refuse: Callable[[str], BundleError]) -> list[Member]:
    members: list[Member] = []
    position, odd = 0, ""
    for _ in range(count):
        if position + _CENTRAL.size > len(data):
            raise refuse("its directory is cut")
        fields = _CENTRAL.unpack_from(data, position)
        if fields[0] != b"PK\1\2":
            raise refuse("its directory holds something else than entries")
        crc32, size, name_length, extra_length, offset = fields[7], fields[9], fields[10], fields[11], fields[16]
        start = position + _CENTRAL.size
        try:
            path = data[start : start + name_length].decode()
        except UnicodeDecodeError:
            raise refuse("a name that is not UTF-8") from None
        strange = oddity(fields[1], fields[3], fields[4], fields[8], size, fields[13], fields[15])
        if strange and not odd:
            odd = f"{path!r:.200} {strange}"
        extra = data[start + name_length : start + name_length + extra_length]
        values = list(struct.unpack(f"<{(len(extra) - 4) // 8}Q", extra[4:])) if len(extra) in (12, 20, 28) else []
        if size == _U32 and len(values) >= 2:
            size, values = values[0], values[2:]
        if offset == _U32 and values:
            offset = values[0]
        members.append(Member(path, size, crc32, offset))
        position = start + name_length + extra_length
    if position != len(data):
        raise refuse("its directory does not fit its length")
    check_paths([member.path for member in members])
    if odd:
        raise refuse(odd)
    return members
