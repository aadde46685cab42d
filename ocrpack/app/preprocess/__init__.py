"""Make a picture easier to read where the engine had trouble with it, and say where the words stand in the original.

The engine reads the picture as it is. Where it is sure of what it read, and little ink was left unread, that is the
answer: a clean page costs nothing more. Otherwise the steps below are tried, and what they bring has to be read with
more certainty than what was there before. docs/accuracy.md has what each step is worth.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image, ImageFilter

from . import measure
from .frame import Frame
from .vote import certainty, vote, worth

if TYPE_CHECKING:
    from ..engines import Engine, Page

STEPS = ("straighten", "turn", "level", "rescale")

SURE = 0.92
JUNK = 0.55
LEFT_OVER = 0.2


def read(
    engine: Engine,
    image: Image.Image,
    dpi: int | None,
    languages: tuple[str, ...],
    seconds: float,
    steps: Collection[str] = STEPS,
) -> tuple[Page, list[str]]:
    reading = _Reading(engine, dpi, languages, time.monotonic() + seconds)
    whole = Frame(image)
    first = reading.read(whole)
    if not steps:
        return first, []
    marks, factor = measure.ink(image.convert("L"))

    def doubtful(page: Page) -> bool:
        sure = certainty(page)
        return sure is not None and (sure < SURE or measure.unread(marks, factor, page) > LEFT_OVER)

    if not doubtful(first):
        return first, []
    notes=[]
    paper = tuple(image.resize((1, 1), Image.Resampling.BOX).getpixel((0, 0)))
    slant = measure.skew(marks) if "straighten" in steps else 0.0
    base = whole.straightened(slant, paper) if abs(slant) >= 0.5 else whole
    page = base.inward(first) if base is not whole else first
    if "turn" in steps and (certainty(first) or 0) < JUNK:
        tries = [(0, base)] if base is not whole else []
        tries += [(q, base.turned(q)) for q in (2, 1, 3)]
        best = (worth(first.lines), base, page)
        for q, frame in tries:
            p = reading.read(frame)
            if worth(p.lines) > best[0]: best = (worth(p.lines), frame, p)
            if (certainty(p) or 0) > .8: break
        _, base, page = best
    pages = [page]
    h = measure.height(pages) or 24
    out=page
    for number, scale in enumerate((1.5 if h < 40 else 0.75, 0.75 if h<40 else .5)):
        if "rescale" not in steps and number: break
        frame = base
        if "level" in steps and number == 0: frame = frame.changed(measure.level)
        if "rescale" in steps: frame = frame.scaled(scale)
        if scale > 1: frame = frame.changed(lambda i: i.filter(ImageFilter.GaussianBlur(1)))
        p = reading.read(frame)
        inner = Frame(base.image, (base.image.width/frame.image.width,0,0,0,base.image.height/frame.image.height,0))
        pages.append(inner.outward(p, base.image.size))
        out = vote(pages)
        if not doubtful(base.outward(out, image.size)): break
    return base.outward(out, image.size), notes


@dataclass
class _Reading:
    engine: Engine
    dpi: int | None
    languages: tuple[str, ...]
    deadline: float

    def read(self, frame: Frame) -> Page:
        a, _, _, d, _, _ = frame.to_original
        dpi = self.dpi and round(self.dpi / (a * a + d * d) ** 0.5)
        return self.engine.read(frame.image.convert("RGB"), dpi, self.languages, self.deadline - time.monotonic())
