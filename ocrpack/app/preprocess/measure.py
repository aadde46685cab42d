"""Cheap measures of a picture, all on a copy of a few hundred pixels a side, and the levelling of its light."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageOps

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..engines import Page

SIDE = 480
STEEPEST = 12


def ink(grey: Image.Image) -> tuple[Image.Image, int]:
    """Return where a picture has local contrast, 255 or 0, and by how much it was reduced for that.

    Contrast counts whichever of ink and paper is the lighter one, and whatever the light.
    """
    factor = max(1, -(-max(grey.size) // SIDE))
    small = grey.reduce(factor) if factor > 1 else grey
    contrast = ImageChops.difference(small, small.filter(ImageFilter.BoxBlur(6)))
    top = contrast.getextrema()[1]
    threshold = max(8, top // 4 if isinstance(top, int) else 8)
    return contrast.point([0] * threshold + [255] * (256 - threshold)), factor


def unread(marks: Image.Image, factor: int, page: Page) -> float:
    """Return which share of the ink lies outside all words that were read."""
    total = marks.histogram()[255]
    if not total:
        return 0.0
    rest = marks.copy()
    draw = ImageDraw.Draw(rest)
    for part in (part for line in page.lines for part in (line.words or (line,))):
        left, top, right, bottom = (side // factor for side in part.bbox)
        draw.rectangle((left - 4, top - 3, right + 4, bottom + 3), fill=0)
    return rest.histogram()[255] / total


def skew(marks: Image.Image) -> float:
    """Return by how many degrees clockwise the lines of text are turned, within STEEPEST either way.

    The rows of level text differ most from the rows beside them (Postl, 1986).
    """
    margin = Image.new("L", (marks.width, marks.height))
    margin.paste(marks)

    def sharpness(degrees: float) -> float:
        rows = margin.rotate(degrees, Image.Resampling.NEAREST).reduce((margin.width, 1)).tobytes()
        return float(sum((one - other) ** 2 for one, other in zip(rows, rows[1:], strict=False)))

    coarse = max((float(step) for step in range(-STEEPEST, STEEPEST + 1)), key=sharpness)
    best = max((coarse + step / 4 for step in range(-3, 4)), key=sharpness)
    return best if sharpness(best) > 1.1 * sharpness(0) else 0.0


def height(pages: Sequence[Page]) -> float:
    """Return the usual height of a word in pixels, 0 where no word was read."""
    heights = [
        min(part.bbox[3] - part.bbox[1], part.bbox[2] - part.bbox[0]) if len(part.text) == 1 else part.bbox[3] - part.bbox[1]
        for page in pages
        for line in page.lines
        for part in (line.words or (line,))
    ]
    return median(heights) if heights else 0.0


def level(image: Image.Image) -> Image.Image:
    """Return a picture in grey as dark ink on white paper, under even light, whatever ink, paper and light it had.

    The paper is what remains of the picture at an eighth of its size when all that is thin is filtered away.
    """
    grey = image.convert("L")
    small = grey.reduce(8) if min(grey.size) >= 64 else grey
    paper = small.filter(ImageFilter.MedianFilter(7)).resize(grey.size, Image.Resampling.BILINEAR)
    return ImageOps.autocontrast(ImageChops.invert(ImageChops.difference(grey, paper)), cutoff=(0.5, 0))
