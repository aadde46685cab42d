"""Measure a picture cheaply, on a copy of a few hundred pixels a side, and even out its light."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING

from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageMath

if TYPE_CHECKING:
    from ..engines.base import Page

SIDE = 480  # of the copy that ink is sought in
FAINT = 8  # contrast below this is no ink, of 255
FLAT = 24  # where light and dark differ by less there is no text
STEEPEST = 12


class Ink:
    """Find ink by its local contrast; false if there is none.

    Contrast tells ink whether it is darker or lighter than the paper, and in any light.
    """

    def __init__(self, image: Image.Image) -> None:
        self._factor = max(1, -(-max(image.size) // SIDE))
        small = image.reduce(self._factor).convert("L")
        contrast = ImageChops.difference(small, small.filter(ImageFilter.BoxBlur(6)))
        top = contrast.getextrema()[1]
        threshold = max(FAINT, int(top) // 6 if isinstance(top, (int, float)) else 0)
        self._marks = contrast.point([0] * threshold + [255] * (256 - threshold))
        self._total = self._marks.histogram()[255]

    def __bool__(self) -> bool:
        return self._total > 0

    def unread(self, page: Page) -> float:
        """Return the share of the ink that lies outside all words that were read."""
        rest = self._marks.copy()
        draw = ImageDraw.Draw(rest)
        for part in (part for line in page.lines for part in (line.words or (line,))):
            left, top, right, bottom = (side // self._factor for side in part.bbox)
            draw.rectangle((left - 4, top - 3, right + 4, bottom + 3), fill=0)
        return rest.histogram()[255] / self._total if self else 0.0

    def skew(self, *, upright: bool) -> float:
        """Return by how many degrees clockwise the text is off the nearest quarter turn, STEEPEST at most.

        The rows of level text differ most from the rows beside them (Postl, 1986). Unless the text is known to be
        `upright`, the columns are tried, too.
        """

        def sharpness(degrees: float, *, sideways: bool = False) -> float:
            turned = self._marks.rotate(degrees, Image.Resampling.NEAREST)
            rows = turned.reduce((1, turned.height) if sideways else (turned.width, 1)).tobytes()
            return float(sum((one - other) ** 2 for one, other in pairwise(rows)))

        best, ratio = 0.0, 1.1
        for side in (False,) if upright else (False, True):
            level = sharpness(0, sideways=side) or 1.0
            measured = partial(sharpness, sideways=side)
            coarse = max((float(step) for step in range(-STEEPEST, STEEPEST + 1)), key=measured)
            fine = max((coarse + step / 4 for step in range(-3, 4)), key=measured)
            if measured(fine) > ratio * level:
                best, ratio = fine, measured(fine) / level
        return best


def height(page: Page) -> float:
    """Return the median height of the words in pixels, 0 without words."""
    heights = [
        min(part.bbox[2] - part.bbox[0], part.bbox[3] - part.bbox[1])
        for line in page.lines
        for part in (line.words or (line,))
        if len(part.text) > 1
    ]
    return median(heights) if heights else 0.0


def stroke(image: Image.Image) -> float:
    """Return the mean width of strokes in pixels, measured along the middle rows; 0 without ink."""
    side = min(image.height, 512)
    top = (image.height - side) // 2
    grey = image.crop((0, top, image.width, top + side)).convert("L")
    darkest, lightest = grey.getextrema()
    if not isinstance(darkest, int) or not isinstance(lightest, int) or lightest - darkest < FLAT:
        return 0.0
    middle = (darkest + lightest) // 2
    dark = grey.point([255] * middle + [0] * (256 - middle))
    marks = dark if 2 * dark.histogram()[255] < side * grey.width else ImageChops.invert(dark)
    begins = ImageChops.subtract(marks, ImageChops.offset(marks, 1, 0)).histogram()[255]
    return marks.histogram()[255] / begins if begins else 0.0


def level(image: Image.Image, text: float) -> Image.Image:
    """Return a grey picture with black ink on white paper, whatever its inks, papers and light.

    In the surroundings of each pixel, about as large as `text` is high, the darkest value becomes black and the
    lightest white; where the mean is nearer to the darkest, the paper is dark, and both are swapped.
    """
    grey = image.convert("L")
    factor = max(1, min(round(text / 8), min(grey.size) // 16))
    small = grey.reduce(factor)
    size, bilinear = grey.size, Image.Resampling.BILINEAR
    smooth = ImageFilter.BoxBlur(2)
    low = small.filter(ImageFilter.MinFilter(9)).filter(smooth).resize(size, bilinear)
    high = small.filter(ImageFilter.MaxFilter(9)).filter(smooth).resize(size, bilinear)
    mean = small.filter(ImageFilter.BoxBlur(6)).resize(size, bilinear)
    light = ImageChops.subtract(mean, ImageChops.add(low, high, 2), 1, 128)
    upright = ImageMath.lambda_eval(
        lambda of: of["convert"]((of["grey"] - of["low"]) * 255 / (of["high"] - of["low"] + 1), "L"),
        grey=grey,
        low=low,
        high=high,
    )
    result = Image.composite(upright, ImageChops.invert(upright), light.point([0] * 128 + [255] * 128))
    flat = ImageChops.subtract(high, low).point([255] * FLAT + [0] * (256 - FLAT))
    result.paste(255, mask=flat)
    return result
