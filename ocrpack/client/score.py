"""Compare a text with the truth in detail: confused characters, the worst lines, marked words."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import Literal

from ocrpack.compare import normalise

Confusions = Counter[tuple[str, str]]
"""How often a character of the truth (empty: none) was read as another (empty: left out)."""
Mark = Literal["same", "wrong", "extra"]
_UNLIKE = 0.7
"""Two lines or words of which a larger share of characters differs do not belong together."""


@dataclass(frozen=True)
class Line:
    """Hold a line of the truth, and the line that was read and is most like it."""

    image: str
    truth: str
    read: str
    errors: int
    """Characters put in, left out or replaced."""

    @property
    def cer(self) -> float:
        """The character error rate of the line."""
        return self.errors / max(1, len(self.truth))


def confusions(truth: str, text: str, *, ignore_case: bool = False) -> Confusions:
    """Count the edits of a shortest way from the truth to the text."""
    from rapidfuzz.distance import Levenshtein

    expected, got = normalise(truth, ignore_case=ignore_case), normalise(text, ignore_case=ignore_case)
    found: Confusions = Counter()
    for edit in Levenshtein.editops(expected, got):
        wanted = "" if edit.tag == "insert" else expected[edit.src_pos]
        found[wanted, "" if edit.tag == "delete" else got[edit.dest_pos]] += 1
    return found


def lines(image: str, truth: str, text: str, *, ignore_case: bool = False) -> Iterator[Line]:
    """Yield every line of the truth that was read with errors, with the line that comes closest."""
    from rapidfuzz import process
    from rapidfuzz.distance import Levenshtein

    folded = {normalise(line, ignore_case=ignore_case): normalise(line) for line in text.splitlines()}
    for line in truth.splitlines():
        wanted = normalise(line, ignore_case=ignore_case)
        if not wanted or wanted in folded:
            continue
        best = process.extractOne(wanted, list(folded), scorer=Levenshtein.distance)
        if best is None or best[1] > _UNLIKE * len(wanted):
            yield Line(image, normalise(line), "", len(wanted))
        else:
            yield Line(image, normalise(line), folded[best[0]], int(best[1]))


def marked(
    truth: str, text: str, *, ignore_case: bool = False
) -> tuple[list[tuple[Mark, str]], list[tuple[Mark, str]]]:
    """Return both texts in pieces, white space included, each marked with how it differs from the other.

    Words are aligned first, then the characters of words that correspond: `wrong` marks the characters of the truth
    that were missed, `extra` those that were read instead.
    """
    from rapidfuzz.distance import Levenshtein

    ours, theirs = _pieces(truth), _pieces(text)
    folded = [[normalise(word, ignore_case=ignore_case) for _, word in pieces] for pieces in (ours, theirs)]
    left: list[tuple[Mark, str]] = []
    right: list[tuple[Mark, str]] = []
    for step in Levenshtein.opcodes(*folded):
        words = ours[step.src_start : step.src_end], theirs[step.dest_start : step.dest_end]
        for one, other in zip_longest(*words):
            shown = _characters(one[1], other[1], step.tag == "equal", ignore_case) if one and other else None
            if one:
                left += [("same", one[0]), *(shown[0] if shown else [("wrong", one[1])])]
            if other:
                right += [("same", other[0]), *(shown[1] if shown else [("extra", other[1])])]
    return left, right


def _pieces(text: str) -> list[tuple[str, str]]:
    """Return every word with the white space before it."""
    found, before = [], ""
    text = unicodedata.normalize("NFC", text)
    start = 0
    for word in text.split():
        at = text.index(word, start)
        before = text[start:at]
        found.append((before, word))
        start = at + len(word)
    return found


def _characters(
    truth: str, text: str, equal: bool, ignore_case: bool
) -> tuple[list[tuple[Mark, str]], list[tuple[Mark, str]]]:
    from rapidfuzz.distance import Levenshtein

    if equal:
        return [("same", truth)], [("same", text)]
    if Levenshtein.normalized_distance(truth, text) > _UNLIKE:
        return [("wrong", truth)], [("extra", text)]
    one, other = (word.lower() if ignore_case and len(word.lower()) == len(word) else word for word in (truth, text))
    left: list[tuple[Mark, str]] = []
    right: list[tuple[Mark, str]] = []
    for step in Levenshtein.opcodes(one, other):
        left.append(("same" if step.tag == "equal" else "wrong", truth[step.src_start : step.src_end]))
        right.append(("same" if step.tag == "equal" else "extra", text[step.dest_start : step.dest_end]))
    return [piece for piece in left if piece[1]], [piece for piece in right if piece[1]]
