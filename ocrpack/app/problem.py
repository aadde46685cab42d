"""Answer every fault with problem details as RFC 9457 describes them."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from flask import Flask, Response, g, request
from werkzeug.exceptions import HTTPException

if TYPE_CHECKING:
    from collections.abc import Iterable

PLAIN_WORDS = {
    HTTPStatus.NOT_FOUND: "There is nothing at {path}. Send images to POST /ocr; the page is at /.",
    HTTPStatus.METHOD_NOT_ALLOWED: "{path} does not take {method}. Send images to POST /ocr.",
}


class Problem(Exception):  # noqa: N818, this is the RFC's word
    """Stop a request with a status and plain words about what was wrong and what to do next."""

    def __init__(
        self, status: HTTPStatus, kind: str, title: str, detail: str, *, retry_after: int | None = None, **members: Any
    ) -> None:
        """Describe the fault; `kind` is its stable name and `members` are further fields of the answer."""
        super().__init__(detail)
        self.status = status
        self.kind = kind
        self.title = title
        self.detail = detail
        self.retry_after = retry_after
        self.members = members


def install(app: Flask) -> None:
    """Make `app` answer all faults, its own and Flask's, with problem details."""

    @app.errorhandler(Problem)
    def _problem(problem: Problem) -> Response:
        headers = [("Retry-After", str(problem.retry_after))] if problem.retry_after else []
        kind = f"urn:ocrpack:problem:{problem.kind}"
        return _answer(kind, problem.status, problem.title, problem.detail, headers, problem.members)

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
        return _answer("about:blank", status, status.phrase, detail, headers, {})

    @app.errorhandler(Exception)
    def _fault(error: Exception) -> Response:
        app.logger.error("fault id=%s", g.request_id, exc_info=error)
        detail = f"The fault is ours, not your image's. The log has it under {g.request_id}."
        status = HTTPStatus.INTERNAL_SERVER_ERROR
        return _answer("about:blank", status, status.phrase, detail, [], {})


def _answer(
    kind: str,
    status: HTTPStatus,
    title: str,
    detail: str,
    headers: Iterable[tuple[str, str]],
    members: dict[str, Any],
) -> Response:
    body = {
        "type": kind,
        "title": title,
        "status": status.value,
        "detail": detail,
        "instance": f"urn:ocrpack:request:{g.request_id}",
        **members,
    }
    text = json.dumps(body, ensure_ascii=False) + "\n"
    response = Response(text, status, mimetype="application/problem+json")
    response.headers.extend(headers)
    return response
