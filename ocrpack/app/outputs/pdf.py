"""Write an answer as a searchable PDF 1.7: each page is its image, with the text invisibly where it was read.

The JPEGs are embedded unchanged, and so is the font. Nothing depends on the time or on chance: the same answer and
images give the same bytes.
"""

from __future__ import annotations

import hashlib
import math
import zlib
from typing import TYPE_CHECKING

from .glyphless import WIDTH, Codes, true_type
from .layout import pages

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .layout import Answer, Page, Word

DPI = 96
"""The resolution of images whose own is unknown."""
POINTS = 72  # an inch
MIN_SIDE, MAX_SIDE = 3, 14_400  # in points; Acrobat's limits (PDF 32000-1, annex C)


def render(answer: Answer, images: Sequence[bytes]) -> bytes:
    """Return a PDF with a page for each page of `answer`, whose size follows from its pixels and resolution.

    Args:
        answer: The API's answer.
        images: One RGB JPEG a page, upright, with the width and height that the page has in the answer.
    """
    file = _File()
    catalog, tree, font = file.reserve(), file.reserve(), file.reserve()
    codes = Codes()
    kids = []
    for page, image in zip(pages(answer), images, strict=True):
        size = f"/Width {page.width} /Height {page.height}"
        kind = "/Type /XObject /Subtype /Image /ColorSpace /DeviceRGB /BitsPerComponent 8 /Filter /DCTDecode"
        picture = file.stream(f"{kind} {size}", image)
        content = file.packed(_content(page, codes))
        box = _numbers(page.width * _scale(page), page.height * _scale(page))
        kids.append(
            file.add(
                f"<< /Type /Page /Parent {tree} 0 R /MediaBox [0 0 {box}] /Contents {content} 0 R "
                f"/Resources << /XObject << /Image {picture} 0 R >> /Font << /Text {font} 0 R >> >> >>"
            )
        )
    _font(file, font, codes)
    links = " ".join(f"{kid} 0 R" for kid in kids)
    file.add(f"<< /Type /Pages /Count {len(kids)} /Kids [{links}] >>", tree)
    file.add(f"<< /Type /Catalog /Pages {tree} 0 R >>", catalog)
    return file.close(catalog, file.add("<< /Producer (ocrpack) >>"))


class _File:
    """Collect the objects of a PDF file."""

    def __init__(self) -> None:
        self._parts = [b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n"]
        self._size = len(self._parts[0])
        self._offsets: list[int] = []

    def reserve(self) -> int:
        """Return the number of an object that is added later."""
        self._offsets.append(0)
        return len(self._offsets)

    def add(self, body: str, number: int | None = None) -> int:
        """Add an object and return its number."""
        return self._add([f"{body}\n".encode("ascii")], number or self.reserve())

    def stream(self, dictionary: str, data: bytes) -> int:
        """Add a stream with the entries in `dictionary` and return its number."""
        head = f"<< {dictionary} /Length {len(data)} >>\nstream\n".encode("ascii")
        return self._add([head, data, b"\nendstream\n"], self.reserve())

    def packed(self, data: bytes, dictionary: str = "") -> int:
        """Compress data, add it as a stream, and return its number."""
        return self.stream(f"{dictionary} /Filter /FlateDecode", zlib.compress(data))

    def close(self, catalog: int, info: int) -> bytes:
        """Return the file with its cross-reference table and trailer."""
        count = len(self._offsets) + 1
        rows = "".join(f"{offset:010} 00000 n \n" for offset in self._offsets)
        digest = hashlib.sha256()
        for part in self._parts:
            digest.update(part)
        name = digest.hexdigest()[:32]
        trailer = f"<< /Size {count} /Root {catalog} 0 R /Info {info} 0 R /ID [<{name}> <{name}>] >>"
        table = f"xref\n0 {count}\n0000000000 65535 f \n{rows}trailer\n{trailer}\nstartxref\n{self._size}\n%%EOF\n"
        return b"".join([*self._parts, table.encode("ascii")])

    def _add(self, body: list[bytes], number: int) -> int:
        self._offsets[number - 1] = self._size
        parts = [f"{number} 0 obj\n".encode("ascii"), *body, b"endobj\n"]
        self._size += sum(map(len, parts))
        self._parts += parts
        return number


def _font(file: _File, number: int, codes: Codes) -> None:
    """Add the font of all text (PDF 32000-1, 9.7) under a reserved number."""
    program = true_type()
    descriptor = file.add(
        f"<< /Type /FontDescriptor /FontName /GlyphLess /Flags 4 /FontBBox [0 0 {WIDTH} 1000] /ItalicAngle 0 "
        f"/Ascent 1000 /Descent 0 /CapHeight 1000 /StemV 80 "
        f"/FontFile2 {file.packed(program, f'/Length1 {len(program)}')} 0 R >>"
    )
    descendant = file.add(
        "<< /Type /Font /Subtype /CIDFontType2 /BaseFont /GlyphLess "
        "/CIDSystemInfo << /Registry (Adobe) /Ordering (Identity) /Supplement 0 >> "
        f"/FontDescriptor {descriptor} 0 R /DW {WIDTH} /CIDToGIDMap {file.packed(codes.to_glyphs())} 0 R >>"
    )
    file.add(
        "<< /Type /Font /Subtype /Type0 /BaseFont /GlyphLess /Encoding /Identity-H "
        f"/DescendantFonts [{descendant} 0 R] /ToUnicode {file.packed(codes.to_unicode())} 0 R >>",
        number,
    )


def _content(page: Page, codes: Codes) -> bytes:
    """Return the content stream of a page: the image, then the text in rendering mode 3, which is invisible."""
    scale = _scale(page)
    parts = [
        f"{_numbers(scale, 0, 0, scale, 0, 0)} cm",
        f"q {page.width} 0 0 {page.height} 0 0 cm /Image Do Q",
        "BT 3 Tr",
        *(_word(word, page, codes) for line in page.lines for word in line.parts),
        "ET\n",
    ]
    return "\n".join(parts).encode("ascii")


def _word(word: Word, page: Page, codes: Codes) -> str:
    """Return the operators that place a word as high and as long as its box, and a space after it if there is one.

    Words written from right to left start at their right end and are mirrored, as in Tesseract's PDFs: so their letters
    are where they are seen, and come in the order in which they are read.
    """
    _, _, right, left = word.polygon
    height = max(math.dist(left, word.polygon[0]), 1)
    stretch = 100_000 * max(math.dist(left, right), 1) / (len(word.text) * WIDTH * height)
    cos, sin = math.cos(math.radians(word.angle)), math.sin(math.radians(word.angle))
    (x, y), way = (right, -1) if word.right_to_left else (left, 1)
    text = codes.encode(f"{word.text} " if word.spaced else word.text)
    matrix = _numbers(way * cos, -way * sin, sin, cos, x, page.height - y)
    return f"/Text {_numbers(height)} Tf {_numbers(stretch)} Tz {matrix} Tm {text} Tj"


def _scale(page: Page) -> float:
    """Return a pixel's side in points, such that the page's sides are within Acrobat's limits."""
    short, long = sorted((page.width, page.height))
    return min(max(POINTS / (page.dpi or DPI), MIN_SIDE / short), MAX_SIDE / long)


def _numbers(*values: float) -> str:
    return " ".join(f"{value:.4f}".rstrip("0").rstrip(".") for value in values)
