"""The protocol that an OCR engine satisfies, and the pages that it returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from pathlib import Path

    from PIL.Image import Image

Box = tuple[int, int, int, int]

Polygon = tuple[tuple[int, int], tuple[int, int], tuple[int, int], tuple[int, int]]


class RefusedError(Exception):
    """Say why the engine refuses an image that is sound."""


@dataclass(frozen=True)
class Word:
    """Hold a word and its place: pixels, origin top left, polygon clockwise from the reader's top left."""

    text: str
    bbox: Box
    polygon: Polygon
    confidence: float | None


@dataclass(frozen=True)
class Line(Word):
    """Hold a line of text and its words in reading order."""

    words: tuple[Word, ...]


@dataclass(frozen=True)
class Page:
    """Hold the text of one image; `angle` is how far it is turned clockwise, in degrees."""

    text: str
    angle: float
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Weight:
    """Name one file of a model's weights."""

    path: Path
    role: str


@dataclass(frozen=True)
class Model:
    """Hold what an engine loads."""

    name: str
    version: str
    languages: tuple[str, ...]
    weights: tuple[Weight, ...]
    options: Mapping[str, Any]


class Engine(Protocol):
    """Read text from images, one at a time; no image may change how the next one is read."""

    name: str
    backend: str
    version: str
    """The version of the engine's library."""
    shares_by_fork: bool
    """Whether processes forked after `load` can use the loaded model."""
    self_reliant: bool
    """Whether it copes with turned, slanted, small and faint text by itself, so that preprocessing gains nothing."""

    def read(self, image: Image, dpi: int | None, languages: tuple[str, ...], seconds: float) -> Page:
        """Return the text of an upright RGB image in these of the model's languages; an empty tuple means all.

        Raises:
            RefusedError: the engine cannot take this image.
            TimeoutError: reading took longer than `seconds`.
        """
        ...

    def turn(self, image: Image) -> int | None:
        """Return by how many quarter turns clockwise the text is turned (0 to 3), None if it is unknown."""
        ...


def corners(bbox: Box, quarter_turns: int) -> Polygon:
    """Return a box's corners clockwise, from the top left of text that is turned so many quarters clockwise."""
    left, top, right, bottom = bbox
    upright = [(left, top), (right, top), (right, bottom), (left, bottom)]
    first, second, third, fourth = upright[quarter_turns % 4 :] + upright[: quarter_turns % 4]
    return first, second, third, fourth
