"""The ZIP records of a bundle's archive, to bytes and back: APPNOTE.TXT 6.3.10, sections 4.3 to 4.5."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

from ocrpack.bundle.format.manifest import check_paths
from ocrpack.bundle.format.odd_entries import oddity
from ocrpack.errors import BundleError

_LOCAL = struct.Struct("<4sHHHHHIIIHH")

_CENTRAL = struct.Struct("<4sHHHHHHIIIHHHHHII")

END = struct.Struct("<4sHHHHIIH")

END64 = struct.Struct("<4sQHHIIQQQQ")

LOCATOR = struct.Struct("<4sIQI")

_UTF8, _STORED, _TIME, _DATE = 0x0800, 0, 0, (0 << 9) | (1 << 5) | 1

_MODE = 0o100644 << 16

U16, U32 = 0xFFFF, 0xFFFFFFFF


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
        big = self.size >= U32
        extra = struct.pack("<HHQQ", 1, 16, self.size, self.size) if big else b""
        size = U32 if big else self.size
        version = 45 if big else 20
        fixed = _LOCAL.pack(
            b"PK\3\4", version, _UTF8, _STORED, _TIME, _DATE, self.crc32, size, size, len(name), len(extra)
        )
        return fixed + name + extra

    def central_header(self) -> bytes:
        """Encode the entry's record in the central directory."""
        name = self.path.encode()
        large = [value for value in (self.size, self.size, self.offset) if value >= U32]
        extra = struct.pack(f"<HH{len(large)}Q", 1, 8 * len(large), *large) if large else b""
        size, offset = min(self.size, U32), min(self.offset, U32)
        version = 45 if large else 20
        fixed = _CENTRAL.pack(
            b"PK\1\2", 3 << 8 | version, version, _UTF8, _STORED, _TIME, _DATE, self.crc32, size, size,
            len(name), len(extra), 0, 0, 0, _MODE, offset,
        )  # fmt: skip
        return fixed + name + extra


def encode_end(count: int, directory_size: int, directory_offset: int) -> bytes:
    """Encode what follows the central directory."""
    head = b""
    if count >= U16 or directory_size >= U32 or directory_offset >= U32:
        head = END64.pack(
            b"PK\6\6", 44, 3 << 8 | 45, 45, 0, 0, count, count, directory_size, directory_offset
        ) + LOCATOR.pack(b"PK\6\7", 0, directory_offset + directory_size, 1)
    tail = END.pack(
        b"PK\5\6", 0, 0, min(count, U16), min(count, U16), min(directory_size, U32), min(directory_offset, U32), 0
    )
    return head + tail


def parse_directory(data: bytes, count: int, refuse: Callable[[str], BundleError]) -> list[Member]:
    """Decode the central directory.

    Raises:
        BundleError: it is cut, holds something else, or names an entry that no bundle has.
    """
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
        strange = oddity(
            made_by=fields[1],
            flags=fields[3],
            method=fields[4],
            packed=fields[8],
            size=size,
            disk=fields[13],
            attributes=fields[15],
        )
        if strange and not odd:
            odd = f"{path!r:.200} {strange}"
        extra = data[start + name_length : start + name_length + extra_length]
        values = list(struct.unpack(f"<{(len(extra) - 4) // 8}Q", extra[4:])) if len(extra) in (12, 20, 28) else []
        if size == U32 and len(values) >= 2:
            size, values = values[0], values[2:]
        if offset == U32 and values:
            offset = values[0]
        members.append(Member(path, size, crc32, offset))
        position = start + name_length + extra_length
    if position != len(data):
        raise refuse("its directory does not fit its length")
    check_paths([member.path for member in members])
    if odd:
        raise refuse(odd)
    return members
