"""Error rates, as everyone in OCR computes them."""

from __future__ import annotations

import jiwer
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrpack.compare import distance, error_rates, normalise

WORDS = st.lists(st.text("abcé", min_size=1, max_size=4), min_size=1, max_size=8).map(" ".join)


def test_error_rates():
    assert error_rates("a  b\nc", "a b c") == (0, 0)
    assert error_rates("caf\u00e9", "cafe\u0301") == (0, 0)
    assert error_rates("hello world", "hello word") == (pytest.approx(1 / 11), 0.5)
    assert error_rates("ab", "") == (1, 1)


@given(WORDS, WORDS)
def test_the_rates_are_those_of_jiwer(truth, text):
    cer, wer = error_rates(truth, text)
    assert cer == pytest.approx(jiwer.cer(truth, text))
    assert wer == pytest.approx(jiwer.wer(truth, text))


def test_sums_of_distances_are_micro_averages():
    total = distance("aaaaaaaaa b", "aaaaaaaaa b") + distance("c", "d")
    assert (total.characters, total.character_errors) == (12, 1)
    assert total.cer == pytest.approx(1 / 12)
    assert total.wer == pytest.approx(1 / 3)


def test_recall_counts_words_as_often_as_they_are_there():
    assert distance("to be or not to be", "be be to the that").recall == pytest.approx(3 / 6)
    assert distance("one two", "two\n\none").recall == 1
    assert distance("", "noise").recall == 1


def test_an_empty_truth_counts_what_was_read():
    assert distance("", "ab").cer == 2
    assert distance(" \n", "").cer == 0


def test_case_is_folded_where_asked_for():
    assert error_rates("Stra\u00dfe", "STRASSE")[0] > 0
    assert distance("Stra\u00dfe", "STRASSE", ignore_case=True).cer == 0
    assert normalise("\u0130", ignore_case=True) == normalise("i\u0307", ignore_case=True)
