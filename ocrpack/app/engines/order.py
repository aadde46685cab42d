"""Put the lines that a detector found on a page into reading order.

A page is split at its gutters, as a newspaper is; within a column lines go from top to bottom, and lines side by side
are one row. The cells of a table are too short to be columns of prose, so a table is read row by row.
"""

from __future__ import annotations

from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

Rect: TypeAlias = tuple[float, float, float, float]

_PROSE_WIDTH = 0.6
"""The median line of prose has at least this share of its column's width,"""
_PROSE_LENGTH = 6.0
"""and is at least so many times as long as high."""
_LEAST_LINES = 3
_SPANNING = 0.2
"""The largest share of the lines that may cross a gutter: headings, captions."""
_OPEN_ROWS = 4
"""Boxes come from top to bottom, so only the last rows can take another one."""


def rows_of(boxes: Sequence[Rect]) -> list[list[int]]:
    """Return the indices of upright boxes (left, top, right, bottom) row by row in reading order."""
    return _columns(boxes, list(range(len(boxes))))


def _columns(boxes: Sequence[Rect], those: list[int]) -> list[list[int]]:
    gutter = _gutter(boxes, those)
    if gutter is None:
        return _rows(boxes, those)
    rows: list[list[int]] = []
    left: list[int] = []
    right: list[int] = []
    for row in [*_rows(boxes, those), []]:
        across = any(boxes[number][0] < gutter < boxes[number][2] for number in row)
        if across or not row:
            rows += [*_columns(boxes, left), *_columns(boxes, right), *([row] if row else [])]
            left, right = [], []
            continue
        for number in row:
            (left if boxes[number][2] <= gutter else right).append(number)
    return rows


def _gutter(boxes: Sequence[Rect], those: list[int]) -> float | None:
    """Return the x that the fewest lines cross and that has prose on both sides; None if there is none."""
    best: tuple[int, float, float] | None = None
    edges = sorted({edge for number in those for edge in (boxes[number][0], boxes[number][2])})
    for start, end in pairwise(edges):
        middle = (start + end) / 2
        across = sum(boxes[number][0] < middle < boxes[number][2] for number in those)
        if across <= len(those) * _SPANNING and (best is None or (across, start - end) < best[:2]):
            sides = [[n for n in those if boxes[n][2] <= middle], [n for n in those if boxes[n][0] >= middle]]
            if all(_is_prose([boxes[number] for number in side]) for side in sides):
                best = across, start - end, middle
    return best[2] if best else None


def _is_prose(column: list[Rect]) -> bool:
    if len(column) < _LEAST_LINES:
        return False
    width = max(box[2] for box in column) - min(box[0] for box in column)
    return (
        median(box[2] - box[0] for box in column) >= _PROSE_WIDTH * width
        and median((box[2] - box[0]) / (box[3] - box[1]) for box in column) >= _PROSE_LENGTH
    )


def _rows(boxes: Sequence[Rect], those: list[int]) -> list[list[int]]:
    rows: list[list[int]] = []
    for number in sorted(those, key=lambda number: _middle(boxes[number])):
        beside = [row for row in rows[-_OPEN_ROWS:] if all(_are_beside(boxes[number], boxes[other]) for other in row)]
        if beside:
            min(beside, key=lambda row: _distance(boxes, number, row)).append(number)
        else:
            rows.append([number])
    return [sorted(row, key=lambda number: boxes[number][0]) for row in rows]


def _are_beside(one: Rect, other: Rect) -> bool:
    """Tell whether two boxes are on the same row."""
    height = min(one[3] - one[1], other[3] - other[1])
    width = min(one[2] - one[0], other[2] - other[0])
    shared = min(one[2], other[2]) - max(one[0], other[0])
    return abs(_middle(one) - _middle(other)) < height / 2 and shared < width / 4


def _distance(boxes: Sequence[Rect], number: int, row: list[int]) -> float:
    return min(abs(_middle(boxes[number]) - _middle(boxes[other])) for other in row)


def _middle(box: Rect) -> float:
    return (box[1] + box[3]) / 2
