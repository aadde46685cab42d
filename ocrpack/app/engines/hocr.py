"""Parse hOCR, which both ways of calling Tesseract give."""

from __future__ import annotations

import math
import re
from collections import Counter
from statistics import fmean, median
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from .base import Line, Page, Word, corners

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .base import Box

NOT_LEVEL = 0.5
"""Degrees; baselines that slant less are taken for level."""
LINES = {"ocr_line", "ocr_header", "ocr_caption", "ocr_textfloat"}


def parse(hocr: str | bytes) -> Page:
    """Return the page that an hOCR document or fragment describes, with an empty line between paragraphs."""
    lines: list[Line] = []
    paragraphs: list[str] = []
    turns: Counter[int] = Counter()
    slopes: list[float] = []
    for paragraph in _of_class(ElementTree.fromstring(hocr), {"ocr_par"}):
        texts: list[str] = []
        for element in _of_class(paragraph, LINES):
            turn = _quarter_turns(element)
            words = tuple(word for word in (_word(part, turn) for part in _of_class(element, {"ocrx_word"})) if word)
            if not words:
                continue
            text = " ".join(word.text for word in words)
            bbox = _bbox(element)
            confidences = [word.confidence for word in words if word.confidence is not None]
            confidence = round(fmean(confidences), 4) if confidences else None
            lines.append(Line(text, bbox, corners(bbox, turn), confidence, words))
            turns[turn] += len(text)
            slopes += _slope(element, turn)
            texts.append(text)
        if texts:
            paragraphs.append("\n".join(texts))
    angle = turns.most_common(1)[0][0] * 90.0 if turns else 0.0
    if angle == 0 and slopes:
        slant = round(math.degrees(math.atan(median(slopes))), 1)
        angle = slant % 360 if abs(slant) >= NOT_LEVEL else 0.0
    return Page("\n\n".join(paragraphs), angle, tuple(lines))


def _slope(line: ElementTree.Element, turn: int) -> list[float]:
    """Return the slope of a line's baseline, downwards; nothing for turned and short lines."""
    left, top, right, bottom = _bbox(line)
    found = re.search(r"baseline (-?[\d.]+)", line.get("title", ""))
    return [float(found[1])] if found and turn == 0 and right - left > 4 * (bottom - top) else []


def _of_class(root: ElementTree.Element, names: set[str]) -> Iterator[ElementTree.Element]:
    return (element for element in root.iter() if element.get("class") in names)


def _word(element: ElementTree.Element, turn: int) -> Word | None:
    text = "".join(element.itertext()).strip()
    if not text:
        return None
    bbox = _bbox(element)
    certainty = re.search(r"x_wconf (-?[\d.]+)", element.get("title", ""))
    confidence = min(max(float(certainty[1]) / 100, 0.0), 1.0) if certainty else None
    return Word(text, bbox, corners(bbox, turn), confidence)


def _bbox(element: ElementTree.Element) -> Box:
    found = re.search(r"bbox (-?\d+) (-?\d+) (-?\d+) (-?\d+)", element.get("title", ""))
    if not found:
        raise ValueError("hOCR without a bounding box")
    left, top, right, bottom = map(int, found.groups())
    return left, top, right, bottom


def _quarter_turns(line: ElementTree.Element) -> int:
    """Return how often a line is turned clockwise.

    hOCR's textangle counts the other way. Without orientation detection Tesseract writes none for a column of turned
    text, which it reads downwards; the line then has no baseline that fits, and stands higher than it is wide.
    """
    title = line.get("title", "")
    if turned := re.search(r"textangle (-?\d+)", title):
        return round(-int(turned[1]) / 90) % 4
    left, top, right, bottom = _bbox(line)
    upright = "baseline" in title and bottom - top < 2 * (right - left)
    return 1 if not upright and bottom - top > right - left else 0
