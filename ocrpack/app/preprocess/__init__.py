"""Make a picture easier to read where the engine had trouble with it, and say where the words stand in the original.

The engine reads the picture as it is. Where it is sure of what it read, little ink was left unread, and the text is
level, that is the answer: a clean page costs nothing more. Otherwise the picture is turned, straightened, read at other
sizes and in other light, and the readings vote (`ballot.py`). docs/accuracy.md tells what each step is worth.

It works for any engine. The first answer of one that is self-reliant is the answer, and so is that of one that gives no
confidence, since nothing in it can be doubted.
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

# Text that slants by so many degrees is read again; from there on Tesseract takes its lines for columns.
TILTED = 2.5

# Upside-down pages come out of Tesseract with a mean confidence of about 0.35, poor but upright receipts with over 0.6.
JUNK = 0.55
READABLE = 0.8

# What another reading adds has to be so much more text. What no view makes readable, as barcodes and pictures, would
# only come out as junk; and an engine that reads a page as well as it can is not asked a third time.
WORTHWHILE = 1.06

# In degrees: less slant than this hinders nobody.
SLANTED = 0.5

# What is larger is made smaller, as far as strokes keep STROKE pixels: print has 4 to 5 at 300 dpi.
HUGE_PIXELS = 16_000_000
STROKE = 5.0

# Text of words higher than LARGE pixels is read at other sizes than smaller text.
SIZES_OF_LARGE, LARGE = (0.75, 0.5), 40
ENLARGED = 1.5


@dataclass(frozen=True)
class Effort:
    """Say when a page is read again, and how often.

    That is where its characters have less confidence than `sure` in the mean, or more than `left_over` of its ink lies
    outside all words, if what was read has at least the confidence `trusted`. `sizes` are those of further readings.
    Strokes up to `fine` pixels are enlarged at once.
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
"""auto takes no longer than the engine alone takes on colours; best reads up to four times."""


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
    """Return the text of an upright RGB image, in its pixels, and what is worth a warning.

    `effort` is none (the engine alone) or one of EFFORTS; `steps` are those of STEPS that may be taken.

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
    """Return what several readings agree on, and the frame that it is in."""
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
    """Return the frame turned so that it reads best, and what was read there."""
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
    """Return the frame as it is, or enlarged where its strokes are too fine to be read well."""
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
    """Return the frame at another size; what is enlarged is smoothed, so that worn strokes close."""
    view = frame.changed(lambda image: image.convert("L")).scaled(size)
    return view.changed(lambda image: image.filter(ImageFilter.GaussianBlur(1))) if size > 1 else view


def _reduced(frame: Frame) -> Frame:
    """Return a huge frame as small as its strokes allow; the print that most of it is in counts."""
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
    """Hold what all readings of one image share."""

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
        """Tell whether there seems to be text that was not read."""
        trusted = (certainty(page) or 0) >= self.effort.trusted
        return trusted and marks.unread(page) > self.effort.left_over

    def read(self, frame: Frame, dpi: int | None = None) -> Page:
        remaining = self.deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError
        image = frame.image if frame.image.mode == "RGB" else frame.image.convert("RGB")
        return self.engine.read(image, dpi, self.languages, remaining)
