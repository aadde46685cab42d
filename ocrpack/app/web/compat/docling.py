"""The routes of docling-serve that Open WebUI, LightRAG and others use.

Routes and shapes are those of docling-serve 1.38 (its app.py, and docling.datamodel.service.responses of docling
2.143): documents come in the file field `files`, and go out as Markdown, as text, and as a DoclingDocument with a text
item for every paragraph; several documents, or any with target_type=zip, go out as an archive. A task is a job of this
service; its id is the job's, followed by the formats of the result. Options without a meaning here (models, tables,
pictures) are ignored.
"""

from __future__ import annotations

import io
import json
import re
import time
import zipfile
from http import HTTPStatus
from itertools import groupby
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from flask import Flask, Response, jsonify, request

from ...core.problem import Problem
from ...outputs import markdown
from ...work.options import Options
from .. import request_body
from ..routes import NOT_KEPT
from . import answers

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask.typing import ResponseReturnValue

    from ...work.job_store import Job
    from ...work.reading_service import ReadingService
    from ..metrics import Metrics

_FIELD = "files"
_FORMATS = {"md": ("md_content", "md"), "text": ("text_content", "txt"), "json": ("json_content", "json")}
"""The formats of a result: the field of the answer, and the extension of the file in an archive."""
_OTHERS = ("html_content", "doctags_content", "doclang_content")
_IN_BODY, _ZIP = "inbody", "zip"
_STATUSES = {"queued": "pending", "running": "started", "done": "success"}
_MOST_SECONDS = 999_999_999
_LONGEST_WAIT_S = 30.0
_LOOK_S = 0.2
_NO_END = 10**9
"""docling's default page range ends at the largest integer; an end beyond this means the last page."""


def install(app: Flask, service: ReadingService, metrics: Metrics) -> None:
    """Add the routes to `app`."""

    @app.post("/v1/convert/file")
    def docling_convert() -> ResponseReturnValue:
        with service.seats.seat():
            wanted = _wanted()
            answer = answers.read(service, metrics, request_body.uploaded(_FIELD), _options(service))
        return _result(answer, wanted)

    @app.post("/v1/convert/file/async")
    def docling_begin() -> ResponseReturnValue:
        with service.seats.seat():
            wanted = _wanted()
            job = service.runner.add(request_body.uploaded(_FIELD), _options(service))
        return jsonify(_task(".".join([job.id, *wanted]), job)), NOT_KEPT

    @app.get("/v1/status/poll/<task>")
    def docling_poll(task: str) -> ResponseReturnValue:
        return jsonify(_task(task, _awaited(service, _parts(task)[0], _seconds()))), NOT_KEPT

    @app.get("/v1/result/<task>")
    def docling_result(task: str) -> ResponseReturnValue:
        job, wanted = _parts(task)
        answer, _ = service.jobs.result(service.jobs.get(job))
        return _result(answer, wanted)

    @app.get("/health")
    def health() -> ResponseReturnValue:
        return {"status": "ok"}


def _options(service: ReadingService) -> Options:
    """Return the options; ignore languages that the model does not know, since docling names them in its own way."""
    known = service.settings.model.languages
    languages = [name for name in re.split(r"[,\s]+", ",".join(request.form.getlist("ocr_lang"))) if name in known]
    pages = request.form.getlist("page_range")
    return request_body.parsed({"languages": languages, "pages": _span(pages) if pages else None}, known)


def _span(ends: list[str]) -> str:
    if len(ends) != 2 or not all(re.fullmatch(r"[1-9][0-9]{0,19}", end) for end in ends):
        raise request_body.bad_option("page_range", "It has to be two numbers, the first and the last page.")
    return f"{ends[0]}-{'' if int(ends[1]) >= _NO_END else ends[1]}"


def _wanted() -> list[str]:
    """Return the formats of the result, with `zip` at the end for an archive."""
    asked = request.form.getlist("to_formats") or ["md"]
    target = request.form.get("target_type", _IN_BODY)
    if target not in (_IN_BODY, _ZIP):
        raise request_body.bad_option("target_type", f"It may be: {_IN_BODY}, {_ZIP}.")
    archive = target == _ZIP or len(request.files.getlist(_FIELD)) > 1
    return [name for name in _FORMATS if name in asked] + [_ZIP] * archive


def _parts(task: str) -> tuple[str, list[str]]:
    """Return the job and the formats in a task's id."""
    job, *wanted = task.split(".")
    return job, wanted


def _seconds() -> float:
    """Return how many seconds the client waits for a task to end."""
    text = request.args.get("wait", "0")
    if not re.fullmatch(r"[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?", text) or float(text) > _MOST_SECONDS:
        raise request_body.bad_option("wait", f"It has to be a number of seconds, from 0 to {_MOST_SECONDS}.")
    return min(float(text), _LONGEST_WAIT_S)


def _awaited(service: ReadingService, name: str, seconds: float) -> Job:
    """Return a job when it ends, or after `seconds`; at once if no seat is free to wait on."""
    job = service.jobs.get(name)
    if seconds and not job.over:
        try:
            with service.seats.seat():
                end = time.monotonic() + seconds
                while not job.over and (left := end - time.monotonic()) > 0:
                    time.sleep(min(_LOOK_S, left))
                    job = service.jobs.get(name)
        except Problem as problem:
            if problem.status != HTTPStatus.TOO_MANY_REQUESTS:
                raise
    return job


def _task(task: str, job: Job) -> dict[str, Any]:
    fault = Problem.from_dict(job.problem).detail if job.problem else None
    return {
        "task_id": task,
        "task_type": "convert",
        "task_status": _STATUSES.get(job.status, "failure"),
        "task_position": None,
        "task_meta": None,
        "error_message": fault or ("The job was cancelled." if job.status == "cancelled" else None),
    }


def _result(answer: dict[str, Any], wanted: list[str]) -> Response:
    """Return what was read as docling-serve does: one document as JSON, several as an archive, or one on demand."""
    documents = [list(pages) for _, pages in groupby(answer["pages"], _document_of)]
    if _ZIP in wanted or len(documents) > 1:
        return Response(_archive(documents, wanted), mimetype="application/zip", headers=NOT_KEPT)
    (pages,) = documents
    fields: dict[str, Any] = dict.fromkeys([*(field for field, _ in _FORMATS.values()), *_OTHERS])
    fields |= {_FORMATS[name][0]: content for name, content in _contents(pages, wanted).items()}
    body = {
        "document": {"filename": _name(pages), **fields},
        "status": "success",
        "errors": [],
        "processing_time": answer["timings"]["total"],
        "timings": {},
    }
    response = jsonify(body)
    response.headers.extend(NOT_KEPT)
    return response


def _document_of(page: dict[str, Any]) -> tuple[str | None, int]:
    """Return what the pages of one document have in common, but not with those of the next one."""
    return page["source"], page["index"] - page["source_page"]


def _archive(documents: list[list[dict[str, Any]]], wanted: list[str]) -> bytes:
    buffer = io.BytesIO()
    stems: set[str] = set()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, pages in enumerate(documents, 1):
            stem = PurePosixPath(_name(pages)).stem
            stem = f"{stem}-{number}" if stem in stems else stem
            stems.add(stem)
            for name, content in _contents(pages, wanted).items():
                text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
                archive.writestr(f"{stem}.{_FORMATS[name][1]}", text)
    return buffer.getvalue()


def _contents(pages: list[dict[str, Any]], wanted: list[str]) -> dict[str, Any]:
    make: dict[str, Callable[[], Any]] = {
        "md": lambda: "\n\n".join(text for page in pages if (text := markdown.markdown(page["text"]))),
        "text": lambda: "\n\n".join(page["text"] for page in pages if page["text"]),
        "json": lambda: _docling_document(pages),
    }
    return {name: make[name]() for name in _FORMATS if name in wanted}


def _name(pages: list[dict[str, Any]]) -> str:
    """Return the document's file name, without the folders that some clients send."""
    return re.sub(r"^.*[/\\]|[\0-\x1f]", "", pages[0]["source"] or "", flags=re.DOTALL).strip(". ") or "document"


def _docling_document(pages: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the pages as docling-core's DoclingDocument, with a text item for every paragraph."""
    found = [(page, *paragraph) for page in pages for paragraph in markdown.paragraphs(page)]
    return {
        "schema_name": "DoclingDocument",
        "version": "1.3.0",
        "name": PurePosixPath(_name(pages)).stem,
        "furniture": _root("furniture", 0),
        "body": _root("body", len(found)),
        "groups": [],
        "texts": [_text_item(*item, number) for number, item in enumerate(found)],
        "pictures": [],
        "tables": [],
        "key_value_items": [],
        "form_items": [],
        "pages": {
            str(page["source_page"]): {
                "size": {"width": page["width"], "height": page["height"]},
                "page_no": page["source_page"],
            }
            for page in pages
        },
    }


def _root(layer: str, texts: int) -> dict[str, Any]:
    children = [{"$ref": f"#/texts/{number}"} for number in range(texts)]
    common = {"name": "_root_", "label": "unspecified"}
    return {"self_ref": f"#/{layer}", "children": children, "content_layer": layer, **common}


def _text_item(page: dict[str, Any], text: str, box: list[int], number: int) -> dict[str, Any]:
    corners = dict(zip("ltrb", box, strict=True)) | {"coord_origin": "TOPLEFT"}
    return {
        "self_ref": f"#/texts/{number}",
        "parent": {"$ref": "#/body"},
        "children": [],
        "content_layer": "body",
        "label": "text",
        "prov": [{"page_no": page["source_page"], "bbox": corners, "charspan": [0, len(text)]}],
        "orig": text,
        "text": text,
    }
