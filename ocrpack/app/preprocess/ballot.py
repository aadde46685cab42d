"""Combine several readings of one image: of each line the most certain one, and of each word in it.

This is ROVER's idea (Fiscus, 1997) with places instead of an alignment: lines and words at the same place compete.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from statistics import fmean
from typing import TYPE_CHECKING

from ..engines.base import Line, Page, Word

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ..engines.base import Box

EVEN = 0.5
"""A character with less confidence is more likely wrong than right."""


def certainty(page: Page) -> float | None:
    """Return the mean confidence of the page's characters: 0 without text, None if the engine gives none."""
    known = [(part.confidence, len(part.text)) for part in _parts(page.lines) if part.confidence is not None]
    if not known:
        return None if page.lines else 0.0
    return sum(confidence * length for confidence, length in known) / sum(length for _, length in known)


def worth(lines: Iterable[Line]) -> float:
    """Return how much was read: the sum over all characters of how far their confidence exceeds EVEN."""
    return sum(((1 if part.confidence is None else part.confidence) - EVEN) * len(part.text) for part in _parts(lines))


def vote(pages: Sequence[Page]) -> Page:
    """Return the combined reading of one image, in the order of the first.

    A line that only the first reading has, or lacks, is kept if its characters are more likely right than wrong.
    """
    found = [(reading, line) for reading, page in enumerate(pages) for line in page.lines]
    begins = [begin for page in pages for begin in _paragraph_begins(page)]
    chosen: list[tuple[Line, bool]] = []
    for group in _in_order(_groups(found), [reading for reading, _ in found]):
        sides: dict[int, list[int]] = {}
        for index in group:
            sides.setdefault(found[index][0], []).append(index)
        best = max(sides, key=lambda side: worth(found[index][1] for index in sides[side]))
        backed = 0 in sides and len(sides) > 1
        if not backed and worth(found[index][1] for index in sides[best]) <= 0:
            continue
        rivals = [word for index in group if found[index][0] != best for word in found[index][1].words]
        chosen += [(_best_words(found[index][1], rivals), begins[index]) for index in sides[best]]
    text = "".join(("\n\n" if begin else "\n") + line.text for line, begin in chosen).strip("\n")
    return Page(text, pages[0].angle, tuple(line for line, _ in chosen))


def same_place(one: Box, other: Box) -> bool:
    """Tell whether two boxes share half of the lower one's height and a fifth of the narrower one's width."""
    down, across = (min(one[side + 2], other[side + 2]) - max(one[side], other[side]) for side in (1, 0))
    height, width = (min(one[side + 2] - one[side], other[side + 2] - other[side]) for side in (1, 0))
    return down > height / 2 and across > width / 5


def _parts(lines: Iterable[Line]) -> list[Word]:
    return [part for line in lines for part in (line.words or (line,))]


def _groups(found: Sequence[tuple[int, Line]]) -> list[list[int]]:
    """Return the indices of lines, grouped by place; lines of one reading do not join a group by themselves."""
    leader = list(range(len(found)))

    def first(index: int) -> int:
        while leader[index] != index:
            index = leader[index]
        return index

    by_top = sorted(range(len(found)), key=lambda index: found[index][1].bbox[1])
    for position, index in enumerate(by_top):
        for other in by_top[position + 1 :]:
            if found[other][1].bbox[1] >= found[index][1].bbox[3]:
                break
            if found[other][0] != found[index][0] and same_place(found[index][1].bbox, found[other][1].bbox):
                low, high = sorted((first(index), first(other)))
                leader[high] = low
    groups: dict[int, list[int]] = {}
    for index in range(len(found)):
        groups.setdefault(first(index), []).append(index)
    return list(groups.values())


def _in_order(groups: Sequence[list[int]], readings: Sequence[int]) -> list[list[int]]:
    """Return the groups in the first reading's order; a line that it lacks follows its own predecessor."""
    of = {index: number for number, group in enumerate(groups) for index in group}
    after: dict[int, int] = {-1: -1}
    last = -1
    for index, (before, reading) in enumerate(pairwise([-1, *readings])):
        previous = of[index - 1] if before == reading and index else -1
        if (number := of[index]) not in after:
            anchor = previous if reading else last
            after[number] = after[anchor]
            after[anchor] = number
            last = number
    order, at = [], after[-1]
    while at != -1:
        order.append(groups[at])
        at = after[at]
    return order


def _best_words(line: Line, rivals: Sequence[Word]) -> Line:
    """Return a line with each word replaced by the one that the readings vote for, weighted by confidence."""
    words = []
    for word in line.words:
        weights = {word.text: (word.confidence or 0.0, word.confidence)}
        for rival in rivals:
            if _same_word(word.bbox, rival.bbox):
                weight, best = weights.get(rival.text, (0.0, None))
                certain = max((value for value in (best, rival.confidence) if value is not None), default=None)
                weights[rival.text] = (weight + (rival.confidence or 0.0), certain)
        text = max(weights, key=lambda text: weights[text][0])
        words.append(replace(word, text=text, confidence=weights[text][1]))
    if not words:
        return line
    confidences = [word.confidence for word in words if word.confidence is not None]
    mean = round(fmean(confidences), 4) if confidences else None
    return replace(line, text=" ".join(word.text for word in words), words=tuple(words), confidence=mean)


def _same_word(one: Box, other: Box) -> bool:
    across = min(one[2], other[2]) - max(one[0], other[0])
    return same_place(one, other) and across > 0.75 * (max(one[2], other[2]) - min(one[0], other[0]))


def _paragraph_begins(page: Page) -> list[bool]:
    """Tell of each line whether it begins a paragraph of the page's text."""
    begins = [number == 0 for block in page.text.split("\n\n") for number in range(block.count("\n") + 1)]
    return begins if len(begins) == len(page.lines) else [False] * len(page.lines)
