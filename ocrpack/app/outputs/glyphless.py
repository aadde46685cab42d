"""A font for text that is found and copied but never seen: one glyph for all characters.

Tesseract's searchable PDFs had the idea. A composite font (PDF 32000-1, 9.7) has codes of two bytes; here all of them
show the same glyph, and the ToUnicode map tells which character each means, beyond the Basic Multilingual Plane, too.
The glyph is a box as large as a character, not blank: PDFium, with which Chrome shows PDFs, takes the place of a
character from its glyph, and would lose turned text.
"""

from __future__ import annotations

import struct

WIDTH = 500
"""The width of each character in thousandths of the font's size; its height is 1000."""
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
MAX_CODES = 0xFFFF

_CMAP = """/CIDInit /ProcSet findresource begin
12 dict begin
begincmap
/CIDSystemInfo << /Registry (Adobe) /Ordering (UCS) /Supplement 0 >> def
/CMapName /Adobe-Identity-UCS def
/CMapType 2 def
1 begincodespacerange
<0000> <FFFF>
endcodespacerange
{blocks}endcmap
CMapName currentdict /CMap defineresource pop
end
end
"""


class Codes:
    """Give characters codes, from 1, in the order in which they come."""

    def __init__(self) -> None:
        """Start with U+FFFD, whose code all characters get when no other is left."""
        self._codes = {REPLACEMENT: 1}

    def __len__(self) -> int:
        return len(self._codes)

    def encode(self, text: str) -> str:
        """Return a PDF string of `text`, in hexadecimal."""
        for character in text:
            if character not in self._codes and len(self) < MAX_CODES:
                self._codes[character] = len(self) + 1
        return "<{}>".format("".join(f"{self._codes.get(character, 1):04X}" for character in text))

    def to_unicode(self) -> bytes:
        """Return the ToUnicode map (Adobe Technical Note 5411), in blocks of at most 100 characters."""
        pairs = [f"<{code:04X}> <{character.encode('utf-16-be').hex()}>\n" for character, code in self._codes.items()]
        blocks = [pairs[start : start + 100] for start in range(0, len(pairs), 100)]
        texts = (f"{len(block)} beginbfchar\n{''.join(block)}endbfchar\n" for block in blocks)
        return _CMAP.format(blocks="".join(texts)).encode()

    def to_glyphs(self) -> bytes:
        """Return the CIDToGIDMap: all codes show glyph 1, since glyph 0 means that a character is missing."""
        return b"\0\0" + b"\0\1" * len(self)


def true_type() -> bytes:
    """Return the font file with the tables that PDF 32000-1, 9.9, demands; its bytes are always the same."""
    corners = ((0, 0, WIDTH, 0), (0, 1000, 0, -1000))  # x and y, each relative to the one before
    box = struct.pack(">5h2H4B8h", 1, 0, 0, WIDTH, 1000, 3, 0, 1, 1, 1, 1, *corners[0], *corners[1])
    tables = {
        b"glyf": box,
        b"head": struct.pack(
            ">4I2H2q4h2H3h", 0x10000, 0x10000, 0, 0x5F0F3CF5, 3, 1000, 0, 0, 0, 0, WIDTH, 1000, 0, 8, 2, 0, 0
        ),
        b"hhea": struct.pack(">I3hH3h8hH", 0x10000, 1000, 0, 0, WIDTH, 0, 0, WIDTH, 1, *[0] * 7, 1),
        b"hmtx": struct.pack(">Hhh", WIDTH, 0, 0),
        b"loca": struct.pack(">3H", 0, 0, len(box) // 2),
        b"maxp": struct.pack(">I14H", 0x10000, 2, 4, 1, 0, 0, 1, *[0] * 8),
    }
    offset = 12 + 16 * len(tables)
    directory, bodies = struct.pack(">I4H", 0x10000, len(tables), 64, 2, 16 * len(tables) - 64), b""
    for tag, table in tables.items():
        directory += struct.pack(">4s3I", tag, _sum(table), offset + len(bodies), len(table))
        bodies += table + bytes(-len(table) % 4)
    font = directory + bodies
    adjustment = struct.pack(">I", (0xB1B0AFBA - _sum(font)) % 2**32)
    place = font.index(tables[b"head"]) + 8
    return font[:place] + adjustment + font[place + 4 :]


def _sum(table: bytes) -> int:
    padded = table + bytes(-len(table) % 4)
    words: tuple[int, ...] = struct.unpack(f">{len(padded) // 4}I", padded)
    return sum(words) % 2**32
