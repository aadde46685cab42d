"""Put lines that a detector found anywhere on a page into the order in which a person reads them.

A page is parted at gutters, as a newspaper is; within a column lines go from top to bottom, and what stands side by
side is one row. A table is no newspaper: its cells are too short to be columns of prose, so it is read row by row.
"""

from __future__ import annotations

from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

Rect: TypeAlias = tuple[float, float, float, float]

_PROSE_WIDTH = 0.6
"""The share of their column's width that lines of prose have at the median."""
_PROSE_LENGTH = 6.0
"""How often as long as high lines of prose are at the median."""
_LEAST_LINES = 3
_SPANNING = 0.2
"""At most so many of the lines may reach across a gutter: headings, captions."""
_OPEN_ROWS = 4
"""The boxes come from top to bottom: no row but the last few can take another one."""


def rows_of(boxes: Sequence[Rect]) -> list[list[int]]:
    """Return the numbers of the boxes (left, top, right, bottom; upright) row by row in reading order."""
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
    """Return where the fewest lines reach across, if there is prose on both sides of it."""
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
    """Tell whether two boxes stand on the same row, neither above the other."""
    height = min(one[3] - one[1], other[3] - other[1])
    width = min(one[2] - one[0], other[2] - other[0])
    shared = min(one[2], other[2]) - max(one[0], other[0])
    return abs(_middle(one) - _middle(other)) < height / 2 and shared < width / 4


def _distance(boxes: Sequence[Rect], number: int, row: list[int]) -> float:
    return min(abs(_middle(boxes[number]) - _middle(boxes[other])) for other in row)


def _middle(box: Rect) -> float:
    return (box[1] + box[3]) / 2
