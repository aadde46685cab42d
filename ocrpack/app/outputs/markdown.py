"""Text as Markdown, and as paragraphs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

_BLOCKS = re.compile(r"^(?=#{1,6}(?:\s|$)|>|`{3}|~{3}|[-+=*_|:](?:[-+=*_|:\s]*$))", re.MULTILINE)
"""Where a line would begin a heading, a quotation or a fence, or consists of what draws rules and tables."""

_INLINE = re.compile(r"<(?=[a-z/!?])|(?<=\])\(", re.IGNORECASE)
"""What would begin HTML, or the address of a link or an image."""


def markdown(text: str) -> str:
    """Return a page's text as Markdown that shows the same text.

    Line breaks and empty lines, which set off paragraphs, stay as they are. Escaped is only what would make something
    else of the lines that follow (headings, fences, quotations, rules, tables), HTML, and links: text from an image
    neither gives orders to a page that shows it nor makes it fetch anything.
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
