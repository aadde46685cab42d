"""Where a text differs from the truth, in detail."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrpack.client.score import confusions, lines, marked
from ocrpack.compare import distance

TEXT = st.text("ab é\n\u0301ß<", max_size=30)


def test_confusions_are_edits_of_characters():
    found = confusions("hello  world", "hcllo worlds")
    assert found == {("e", "c"): 1, ("", "s"): 1}
    assert confusions("rn", "m").total() == 2
    assert confusions("a b", "ab") == {(" ", ""): 1}
    assert confusions("ABC", "abc", ignore_case=True).total() == 0


@given(TEXT, TEXT)
def test_there_are_as_many_confusions_as_errors(truth, text):
    assert confusions(truth, text).total() == distance(truth, text).character_errors


def test_lines_are_paired_with_what_is_most_like_them():
    found = list(lines("x.png", "Total 9.00\nCASH 10.00\n\nright\nlost entirely", "CA5H 10.00\nright\nTotai 9.0O\nzz"))
    assert [(line.truth, line.read, line.errors) for line in found] == [
        ("Total 9.00", "Totai 9.0O", 2), ("CASH 10.00", "CA5H 10.00", 1), ("lost entirely", "", 13),
    ]  # fmt: skip
    assert found[0].cer == pytest.approx(0.2)
    assert list(lines("x.png", "One\n", "ONE", ignore_case=True)) == []
    assert [line.read for line in lines("x.png", "One", "")] == [""]


def test_marks():
    left, right = marked("Total: 9.00\nCASH", "Total: 9.O0 noise")
    assert left == [
        ("same", ""), ("same", "Total:"), ("same", " "), ("same", "9."), ("wrong", "0"), ("same", "0"),
        ("same", "\n"), *[("wrong", "CASH")],
    ]  # fmt: skip
    assert ("extra", "O") in right
    assert ("extra", "noise") in right


@given(TEXT, TEXT, st.booleans())
def test_marked_pieces_hold_all_words_and_mark_what_differs(truth, text, ignore_case):
    import unicodedata

    left, right = marked(truth, text, ignore_case=ignore_case)
    for pieces, whole in ((left, truth), (right, text)):
        assert "".join(piece for _, piece in pieces) == unicodedata.normalize("NFC", whole).rstrip()
    assert {mark for mark, _ in left} <= {"same", "wrong"}
    assert {mark for mark, _ in right} <= {"same", "extra"}
    if distance(truth, text, ignore_case=ignore_case).word_errors == 0:
        assert {mark for mark, _ in left + right} <= {"same"}
