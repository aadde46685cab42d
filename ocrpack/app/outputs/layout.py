"""Turn an answer into pages, paragraphs, lines and words whose text and boxes every format can write.

Engines may return control characters, lone surrogates, boxes without width and corners outside the page. They are
repaired here, once for all formats.
"""

from __future__ import annotations

import math
import re
import unicodedata
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..core.fastjson import whole

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

Answer = dict[str, Any]
Box = tuple[int, int, int, int]
Point = tuple[float, float]

_BREAKS = re.compile(r"[\t-\r\x1c-\x1f\x85\u2028\u2029]+")
# Characters that XML 1.0 forbids, and the other controls, which nothing displays.
_INVISIBLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ufffe\uffff]")


@dataclass(frozen=True)
class Word:
    """Hold text on one line, its box in the page's pixels, and its corners clockwise from the reader's top left.

    `angle` is by how many degrees it is turned clockwise, from 0 up to 360; `spaced` is whether a space follows it on
    its line: in Chinese, none does.
    """

    text: str
    bbox: Box
    polygon: tuple[Point, ...]
    confidence: float | None
    angle: float
    spaced: bool = True

    @property
    def quarter_turns(self) -> int:
        """The number of quarter turns clockwise that is closest to `angle`."""
        return round(self.angle / 90) % 4

    @property
    def right_to_left(self) -> bool:
        """Whether its first letter with a direction belongs to a script written from right to left."""
        kinds = (unicodedata.bidirectional(letter) for letter in self.text)
        return next((kind != "L" for kind in kinds if kind in {"L", "R", "AL"}), False)


@dataclass(frozen=True)
class Line(Word):
    """Hold a line and its words in reading order; some engines find lines without words."""

    words: tuple[Word, ...] = ()

    @property
    def parts(self) -> tuple[Word, ...]:
        """The words, or the line itself if it has none."""
        return self.words or (self,)


@dataclass(frozen=True)
class Page:
    """Hold a page's paragraphs, none empty; `number` counts over all documents, `source_page` within one."""

    number: int
    source: str | None
    source_page: int
    width: int
    height: int
    dpi: int | None
    paragraphs: tuple[tuple[Line, ...], ...]

    @property
    def lines(self) -> Iterator[Line]:
        """All lines in reading order."""
        return (line for paragraph in self.paragraphs for line in paragraph)


def pages(answer: Answer) -> Iterator[Page]:
    """Yield the pages of an answer, one at a time."""
    for raw in answer["pages"]:
        yield Page(
            number=raw["page_number"],
            source=one_line(raw["source"]) if raw.get("source") else None,
            source_page=raw.get("source_page") or raw["page_number"],
            width=raw["width"],
            height=raw["height"],
            dpi=raw["dpi"],
            paragraphs=tuple(_paragraphs(raw)),
        )


def around(items: Iterable[Word]) -> Box:
    """Return the box around all of `items`, which must not be empty."""
    lefts, tops, rights, bottoms = zip(*(item.bbox for item in items), strict=True)
    return min(lefts), min(tops), max(rights), max(bottoms)


def plain(text: str) -> str:
    """Return `text` without lone surrogates and control characters other than line breaks and tabs."""
    return _INVISIBLE.sub("", whole(text))


def one_line(text: str) -> str:
    """Return `text` as `plain` does, with spaces for line breaks and tabs."""
    return plain(_BREAKS.sub(" ", text)).strip()


def _paragraphs(page: Mapping[str, Any]) -> Iterator[tuple[Line, ...]]:
    """Yield the lines of each paragraph; empty lines in the page's text separate them."""
    sizes = [paragraph.count("\n") + 1 for paragraph in page["text"].split("\n\n")]
    if sum(sizes) != len(page["lines"]):
        sizes = [len(page["lines"])]
    rest = iter(page["lines"])
    for size in sizes:
        lines = (_line(next(rest), page) for _ in range(size))
        if written := tuple(line for line in lines if line.parts[0].text):
            yield written


def _line(raw: Mapping[str, Any], page: Mapping[str, Any]) -> Line:
    line = _word(raw, page)
    words = [word for word in (_word(word, page) for word in raw["words"]) if word.text]
    end = 0
    for index, word in enumerate(words[:-1]):
        start = line.text.find(word.text, end)
        end = max(start, end) + len(word.text)
        if start >= 0 and line.text.startswith(words[index + 1].text, end):
            words[index] = replace(word, spaced=False)
    return Line(**(vars(line) | {"words": tuple(words)}))


def _word(raw: Mapping[str, Any], page: Mapping[str, Any]) -> Word:
    polygon = tuple(_inside(corner, page) for corner in raw["polygon"])
    first, second = _inside(raw["bbox"][:2], page), _inside(raw["bbox"][2:], page)
    left, right = sorted((round(first[0]), round(second[0])))
    top, bottom = sorted((round(first[1]), round(second[1])))
    confidence = raw["confidence"]
    return Word(
        text=one_line(raw["text"]),
        bbox=(left, top, right, bottom),
        polygon=polygon,
        confidence=None if confidence is None else min(max(confidence, 0.0), 1.0),
        angle=_angle(polygon, page["angle"]),
    )


def _inside(point: Sequence[float], page: Mapping[str, Any]) -> Point:
    return min(max(point[0], 0), page["width"]), min(max(point[1], 0), page["height"])


def _angle(polygon: Sequence[Point], otherwise: float) -> float:
    """Return the direction of the top and bottom edges in degrees clockwise, `otherwise` if they have no length."""
    (x1, y1), (x2, y2), (x3, y3), (x4, y4) = polygon
    right, down = x2 - x1 + x3 - x4, y2 - y1 + y3 - y4
    return math.degrees(math.atan2(down, right)) % 360 if right or down else otherwise % 360
