"""Text from images as Markdown: it shows the same text, and does nothing else."""

from __future__ import annotations

import pytest

from ocrpack.app.outputs.markdown import markdown, paragraphs


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Plain words, *stars* and _lines_\nin two lines\n\nand a paragraph", None),
        ("1. one\n- two\n* three", None),
        ("100 % of A|B for 5 < 6", None),
        ("#42 is no heading", None),
        ("# 42", "\\# 42"),
        ("##", "\\##"),
        ("Total\n-----", "Total\n\\-----"),
        ("Total\n=", "Total\n\\="),
        ("* * *", "\\* * *"),
        ("| --- | :-: |", "\\| --- | :-: |"),
        ("> 5", "\\> 5"),
        ("```\nnever closed", "\\```\nnever closed"),
        ("~~~", "\\~~~"),
        ("    four spaces", "four spaces"),
        ("<script>alert(1)</script>", "\\<script>alert(1)\\</script>"),
        ("<!-- hidden -->", "\\<!-- hidden -->"),
        ("![x](http://tracker.example/?q)", "![x]\\(http://tracker.example/?q)"),
        ("", None),
    ],
)
def test_markdown_keeps_the_text(text: str, shown: str | None) -> None:
    assert markdown(text) == (text if shown is None else shown)


def test_paragraphs_have_the_box_around_their_lines() -> None:
    lines = [{"bbox": [10, 20, 90, 30]}, {"bbox": [5, 32, 80, 44]}, {"bbox": [10, 60, 50, 70]}]
    page = {"text": "one\ntwo\n\nthree", "lines": lines}
    assert list(paragraphs(page)) == [("one\ntwo", [5, 20, 90, 44]), ("three", [10, 60, 50, 70])]
    assert list(paragraphs({"text": "", "lines": []})) == []
