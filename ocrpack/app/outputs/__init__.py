"""Render an answer of the API in any of its output formats."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..core import fastjson
from . import alto, hocr, pdf, tables
from .layout import Answer, plain


@dataclass(frozen=True)
class Format:
    """Hold a format's content type, its files' extension without a dot, and the function that renders an answer."""

    mimetype: str
    extension: str
    render: Callable[[Answer, Sequence[bytes]], bytes]
    needs_pictures: bool = False
    """Whether an answer alone is not enough."""


def render(name: str, answer: Answer, images: Sequence[bytes] = ()) -> bytes:
    """Return an answer of the API in one of `FORMATS`; `images` is one RGB JPEG a page."""
    return FORMATS[name].render(answer, images)


def _json(answer: Answer, _: Sequence[bytes]) -> bytes:
    return fastjson.dumps(answer) + b"\n"


def _text(answer: Answer, _: Sequence[bytes]) -> bytes:
    """Return the text of all pages, with a form feed between pages as Tesseract and pdftotext do."""
    texts = (plain(page["text"]).strip("\n") for page in answer["pages"])
    return "\f".join(f"{text}\n" if text else "" for text in texts).encode()


FORMATS = {
    "json": Format("application/json", "json", _json),
    "text": Format("text/plain; charset=utf-8", "txt", _text),
    "tsv": Format("text/tab-separated-values; charset=utf-8", "tsv", tables.tsv),
    "hocr": Format("text/html; charset=utf-8", "hocr", hocr.render),
    "alto": Format("application/xml", "xml", alto.render),
    "pdf": Format("application/pdf", "pdf", pdf.render, needs_pictures=True),
    "csv": Format("text/csv; charset=utf-8", "csv", tables.csv),
}
