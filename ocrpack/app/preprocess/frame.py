"""Turn and rescale images, and map what is read in them back to the pixels of the original."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from PIL import Image

from ..engines.base import corners

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..engines.base import Box, Line, Page, Polygon, Word


@dataclass(frozen=True)
class Frame:
    """Hold an image and the affine map of its pixels to the original: x' = a x + b y + c, y' = d x + e y + f."""

    image: Image.Image
    to_original: tuple[float, float, float, float, float, float] = (1, 0, 0, 0, 1, 0)
    angle: float = 0.0
    """By how many degrees clockwise text that is level here is turned in the original."""

    def changed(self, change: Callable[[Image.Image], Image.Image]) -> Frame:
        """Return the frame with its pixels changed, but not moved."""
        return replace(self, image=change(self.image))

    def scaled(self, factor: float) -> Frame:
        """Return the frame with its sides multiplied, rounded to whole pixels."""
        size = tuple(max(1, round(side * factor)) for side in self.image.size)
        image = self.image.resize((size[0], size[1]), Image.Resampling.BICUBIC, reducing_gap=3.0)
        return self._from(image, (self.image.width / size[0], 0, 0, 0, self.image.height / size[1], 0), 0)

    def turned(self, quarters: int) -> Frame:
        """Return the frame turned counter-clockwise by that many quarters."""
        width, height = self.image.size
        how = {1: Image.Transpose.ROTATE_90, 2: Image.Transpose.ROTATE_180, 3: Image.Transpose.ROTATE_270}
        steps = {1: (0, -1, width, 1, 0, 0), 2: (-1, 0, width, 0, -1, height), 3: (0, 1, 0, -1, 0, height)}
        return self._from(self.image.transpose(how[quarters]), steps[quarters], 90 * quarters) if quarters else self

    def straightened(self, degrees: float, paper: int | tuple[int, ...]) -> Frame:
        """Return the frame turned counter-clockwise by so many degrees, its new corners filled with `paper`."""
        width, height = self.image.size
        image = self.image.rotate(degrees, Image.Resampling.BICUBIC, expand=True, fillcolor=paper)
        cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        x, y = image.width / 2, image.height / 2
        way = (cos, -sin, width / 2 - cos * x + sin * y, sin, cos, height / 2 - sin * x - cos * y)
        return self._from(image, way, degrees)

    def _from(self, image: Image.Image, way: tuple[float, ...], angle: float) -> Frame:
        a, b, c, d, e, f = self.to_original
        g, h, i, j, k, m = way
        joined = (a * g + b * j, a * h + b * k, a * i + b * m + c, d * g + e * j, d * h + e * k, d * i + e * m + f)
        return Frame(image, joined, (self.angle + angle) % 360)

    def outward(self, page: Page, size: tuple[int, int]) -> Page:
        """Return a page that was read here in pixels of the original, all places within its `size`."""

        def polygon(drawn: Polygon) -> Polygon:
            one, two, three, four = (self._point(*corner, size) for corner in drawn)
            return one, two, three, four

        def placed(word: Word) -> Word:
            around = polygon(word.polygon)
            return replace(word, bbox=_hull(around, size), polygon=around)

        def line(found: Line) -> Line:
            around = polygon(found.polygon)
            words = tuple(map(placed, found.words))
            return replace(found, bbox=_hull(around, size), polygon=around, words=words)

        return replace(page, angle=round((page.angle + self.angle) % 360, 1) % 360, lines=tuple(map(line, page.lines)))

    def inward(self, page: Page) -> Page:
        """Return a page that was read in the original in pixels of this frame.

        The box of slanted text is higher than the text: what the slant adds is subtracted.
        """
        a, b, c, d, e, f = self.to_original
        scale = math.hypot(a, d)
        slant = abs(math.sin(math.radians(self.angle)))

        def placed(word: Word) -> Word:
            left, top, right, bottom = word.bbox
            x, y = (left + right) / 2 - c, (top + bottom) / 2 - f
            x, y = (x * e - y * b) / scale**2, (y * a - x * d) / scale**2
            across, down = (right - left) / scale, (bottom - top) / scale
            down = max(down - across * slant, down / 4)
            box = (round(x - across / 2), round(y - down / 2), round(x + across / 2), round(y + down / 2))
            return replace(word, bbox=box, polygon=corners(box, 0))

        def line(found: Line) -> Line:
            words = tuple(map(placed, found.words))
            boxes = [word.bbox for word in words] or [placed(found).bbox]
            box = (
                min(b[0] for b in boxes),
                min(b[1] for b in boxes),
                max(b[2] for b in boxes),
                max(b[3] for b in boxes),
            )
            return replace(found, bbox=box, polygon=corners(box, 0), words=words)

        return replace(page, angle=(page.angle - self.angle + 45) % 360 // 90 * 90, lines=tuple(map(line, page.lines)))

    def _point(self, x: float, y: float, size: tuple[int, int]) -> tuple[int, int]:
        a, b, c, d, e, f = self.to_original
        return (
            min(max(round(a * x + b * y + c), 0), size[0]),
            min(max(round(d * x + e * y + f), 0), size[1]),
        )


def _hull(polygon: Polygon, size: tuple[int, int]) -> Box:
    """Return the box around a polygon, at least a pixel wide and high."""
    xs, ys = [point[0] for point in polygon], [point[1] for point in polygon]
    left, top = min(min(xs), size[0] - 1), min(min(ys), size[1] - 1)
    return left, top, max(max(xs), left + 1), max(max(ys), top + 1)
