"""Decode a file into pictures, a page at a time: an image, a TIFF of many pages, or a PDF.

PDFium draws the pages of PDFs; the text in them is not used. PDFium must not be called from several threads, and a
hostile file may crash it: this module is for a process that does nothing else.
"""

from __future__ import annotations

import io
import math
import re
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from http import HTTPStatus
from itertools import islice
from typing import IO, TYPE_CHECKING, Any, Protocol

from PIL import Image

from ..core.problem import Problem
from ..core.settings import Limits
from . import decode
from .decode import DEFAULT_LIMITS, MAX_SIDE, PLAUSIBLE_DPI, Picture

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Pages = tuple[range, ...]
"""Ranges of pages, counted from 1, in the order to read them; a range may exceed the document."""

TO_THE_END = 2**31
MAX_CHOICE = 1000  # letters
MAX_FRAMES = 10_000  # of a TIFF; each costs a moment to find
JPEG_QUALITY = 85
POINTS = 72  # an inch
PDF_DPI = 300
PDF_SIDE = 1000
"""The longer side of a drawn page has so many pixels at least, whatever size it claims."""
MAX_OBJECTS = 20_000  # of a page, to be looked at in search of scans


def parse_pages(text: str) -> Pages:
    """Return the pages that a text such as `1-3,5` or `2-` names.

    Raises:
        Problem: 400, it names none.
    """
    spans = [re.fullmatch(r"\s*([0-9]{1,9})\s*(-\s*([0-9]{1,9})?)?\s*", part) for part in text.split(",")]
    found = []
    for span in spans:
        first = int(span[1]) if span else 0
        last = first if span and not span[2] else int(span[3]) if span and span[3] else TO_THE_END
        if not 1 <= first <= last or len(text) > MAX_CHOICE:
            detail = f"pages is {text[:100]!r}; write it like 1-3,5 or 2- (from the second on), counting from 1."
            raise Problem(HTTPStatus.BAD_REQUEST, "bad-pages", "The choice of pages cannot be read", detail)
        found.append(range(first, last + 1))
    return tuple(found)


def selected(chosen: Pages | None, count: int, limits: Limits) -> Sequence[int]:
    """Return the numbers of the chosen pages, each once, of a file that has `count`.

    Raises:
        Problem: 422, the file lacks a chosen page; 413, there are more than `limits.pages`.
    """
    spans = chosen or (range(1, count + 1),)
    beyond = max(span.start if span.stop > TO_THE_END else span.stop - 1 for span in spans)
    if beyond > count:
        raise Problem(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "no-such-page",
            "The file has no such page",
            f"Page {beyond} is asked for, and the file has {_pages(count)}.",
        )
    numbers = list(dict.fromkeys(number for span in spans for number in span[:count] if number <= count))
    if len(numbers) > limits.pages:
        raise Problem(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            "too-many-pages",
            "The file has too many pages",
            f"{_pages(len(numbers))} are to be read, of the {count} in the file; the limit is {limits.pages}. "
            f"Choose some, for instance with pages=1-{limits.pages}, and send the file again for the next.",
        )
    return numbers


def pages(stream: IO[bytes], limits: Limits = DEFAULT_LIMITS, chosen: Pages | None = None) -> Iterator[Picture]:
    """Yield the `chosen` pages of a file (None: all), each as an upright picture.

    One page at a time is decoded; the caller drops it before it takes the next. An animation is one page: its first
    frame, with a warning.

    Raises:
        Problem: with a 4xx status; it names the page if there are many.
    """
    with _opened(stream, limits) as document:
        for number in selected(chosen, document.count, limits):
            with _naming(number, document.count):
                picture = document.picture(number)
            yield replace(picture, number=number)
            del picture


def page(
    stream: IO[bytes], limits: Limits, chosen: Pages | None = None, number: int | None = None
) -> tuple[list[int], Picture]:
    """Return the numbers of the chosen pages, and one page: `number`, or the first of them.

    Raises:
        Problem: with a 4xx status.
    """
    with _opened(stream, limits) as document:
        numbers = list(selected(chosen, document.count, limits))
        number = numbers[0] if number is None else number
        with _naming(number, document.count):
            return numbers, replace(document.picture(number), number=number)


def preview(stream: IO[bytes], page: int, side: int, limits: Limits = DEFAULT_LIMITS) -> bytes:
    """Return one page, upright, as a JPEG of at most `side` pixels a side.

    Raises:
        Problem: with a 4xx status.
    """
    (picture,) = pages(stream, replace(limits, pages=1), (range(page, page + 1),))
    picture.image.thumbnail((side, side))
    return jpeg(picture.image)


def jpeg(image: Image.Image) -> bytes:
    """Return an RGB image as a JPEG of the same size, good enough to read and to keep."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=JPEG_QUALITY)
    return buffer.getvalue()


class _Document(Protocol):
    """A file of any kind; page numbers start at 1."""

    count: int

    def picture(self, number: int) -> Picture: ...

    def close(self) -> None: ...


def _pages(count: int) -> str:
    return "1 page" if count == 1 else f"{count} pages"


@contextmanager
def _opened(stream: IO[bytes], limits: Limits) -> Iterator[_Document]:
    document: _Document
    if _is_pdf(stream):
        document = _Pdf(stream, limits)
    else:
        with decode.faults(stream, limits):
            image = decode.opened(stream, limits)
        document = _Tiff(image, stream, limits) if image.format == "TIFF" else _Single(stream, limits)
    with closing(document):
        yield document


def _is_pdf(stream: IO[bytes]) -> bool:
    """Tell whether a file is a PDF; its header may stand anywhere in the first kilobyte."""
    stream.seek(0)
    place = stream.read(1024).find(b"%PDF-")
    if place <= 0:
        return place == 0
    try:
        decode.check_header(stream)  # an image that says %PDF- somewhere is still an image
    except Problem:
        return True
    return False


@contextmanager
def _naming(number: int, count: int) -> Iterator[None]:
    """Add to any problem which of many pages it is about."""
    try:
        yield
    except Problem as problem:
        if count > 1:
            problem.detail = f"Page {number} of {count}: {problem.detail}"
            problem.members["page"] = number
        raise


class _Single:
    """Read an image as one page, whatever frames it has."""

    count = 1

    def __init__(self, stream: IO[bytes], limits: Limits) -> None:
        self._stream, self._limits = stream, limits

    def picture(self, number: int) -> Picture:
        return decode.load(self._stream, self._limits)

    def close(self) -> None:
        """Leave the stream to its owner."""


class _Tiff:
    """Read each full-size image of a TIFF as a page with its own size, resolution and orientation."""

    def __init__(self, image: Image.Image, stream: IO[bytes], limits: Limits) -> None:
        self._image, self._stream, self._limits = image, stream, limits
        with decode.faults(stream, limits):
            self._frames = self._full_size()
        self.count = len(self._frames)

    def picture(self, number: int) -> Picture:
        with decode.faults(self._stream, self._limits):
            self._seek(self._frames[number - 1])
            decode.refuse_too_large(self._image.size, self._limits)
            return decode.decoded(self._image)

    def close(self) -> None:
        """Leave the stream to its owner."""

    def _seek(self, frame: int) -> None:
        if frame == self._image.tell():
            return
        before = dict(self._image.info)
        self._image.info.clear()  # Pillow would keep the last page's resolution where this one has none
        try:
            self._image.seek(frame)
        except EOFError:
            self._image.info.update(before)
            raise

    def _full_size(self) -> list[int]:
        """Return the frames that NewSubfileType (TIFF 6.0) does not call thumbnails or masks, else all."""
        frames, full = 0, []
        while frames < MAX_FRAMES:
            try:
                self._seek(frames)
            except EOFError:
                break
            if not self._image.tag_v2.get(254, 0) & 0b101:  # type: ignore[attr-defined]
                full.append(frames)
            frames += 1
        return full or list(range(frames))


class _Pdf:
    """Draw the pages of a PDF as a viewer shows them, with annotations and filled forms.

    PDFium ignores UserUnit and takes a page's unit for 1/72 inch, so the resolution of a page with another unit is not
    the one that is reported; `PDF_SIDE` keeps it readable.
    """

    def __init__(self, stream: IO[bytes], limits: Limits) -> None:
        try:
            import pypdfium2
        except ImportError as error:
            raise _no_pdfs() from error
        self._library, self._limits = pypdfium2, limits
        stream.seek(0)
        try:
            self._document = pypdfium2.PdfDocument(stream.read())
        except pypdfium2.PdfiumError as error:
            codes = (pypdfium2.raw.FPDF_ERR_PASSWORD, pypdfium2.raw.FPDF_ERR_SECURITY)
            encrypted = error.err_code in codes
            raise (_encrypted() if encrypted else _broken("it is damaged or cut short")) from error
        # A build of PDFium with V8 would run the scripts of forms; the usual one has no V8.
        if "V8" not in pypdfium2.version.PDFIUM_INFO.flags:
            with suppress(pypdfium2.PdfiumError):
                self._document.init_forms()
        self.count = len(self._document)
        if not self.count:
            self.close()
            raise _broken("it has no pages")

    def picture(self, number: int) -> Picture:
        try:
            with closing(self._document[number - 1]) as page:
                return self._drawn(page)
        except self._library.PdfiumError as error:
            raise _broken("the page is damaged") from error
        except MemoryError as error:
            raise decode.no_memory() from error

    def close(self) -> None:
        self._document.close()

    def _drawn(self, page: Any) -> Picture:
        width, height = page.get_size()
        if not (0 < width < math.inf and 0 < height < math.inf):
            raise _broken("the page has no size")
        wanted = self._scanned_dpi(page) or max(PDF_DPI, PDF_SIDE * POINTS / max(width, height))
        roomy = math.sqrt(self._limits.megapixels * 1e6 / (width * height))
        most = 0.999 * POINTS * min(roomy, MAX_SIDE / max(width, height))  # PDFium rounds sides up
        dpi = min(wanted, most)
        notes = (f"the page is large and was read at {dpi:.0f} dpi instead of {wanted:.0f}",) if dpi < wanted else ()
        # Without the small reduction PDFium would round whole numbers of pixels up, too.
        with closing(page.render(scale=dpi / POINTS * (1 - 1e-6), rev_byteorder=True)) as bitmap:
            image = bitmap.to_pil()
        return Picture(image, round(dpi) if round(dpi) in PLAUSIBLE_DPI else None, notes)

    def _scanned_dpi(self, page: Any) -> float | None:
        """Return the resolution of a page that consists of scanned images and invisible text, None for another page.

        So a scan is drawn pixel by pixel. It may be cut into strips, or have layers of several resolutions: the finest
        one counts that covers more than half as much as the largest.
        """
        raw = self._library.raw
        found: list[tuple[float, float]] = []  # area and dpi
        for item in islice(page.get_objects(), MAX_OBJECTS):
            if item.type == raw.FPDF_PAGEOBJ_IMAGE and item.level == 0:
                a, b, c, d, _, _ = item.get_matrix().get()
                across, along = math.hypot(a, b), math.hypot(c, d)
                with suppress(self._library.PdfiumError, ZeroDivisionError):  # the image has no size
                    columns, rows = item.get_px_size()
                    found.append((across * along, POINTS * max(columns / across, rows / along)))
            elif item.type == raw.FPDF_PAGEOBJ_TEXT:
                if raw.FPDFTextObj_GetTextRenderMode(item) != raw.FPDF_TEXTRENDERMODE_INVISIBLE:
                    return None
            elif item.type != raw.FPDF_PAGEOBJ_FORM:
                return None
        width, height = page.get_size()
        if sum(area for area, _ in found) < 0.9 * width * height:
            return None
        largest = max(area for area, _ in found)
        return max(dpi for area, dpi in found if area > largest / 2)


def _broken(why: str) -> Problem:
    title, detail = "The document is broken", f"The PDF cannot be read: {why}. Open it in a viewer and save it anew."
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "broken-document", title, detail)


def _encrypted() -> Problem:
    return Problem(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "encrypted-document",
        "The document is encrypted",
        "The PDF opens with a password only. Save a copy without one, for instance with qpdf --decrypt, and send that.",
    )


def _no_pdfs() -> Problem:
    return Problem(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        "no-pdfs",
        "PDFs are not read here",
        "This bundle has no PDF reader. Send the pages as images, for instance from pdftoppm -r 300 -png; "
        "or add pypdfium2 to the bundle's requirements.txt and build it again.",
    )
