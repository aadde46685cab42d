"""Read a picture, and again in a form that is easier to read if the engine had trouble with it.

The engine reads the picture as it is. If its confidence is high, little ink is left unread, and the text is level, that
is the result: a clean page costs nothing more. Otherwise the picture is turned, straightened, and read at other sizes
and in evened light, and the readings vote (`ballot.py`). docs/accuracy.md shows what each step gains.

This works for any engine. A self-reliant one reads once, and so does one that gives no confidence, since nothing shows
whether another reading would be better.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image, ImageFilter, ImageStat

from ..engines.base import RefusedError
from . import measure
from .ballot import certainty, vote, worth
from .frame import Frame

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from ..engines.base import Engine, Page

STEPS = ("reduce", "straighten", "turn", "rescale", "level")

# Text that slants by so many degrees is read again: Tesseract begins to take its lines for columns.
TILTED = 2.5

# Upside-down pages come out of Tesseract with a mean confidence of about 0.35, poor but upright receipts with over 0.6.
JUNK = 0.55
READABLE = 0.8

# Another reading has to find so many times as much text to count. Barcodes and pictures would only add junk, and a page
# that is read as well as the engine can is not read a third time.
WORTHWHILE = 1.06

# In degrees: less slant does no harm.
SLANTED = 0.5

# Larger images are reduced, but strokes keep STROKE pixels: print has 4 to 5 at 300 dpi.
HUGE_PIXELS = 16_000_000
STROKE = 5.0

# Text of words higher than LARGE pixels is read at other sizes than smaller text.
SIZES_OF_LARGE, LARGE = (0.75, 0.5), 40
ENLARGED = 1.5


@dataclass(frozen=True)
class Effort:
    """Say when a page is read again, and how often.

    It is if the mean confidence of its characters is below `sure`, or if it is at least `trusted` and more than
    `left_over` of the ink lies outside all words. `sizes` are the scales of further readings. If strokes have `fine`
    pixels or less, the first reading is of an enlarged image.
    """

    sure: float
    left_over: float
    trusted: float
    sizes: tuple[float, ...]
    fine: float


EFFORTS = {
    "auto": Effort(sure=0.72, left_over=0.12, trusted=0.9, sizes=(0.75,), fine=2.05),
    "best": Effort(sure=0.9, left_over=0.12, trusted=0, sizes=(1.5, 0.75), fine=0),
}
"""`auto` takes no longer than the engine alone takes on a colour image; `best` reads up to four times."""


def read(
    engine: Engine,
    image: Image.Image,
    *,
    dpi: int | None,
    languages: tuple[str, ...],
    seconds: float,
    effort: str = "auto",
    steps: Collection[str] = STEPS,
) -> tuple[Page, list[str]]:
    """Return the text of an upright RGB image, in its pixels, and warnings.

    `effort` is "none" (the engine alone) or one of EFFORTS; `steps` are those of STEPS that may be taken.

    Raises:
        RefusedError: the engine cannot take this image.
        TimeoutError: the first reading took longer than `seconds`; later ones only end with a warning.
    """
    if effort == "none":
        return engine.read(image, dpi, languages, seconds), []
    reading = _Reading(engine, languages, time.monotonic() + seconds, EFFORTS[effort], steps)
    whole = _reduced(Frame(image)) if "reduce" in steps else Frame(image)
    view = Frame(whole.image) if engine.self_reliant else _first_view(reading, Frame(whole.image))
    first = view.outward(reading.read(view, dpi and round(dpi * view.image.width / image.width)), whole.image.size)
    if engine.self_reliant or certainty(first) is None:
        return whole.outward(first, image.size), []
    marks = measure.Ink(whole.image)
    if not marks or not (_tilt(first) >= TILTED or reading.doubts(first, marks)):
        return whole.outward(first, image.size), []
    try:
        base, page = _read_carefully(reading, Frame(whole.image), first, marks)
        notes = []
    except (TimeoutError, RefusedError):
        base, page = Frame(whole.image), first
        notes = ["the page is hard to read, and there was no time to read it more than once"]
    return whole.outward(base.outward(page, whole.image.size), image.size), notes


def _read_carefully(reading: _Reading, whole: Frame, first: Page, marks: measure.Ink) -> tuple[Frame, Page]:
    """Read the page several times; return the frame that the combined reading is in, and that reading."""
    base, page, steps = whole, first, reading.steps
    readable = (certainty(first) or 0) >= JUNK
    if "straighten" in steps:
        slant = marks.skew(upright=readable and 45 <= (first.angle + 90) % 180 <= 135)
        if abs(slant) >= SLANTED:
            base = whole.straightened(slant, _paper(whole.image))
            page = base.inward(first)
            if abs(slant) >= TILTED:
                page = vote([reading.read(base), page])
    if "turn" in steps and not readable and (certainty(page) or 0) < JUNK:
        base, page = _turned(reading, base, page)
    pages = [page]
    for view in _views(reading, base, page):
        if (certainty(page) or 0) >= reading.effort.sure:
            break
        pages.append(view.outward(reading.read(view), base.image.size))
        voted = vote(pages)
        if worth(voted.lines) < WORTHWHILE * worth(page.lines):
            pages.pop()
            break
        page = voted
    if "level" in steps and reading.missed(base.outward(page, whole.image.size), marks):
        levelled = Frame(measure.level(base.image, measure.height(page) or LARGE))
        found = vote([*pages, reading.read(levelled)])
        if worth(found.lines) > WORTHWHILE * worth(page.lines):
            page = found
    return base, page


def _turned(reading: _Reading, base: Frame, page: Page) -> tuple[Frame, Page]:
    """Return the frame turned so that most text is read, and the page that was read in it."""
    known = reading.engine.turn(base.image)
    best = base, page
    for quarters in (2, 1, 3) if known is None else (known,):
        frame = base.turned(quarters)
        found = reading.read(frame)
        if worth(found.lines) > worth(best[1].lines):
            best = frame, found
        if (certainty(found) or 0) >= READABLE:
            break
    return best


def _first_view(reading: _Reading, whole: Frame) -> Frame:
    """Return the frame, enlarged if its strokes are too fine to be read well."""
    width, height = whole.image.size
    room = width * height * ENLARGED**2 <= HUGE_PIXELS
    if "rescale" in reading.steps and room and 0 < measure.stroke(whole.image) <= reading.effort.fine:
        reading.views_left -= 1
        return _resized(whole, ENLARGED)
    return whole


def _views(reading: _Reading, base: Frame, page: Page) -> Iterator[Frame]:
    """Yield the base frame at other sizes."""
    sizes = reading.effort.sizes if measure.height(page) < LARGE else SIZES_OF_LARGE
    for size in sizes[: reading.views_left] if "rescale" in reading.steps else ():
        yield _resized(Frame(base.image), size)


def _resized(frame: Frame, size: float) -> Frame:
    """Return the frame scaled, and smoothed if it is enlarged, so that gaps in worn strokes close."""
    view = frame.changed(lambda image: image.convert("L")).scaled(size)
    return view.changed(lambda image: image.filter(ImageFilter.GaussianBlur(1))) if size > 1 else view


def _reduced(frame: Frame) -> Frame:
    """Return a huge frame reduced as far as its mean stroke width allows."""
    width, height = frame.image.size
    if width * height <= HUGE_PIXELS:
        return frame
    stroke = measure.stroke(frame.image)
    return frame.scaled(max(STROKE / stroke, (HUGE_PIXELS / (width * height)) ** 0.5)) if stroke > STROKE else frame


def _tilt(page: Page) -> float:
    """Return by how many degrees the text is off the nearest quarter turn."""
    return abs((page.angle + 45) % 90 - 45)


def _paper(image: Image.Image) -> tuple[int, ...]:
    return tuple(round(value) for value in ImageStat.Stat(image.reduce(8)).median)


@dataclass
class _Reading:
    """Read one image several times: hold the engine, the deadline and the effort."""

    engine: Engine
    languages: tuple[str, ...]
    deadline: float
    effort: Effort
    steps: Collection[str]

    def __post_init__(self) -> None:
        self.views_left = len(self.effort.sizes)

    def doubts(self, page: Page, marks: measure.Ink) -> bool:
        """Tell whether a page is worth another reading."""
        return (certainty(page) or 0) < self.effort.sure or self.missed(page, marks)

    def missed(self, page: Page, marks: measure.Ink) -> bool:
        """Tell whether much ink is left outside the words of a page that was read with confidence."""
        trusted = (certainty(page) or 0) >= self.effort.trusted
        return trusted and marks.unread(page) > self.effort.left_over

    def read(self, frame: Frame, dpi: int | None = None) -> Page:
        remaining = self.deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError
        image = frame.image if frame.image.mode == "RGB" else frame.image.convert("RGB")
        return self.engine.read(image, dpi, self.languages, remaining)
