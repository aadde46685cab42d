"""Make a picture easier to read where the engine had trouble with it, and say where the words stand in the original.

The engine reads the picture as it is. Where it is sure of what it read, little ink was left unread, and the text is
level, that is the answer: a clean page costs nothing more. Otherwise the picture is turned, straightened, read at other
sizes and in other light, and the readings vote (`ballot.py`). docs/accuracy.md tells what each step is worth.

It works for any engine; of one that gives no confidence nothing can be doubted, and its first answer is the answer.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image, ImageFilter, ImageStat

from ..engines import RefusedError
from . import measure
from .ballot import certainty, vote, worth
from .frame import Frame

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from ..engines import Engine, Page

STEPS = ("reduce", "straighten", "turn", "rescale", "level")

# Pages are doubted whose characters have less confidence than SURE in the mean, of whose ink more than LEFT_OVER lies
# outside all words, or whose text slants by TILTED degrees, from where on Tesseract takes its lines for columns.
SURE = 0.9
LEFT_OVER = 0.12
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

# The sizes of second and third readings, for text lower than LARGE pixels and for larger text.
SIZES, SIZES_OF_LARGE, LARGE = (1.5, 0.75), (0.75, 0.5), 40


def read(
    engine: Engine,
    image: Image.Image,
    dpi: int | None,
    languages: tuple[str, ...],
    seconds: float,
    steps: str | Collection[str] = "auto",
) -> tuple[Page, list[str]]:
    """Return the text of an upright RGB image, in its pixels, and what is worth a warning.

    `steps` is auto (all of them), none (the engine alone), or some of STEPS.

    Raises:
        RefusedError: the engine cannot take this image.
        TimeoutError: the first reading took longer than `seconds`; later ones only end with a warning.
    """
    if steps == "none":
        return engine.read(image, dpi, languages, seconds), []
    chosen = STEPS if steps == "auto" else steps
    reading = _Reading(engine, languages, time.monotonic() + seconds)
    whole = _reduced(Frame(image)) if "reduce" in chosen else Frame(image)
    first = reading.read(whole, dpi and round(dpi * whole.image.width / image.width))
    if certainty(first) is None:
        return whole.outward(first, image.size), []
    marks = measure.Ink(whole.image)
    if not marks or not (_tilt(first) >= TILTED or _doubtful(first, marks)):
        return whole.outward(first, image.size), []
    try:
        base, page = _read_carefully(reading, Frame(whole.image), first, marks, chosen)
        notes = []
    except (TimeoutError, RefusedError):
        base, page = Frame(whole.image), first
        notes = ["the page is hard to read, and there was no time to read it more than once"]
    return whole.outward(base.outward(page, whole.image.size), image.size), notes


def _read_carefully(
    reading: _Reading, whole: Frame, first: Page, marks: measure.Ink, steps: Collection[str]
) -> tuple[Frame, Page]:
    """Return what several readings agree on, and the frame that it is in."""
    base, page = whole, first
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
    for view in _views(base, page, steps):
        if (certainty(page) or 0) >= SURE:
            break
        pages.append(view.outward(reading.read(view), base.image.size))
        voted = vote(pages)
        if worth(voted.lines) < WORTHWHILE * worth(page.lines):
            pages.pop()
            break
        page = voted
    if "level" in steps and marks.unread(base.outward(page, whole.image.size)) > LEFT_OVER:
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


def _views(base: Frame, page: Page, steps: Collection[str]) -> Iterator[Frame]:
    """Yield the base frame at other sizes; what is enlarged is smoothed, so that worn strokes close."""
    if "rescale" in steps:
        for size in SIZES if measure.height(page) < LARGE else SIZES_OF_LARGE:
            view = Frame(base.image).scaled(size)
            yield view.changed(lambda image: image.filter(ImageFilter.GaussianBlur(1))) if size > 1 else view


def _reduced(frame: Frame) -> Frame:
    """Return a huge frame as small as its strokes allow; the print that most of it is in counts."""
    width, height = frame.image.size
    if width * height <= HUGE_PIXELS:
        return frame
    stroke = measure.stroke(frame.image)
    return frame.scaled(max(STROKE / stroke, (HUGE_PIXELS / (width * height)) ** 0.5)) if stroke > STROKE else frame


def _doubtful(page: Page, marks: measure.Ink) -> bool:
    return (certainty(page) or 0) < SURE or marks.unread(page) > LEFT_OVER


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

    def read(self, frame: Frame, dpi: int | None = None) -> Page:
        remaining = self.deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError
        image = frame.image if frame.image.mode == "RGB" else frame.image.convert("RGB")
        return self.engine.read(image, dpi, self.languages, remaining)
