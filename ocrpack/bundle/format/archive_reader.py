"""The bundle's archive: a plain ZIP with one canonical byte form, which reading checks.

Every entry is stored, in the manifest's order, dated 1980-01-01 with mode 0644, with sizes and CRC-32 in its local
header; nothing stands before, between or after the entries; ZIP64 fields are there exactly where a value does not fit
(APPNOTE.TXT 6.3.10, sections 4.3 to 4.5). So one set of files has one sequence of bytes, and a reader needs to
believe nothing: it encodes what it read again and compares.

The manifest is the last entry but for a signature of it. A thin bundle has the same manifest as the full one, and lacks
files of the role `weights`.
"""

from __future__ import annotations

import os
import zlib
from pathlib import Path

from ocrpack.bundle.format.hashing import Digests, Hasher, Progress, Writable, digests_of
from ocrpack.bundle.format.manifest import MANIFEST, MAX_FILES, SIGNATURE, Entry, Manifest, parse_manifest, size_limit
from ocrpack.bundle.format.zip_records import END, END64, LOCATOR, U16, U32, Member, encode_end, parse_directory
from ocrpack.descriptor import DESCRIPTOR, Descriptor
from ocrpack.descriptor import parse as parse_descriptor
from ocrpack.errors import BundleError, DescriptorError, Finding, NotFoundError, Where

_MAX_DIRECTORY = 256 << 20
_MAX_SMALL = 64 << 20
_MAX_SIGNATURE = 64 << 10
CORRUPT_REMEDY = "copy the bundle again, or build it anew"


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
        findings = self._compare(entry, digests_of(data))
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
            return [
                Finding("digest", text, CORRUPT_REMEDY, where, expected=f"SHA-256 {entry.sha256}", got=digests.sha256)
            ]
        if digests.crc32 != member.crc32:
            text = f"{entry.path}: the archive's checksum does not fit its content"
            return [
                Finding("crc", text, CORRUPT_REMEDY, where, expected=f"{digests.crc32:08x}", got=f"{member.crc32:08x}")
            ]
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
        if total < END.size:
            raise self._refuse("it is too short for a ZIP")
        count, size, offset, tail = self._read_end(total)
        if count > MAX_FILES + 1 or size > _MAX_DIRECTORY:
            raise self._refuse(f"its directory claims {count} entries in {size} bytes, {MAX_FILES} are allowed")
        if offset + size + len(tail) != total:
            raise self._refuse("its end record does not fit its length: it was cut, or something was added")
        directory = self._read_at(offset, size)
        members = parse_directory(directory, count, self._refuse)
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
        tail = self._read_at(total - END.size, END.size)
        signature, _, _, _, count, size, offset, _ = END.unpack(tail)
        if signature != b"PK\5\6":
            raise self._refuse("it does not end with a ZIP's end record: it was cut, or is no ZIP")
        if count == U16 or U32 in (size, offset):
            start = total - END.size - LOCATOR.size - END64.size
            if start < 0:
                raise self._refuse("its ZIP64 end record is missing")
            tail = self._read_at(start, total - start)
            fields = END64.unpack(tail[: END64.size])
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
        manifest = parse_manifest(data)
        packed = [(member.path, member.size) for member in self.members.values()]
        signature = self.members.get(SIGNATURE)
        if signature is not None and (signature.size > _MAX_SIGNATURE or packed.pop() != (SIGNATURE, signature.size)):
            raise self._refuse(f"{SIGNATURE} is not the last entry, or has over {_MAX_SIGNATURE} bytes")
        inside = [entry for entry in manifest.files if entry.path in self.members or entry.role != "weights"]
        named = [(entry.path, entry.size) for entry in inside]
        if packed != [*named, (MANIFEST, member.size)]:
            raise self._refuse("its manifest names other files, or other sizes, than it holds")
        return manifest
