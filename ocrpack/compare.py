"""Compare a text that was read with the true one: the only place where error rates are computed."""

from __future__ import annotations

import unicodedata
from collections import Counter
from dataclasses import dataclass


@dataclass(frozen=True)
class Distance:
    """How far a text is from the truth; sums of distances give rates over many texts (micro averages)."""

    characters: int = 0
    """Of the truth."""
    character_errors: int = 0
    """Characters put in, left out or replaced: the Levenshtein distance."""
    words: int = 0
    word_errors: int = 0
    words_found: int = 0
    """Words of the truth that are anywhere in the text, each as often as it is there."""

    @property
    def cer(self) -> float:
        """The character error rate; a text where there is none in truth counts against one character."""
        return self.character_errors / max(1, self.characters)

    @property
    def wer(self) -> float:
        """The word error rate, in the same way."""
        return self.word_errors / max(1, self.words)

    @property
    def recall(self) -> float:
        """The share of the truth's words that were found, whatever their order."""
        return self.words_found / self.words if self.words else 1.0

    def __add__(self, other: Distance) -> Distance:
        return Distance(
            self.characters + other.characters,
            self.character_errors + other.character_errors,
            self.words + other.words,
            self.word_errors + other.word_errors,
            self.words_found + other.words_found,
        )


def normalise(text: str, *, ignore_case: bool = False) -> str:
    """Return the text as it is compared: Unicode NFC, white space runs as single spaces, folded case if asked for."""
    text = " ".join(unicodedata.normalize("NFC", text).split())
    return unicodedata.normalize("NFC", text.casefold()) if ignore_case else text


def distance(truth: str, text: str, *, ignore_case: bool = False) -> Distance:
    """Return how far the text is from the truth."""
    from rapidfuzz.distance import Levenshtein

    expected, got = normalise(truth, ignore_case=ignore_case), normalise(text, ignore_case=ignore_case)
    words, words_got = expected.split(), got.split()
    return Distance(
        len(expected),
        Levenshtein.distance(expected, got),
        len(words),
        Levenshtein.distance(words, words_got),
        (Counter(words) & Counter(words_got)).total(),
    )


def error_rates(truth: str, text: str) -> tuple[float, float]:
    """Return the character and the word error rate: edit distance over the truth's length."""
    found = distance(truth, text)
    return found.cer, found.wer
