"""Write a page as Markdown, and split it into paragraphs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

_BLOCKS = re.compile(r"^(?=#{1,6}(?:\s|$)|>|`{3}|~{3}|[-+=*_|:](?:[-+=*_|:\s]*$))", re.MULTILINE)
"""The start of a line that Markdown would take for a heading, a quotation, a fence, a rule or a table's rule."""

_INLINE = re.compile(r"<(?=[a-z/!?])|(?<=\])\(", re.IGNORECASE)
"""What Markdown would take for the start of HTML, or of the address of a link or an image."""


def markdown(text: str) -> str:
    """Return a page's text as Markdown that shows the same text.

    Line breaks and empty lines stay as they are. Only the starts of blocks (headings, fences, quotations, rules,
    tables), HTML and links are escaped: so text from an image can neither change a page that shows it nor make it
    fetch anything.
    """
    lines = (line.strip() for line in text.splitlines())
    return _INLINE.sub(r"\\\g<0>", _BLOCKS.sub(r"\\", "\n".join(lines)))


def paragraphs(page: dict[str, Any]) -> Iterator[tuple[str, list[int]]]:
    """Yield the text of each paragraph of a page, and the box around its lines: left, top, right, bottom."""
    lines = iter(page["lines"])
    for text in re.split(r"\n{2,}", page["text"].strip("\n")):
        boxes = [line["bbox"] for _, line in zip(text.split("\n"), lines, strict=False)]
        if boxes:
            left, top, right, bottom = zip(*boxes, strict=True)
            yield text, [min(left), min(top), max(right), max(bottom)]
