"""What the APIs of other services have in common: an answer while the client waits, and pages as Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from flask import g

from .api import note
from .jobs import Job
from .problem import Problem

if TYPE_CHECKING:
    from .metrics import Metrics
    from .reader import Options, Upload
    from .service import Service

_BLOCKS = re.compile(r"^(?=#{1,6}(?:\s|$)|>|`{3}|~{3}|[-+=*_|:](?:[-+=*_|:\s]*$))", re.MULTILINE)
"""Where a line would begin a heading, a quotation or a fence, or consists of what draws rules and tables."""
_INLINE = re.compile(r"<(?=[a-z/!?])|(?<=\])\(", re.IGNORECASE)
"""What would begin HTML, or the address of a link or an image."""


def read(service: Service, metrics: Metrics, uploads: Sequence[Upload], options: Options) -> dict[str, Any]:
    """Return the API's answer for some documents; the caller holds a seat.

    Raises:
        Problem: a document is at fault; or reading takes too long to wait for, and goes on as a job (504).
    """
    try:
        found = service.read(uploads, options)
    except Problem as problem:
        # The type of the request was right; that of what it holds is not.
        if problem.status == HTTPStatus.UNSUPPORTED_MEDIA_TYPE:
            problem.status = HTTPStatus.UNPROCESSABLE_ENTITY
        raise
    if isinstance(found, Job):
        links = found.as_dict()["links"]
        detail = f"It goes on as a job: see GET {links['self']}, and do not send the document again."
        raise Problem(
            HTTPStatus.GATEWAY_TIMEOUT, "still-reading", "Reading takes longer", detail, job=found.id, links=links
        )
    note(service, metrics, found)
    return service.answer(found, g.request_id, options)


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
