"""Answer every fault with problem details (RFC 9457)."""

from __future__ import annotations

import errno
import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from flask import Flask, Response, g, request
from werkzeug.exceptions import ClientDisconnected, HTTPException

from ..core.problem import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

PLAIN_WORDS = {
    HTTPStatus.NOT_FOUND: "There is nothing at {path}. Send images to POST /ocr; the page is at /.",
    HTTPStatus.METHOD_NOT_ALLOWED: "{path} does not take {method}. Send images to POST /ocr.",
}


def install(app: Flask, count: Callable[[str], None]) -> None:
    """Make `app` answer its own faults and Flask's with problem details, and call `count` with their kinds."""

    @app.errorhandler(Problem)
    def _problem(problem: Problem) -> Response:
        count(problem.kind)
        headers = [("Retry-After", str(problem.retry_after))] if problem.retry_after else []
        if problem.status == HTTPStatus.UNAUTHORIZED:
            headers.append(("WWW-Authenticate", 'Bearer realm="ocr"'))
        return _answer(problem.body(g.request_id), headers)

    @app.errorhandler(ClientDisconnected)
    def _cut_off(_: ClientDisconnected) -> Response:
        detail = "The request ended before all of it was here, came too slowly, or in damaged chunks. Send it again."
        return _problem(Problem(HTTPStatus.REQUEST_TIMEOUT, "cut-off", "The request was cut off", detail))

    @app.errorhandler(HTTPException)
    def _http(error: HTTPException) -> Response | HTTPException:
        status = HTTPStatus(error.code or HTTPStatus.INTERNAL_SERVER_ERROR)
        if status < HTTPStatus.BAD_REQUEST:
            return error
        if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            limit = (request.max_content_length or 0) // 2**20
            detail = f"The request is larger than {limit} MB or has too many parts. Send fewer or smaller images."
        else:
            words = PLAIN_WORDS.get(status, error.description or status.phrase)
            detail = words.format(path=request.path, method=request.method) if status in PLAIN_WORDS else words
        headers = [header for header in error.get_headers() if header[0].lower() != "content-type"]
        return _answer(_plain(status, detail), headers)

    @app.errorhandler(OSError)
    def _disk(error: OSError) -> Response:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            return _fault(error)
        count("no-space")
        app.logger.error("no space left for what was sent: %s", error)
        detail = "The server has no space left for what you sent. Whoever runs it has to make some."
        return _answer(_plain(HTTPStatus.INSUFFICIENT_STORAGE, detail), [("Retry-After", "60")])

    @app.errorhandler(Exception)
    def _fault(error: Exception) -> Response:
        count("fault")
        app.logger.error("fault id=%s", g.request_id, exc_info=error)
        detail = f"The fault is ours, not your image's. The log has it under {g.request_id}."
        return _answer(_plain(HTTPStatus.INTERNAL_SERVER_ERROR, detail))


def _plain(status: HTTPStatus, detail: str) -> dict[str, Any]:
    body = Problem(status, "", status.phrase, detail).body(g.request_id)
    return body | {"type": "about:blank"}


def _answer(body: dict[str, Any], headers: Iterable[tuple[str, str]] = ()) -> Response:
    text = json.dumps(body, ensure_ascii=False) + "\n"
    response = Response(text, body["status"], mimetype="application/problem+json")
    response.headers.extend(headers)
    return response
