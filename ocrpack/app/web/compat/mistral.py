"""POST /v1/ocr like Mistral's OCR API, so that its clients and LiteLLM work with this service unchanged.

Shapes are those of the OCR endpoint of https://docs.mistral.ai/api as Mistral's own client (mistralai 3.7) sends and
expects them. What this service does not have is accepted and ignored: pictures cut out of pages, annotations,
tables.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

from flask import Flask

from ...outputs import markdown
from ...work.options import Options
from ...work.request_work import Upload
from .. import request_body
from ..routes import NOT_KEPT
from . import answers

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue

    from ...work.reading_service import ReadingService
    from ..metrics import Metrics

_ADDRESSES = ("image_url", "document_url")
_USUAL_DPI = 72
"""The resolution of pages whose own is unknown: the client demands a number."""


def install(app: Flask, service: ReadingService, metrics: Metrics) -> None:
    """Add the route to `app`."""

    @app.post("/v1/ocr")
    def mistral() -> ResponseReturnValue:
        with service.seats.seat():
            asked = request_body.document()
            options = Options(pages=_pages(asked.get("pages")))
            upload = _upload(asked.get("document"), service)
            size = os.fstat(upload.file.fileno()).st_size
            answer = answers.read(service, metrics, [upload], options)
        with_blocks = asked.get("include_blocks") is True
        return {
            "pages": [_page(page, with_blocks) for page in answer["pages"]],
            "model": service.settings.model.name,
            "document_annotation": None,
            "usage_info": {"pages_processed": len(answer["pages"]), "doc_size_bytes": size},
        }, NOT_KEPT


def _upload(document: Any, service: ReadingService) -> Upload:
    for name in _ADDRESSES:
        address = document.get(name) if isinstance(document, dict) else None
        if isinstance(address, dict):
            address = address.get("url")
        if isinstance(address, str):
            called = document.get("document_name")
            file = request_body.from_address(address, name, service.fetch)
            return Upload(called if isinstance(called, str) else None, file)
    raise request_body.no_image(
        "`document` has to hold `image_url` or `document_url`: a data: address, or one that this service may fetch. "
        "Files by id are not kept here."
    )


def _pages(wanted: Any) -> str | None:
    """Return a choice of pages that counts from 0, as Mistral does, as one that counts from 1."""
    if wanted is None or wanted == "" or wanted == []:
        return None
    if isinstance(wanted, list) and all(type(number) is int and 0 <= number < 10**8 for number in wanted):
        wanted = ",".join(map(str, wanted))
    if not isinstance(wanted, str) or not re.fullmatch(r"\d{1,8}(-\d{1,8})?(,\d{1,8}(-\d{1,8})?)*", wanted, re.ASCII):
        raise request_body.bad_option("pages", 'Write it as [0, 2] or as "0-4,7", counting from 0.')
    return re.sub(r"\d+", lambda number: str(int(number[0]) + 1), wanted)


def _page(page: dict[str, Any], with_blocks: bool) -> dict[str, Any]:
    shown = {
        "index": page["source_page"] - 1,
        "markdown": markdown.markdown(page["text"]),
        "images": [],
        "dimensions": {"dpi": page["dpi"] or _USUAL_DPI, "height": page["height"], "width": page["width"]},
    }
    return shown | {"blocks": [_block(*found) for found in markdown.paragraphs(page)]} if with_blocks else shown


def _block(text: str, box: list[int]) -> dict[str, Any]:
    corners = ("top_left_x", "top_left_y", "bottom_right_x", "bottom_right_y")
    return {"type": "text", **dict(zip(corners, box, strict=True)), "content": markdown.markdown(text)}
