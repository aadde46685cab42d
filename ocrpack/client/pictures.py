"""Draw the words that a service found on the pages that it read, upright as it saw them."""

from __future__ import annotations

import importlib.util
import io
import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ocrpack.client.connection import UnreadableError
from ocrpack.client.inputs import Source
from ocrpack.errors import PreflightError

if TYPE_CHECKING:
    from PIL import Image

_UNSURE = (120, 120, 255)
_LOW, _MIDDLE, _HIGH = (220, 30, 30), (235, 160, 0), (0, 150, 70)
_MAX_PIXELS = 200_000_000
_ONE_AT_A_TIME = threading.Lock()
"""PDFium must not be called from two threads."""


def check_drawable(sources: Sequence[Source]) -> None:
    """Refuse documents whose pages cannot be drawn on.

    Raises:
        PreflightError: there are PDF files, and pypdfium2 is not installed.
    """
    if any(source.is_document for source in sources) and importlib.util.find_spec("pypdfium2") is None:
        text = "the pages of PDF files cannot be drawn: pypdfium2 is not installed"
        raise PreflightError(text, "`pip install pypdfium2` where ocrpack is installed")


def annotated(source: Source, pages: Sequence[dict[str, Any]]) -> Iterator[Image.Image]:
    """Yield each page's picture with a box around every word, from red (unsure) to green (sure), blue where not told.

    Raises:
        UnreadableError: the file cannot be opened here, or its pages are not described.
    """
    for page in pages:
        number, size = page.get("source_page") or page.get("page_number") or 1, (page.get("width"), page.get("height"))
        try:
            picture = _upright(source.content(), number, size)
            _draw(picture, page)
        # Decoders raise exceptions of any type, and a service may answer anything: no list would be complete.
        except Exception as error:
            text = f"page {number} cannot be drawn on: {error or type(error).__name__}"
            raise UnreadableError(
                "annotate", text, "it was read; without pictures there is no need to open it"
            ) from error
        yield picture


def _upright(data: bytes, number: int, size: tuple[Any, Any]) -> Image.Image:
    """Return the picture of a page in the pixels that the service counted; `number` is from 1."""
    from PIL import Image, ImageOps

    if not all(isinstance(one, int) and one > 0 for one in size) or size[0] * size[1] > _MAX_PIXELS:
        raise ValueError("the service does not tell its size")
    if data.startswith(b"%PDF"):
        with _ONE_AT_A_TIME:
            image = _of_pdf(data, number, size[0])
    else:
        image = ImageOps.exif_transpose(_of_image(data, number))
    image = image.convert("RGBA")
    paper = Image.new("RGBA", image.size, "white")
    paper.alpha_composite(image)
    return paper.convert("RGB") if image.size == size else paper.convert("RGB").resize(size)


def _of_image(data: bytes, number: int) -> Image.Image:
    from PIL import Image

    image = Image.open(io.BytesIO(data))
    if number <= getattr(image, "n_frames", 1):
        image.seek(number - 1)
    return image


def _of_pdf(data: bytes, number: int, width: int) -> Image.Image:
    import pypdfium2

    document = pypdfium2.PdfDocument(data)
    try:
        page = document[number - 1]
        image: Image.Image = page.render(scale=width / page.get_width()).to_pil()
        return image
    finally:
        document.close()


def _draw(picture: Image.Image, page: dict[str, Any]) -> None:
    from PIL import ImageDraw

    pen = ImageDraw.Draw(picture, "RGBA")
    width = max(1, round(min(picture.size) / 500))
    for line in page.get("lines") or ():
        for item in line.get("words") or [line]:
            corners = [tuple(point) for point in item.get("polygon") or _corners(item["bbox"])]
            colour = _colour(item.get("confidence"))
            pen.polygon(corners, fill=(*colour, 36))
            pen.line([*corners, corners[0]], fill=(*colour, 255), width=width)


def _corners(bbox: Sequence[float]) -> list[tuple[float, float]]:
    left, top, right, bottom = bbox
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def _colour(confidence: Any) -> tuple[int, int, int]:
    """Return red below 0.5, over amber at 0.75, to green at 1."""
    if not isinstance(confidence, int | float):
        return _UNSURE
    place = min(1.0, max(0.0, (confidence - 0.5) * 2))
    low, high, part = (_LOW, _MIDDLE, place * 2) if place < 0.5 else (_MIDDLE, _HIGH, place * 2 - 1)
    red, green, blue = (round(a + (b - a) * part) for a, b in zip(low, high, strict=True))
    return red, green, blue


def png(picture: Image.Image) -> bytes:
    """Return a picture as the bytes of a PNG file."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def jpeg(picture: Image.Image, side: int) -> bytes:
    """Return a picture as the bytes of a JPEG file, no side longer than `side` pixels."""
    picture.thumbnail((side, side))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=72, optimize=True)
    return buffer.getvalue()
