"""An engine that reads the same everywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ocrpack.app.engines.base import Line, Page, Word

if TYPE_CHECKING:
    from collections.abc import Callable

    from PIL import Image


class StandIn:
    """An engine that reads what the test says."""

    name, backend, version = "stand-in", "none", "1.0"
    shares_by_fork = True
    self_reliant = True

    def __init__(self, read: Callable[[], Page]) -> None:
        self._read = read

    def read(self, image: Image.Image, dpi: int | None, languages: tuple[str, ...], seconds: float) -> Page:
        return self._read()

    def turn(self, image: Image.Image) -> int | None:
        return None


def page_of(*texts: str) -> Page:
    """Return a page of one paragraph with these lines, each 40 pixels below the other.

    Nothing is said of how sure it is, so that nobody reads it twice.
    """
    lines = []
    for number, text in enumerate(texts):
        box = (10, 40 * number, 300, 40 * number + 30)
        corners = ((10, box[1]), (300, box[1]), (300, box[3]), (10, box[3]))
        lines.append(Line(text, box, corners, None, (Word(text, box, corners, None),)))
    return Page("\n".join(texts), 0.0, tuple(lines))
