"""Small PDFs, written by hand."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

FONT = "/Font << /F << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >>"


def text_page(text: str, size: tuple[float, float] = (600, 200), entries: str = "", at: tuple[float, float] = (40, 90)):
    """Return a page with one line of text in 48 points."""
    return size, f"BT /F 48 Tf {at[0]} {at[1]} Td ({text}) Tj ET", entries, None


def scan_page(jpeg: bytes, pixels: tuple[int, int], size: tuple[float, float], more: str = "", entries: str = ""):
    """Return a page that an image fills, and what `more` draws."""
    return size, f"q {size[0]} 0 0 {size[1]} 0 0 cm /I Do Q {more}", entries, (jpeg, pixels)


def pdf(*pages, catalog: str = "", more: Sequence[str] = ()) -> bytes:
    """Return a file of such pages; the objects in `more` are numbered from 3 on."""
    objects: list[bytes] = [b"", b"", *(body.encode() for body in more)]

    def add(body: bytes) -> int:
        objects.append(body)
        return len(objects)

    def stream(entries: str, data: bytes) -> int:
        return add(f"<< {entries} /Length {len(data)} >>\nstream\n".encode() + data + b"\nendstream")

    kids = []
    for size, content, entries, image in pages:
        resources = FONT
        if image:
            data, (width, height) = image
            kind = "/Type /XObject /Subtype /Image /ColorSpace /DeviceRGB /BitsPerComponent 8 /Filter /DCTDecode"
            resources += f" /XObject << /I {stream(f'{kind} /Width {width} /Height {height}', data)} 0 R >>"
        box = "" if "/MediaBox" in entries else f"/MediaBox [0 0 {size[0]} {size[1]}]"
        drawn = f"/Contents {stream('', content.encode())} 0 R"
        body = f"<< /Type /Page /Parent 2 0 R {box} /Resources << {resources} >> {drawn} {entries} >>"
        kids.append(add(body.encode()))
    objects[0] = f"<< /Type /Catalog /Pages 2 0 R {catalog} >>".encode()
    objects[1] = f"<< /Type /Pages /Count {len(kids)} /Kids [{' '.join(f'{kid} 0 R' for kid in kids)}] >>".encode()
    file = io.BytesIO()
    file.write(b"%PDF-1.7\n")
    offsets = []
    for number, body in enumerate(objects, 1):
        offsets.append(file.tell())
        file.write(f"{number} 0 obj\n".encode() + body + b"\nendobj\n")
    table = "".join(f"{offset:010} 00000 n \n" for offset in offsets)
    size = len(objects) + 1
    start = file.tell()
    file.write(f"xref\n0 {size}\n0000000000 65535 f \n{table}trailer\n<< /Size {size} /Root 1 0 R >>\n".encode())
    file.write(f"startxref\n{start}\n%%EOF\n".encode())
    return file.getvalue()
