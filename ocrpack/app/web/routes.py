"""The routes of the API: read documents at once or as a job, preview a page, render an answer, tell the state."""

from __future__ import annotations

import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from flask import Flask, Response, current_app, g, jsonify, request

from ..core.problem import Problem
from ..outputs import FORMATS, render
from ..work.job_store import Job
from . import request_body

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue

    from ..work.options import Options
    from ..work.reading_service import ReadingService
    from ..work.request_work import Reading
    from .metrics import Metrics

_PREVIEW_SIDES = range(16, 4097)
NOT_KEPT = {"Cache-Control": "no-store"}
"""Headers of responses that hold something of what was sent."""


def install(app: Flask, service: ReadingService, metrics: Metrics) -> None:
    """Add the routes to `app`."""
    languages = service.settings.model.languages

    @app.post("/ocr")
    def ocr() -> ResponseReturnValue:
        with service.seats.seat():
            options = request_body.options(languages)
            found = service.read(request_body.uploads(service.fetch), options)
        if isinstance(found, Job):
            return _accepted(found)
        note(service, metrics, found)
        return output(service.answer(found, g.request_id, options), found, options)

    @app.post("/ocr/jobs")
    def begin_job() -> ResponseReturnValue:
        with service.seats.seat():
            return _accepted(service.runner.add(request_body.uploads(service.fetch), request_body.options(languages)))

    @app.get("/ocr/jobs/<job>")
    def show_job(job: str) -> ResponseReturnValue:
        return jsonify(service.jobs.get(job).as_dict()), NOT_KEPT

    @app.delete("/ocr/jobs/<job>")
    def cancel_job(job: str) -> ResponseReturnValue:
        service.jobs.get(job)
        return jsonify(service.runner.cancel(job).as_dict()), NOT_KEPT

    @app.get("/ocr/jobs/<job>/result")
    def job_result(job: str) -> ResponseReturnValue:
        known = service.jobs.get(job)
        answer, rendered = service.jobs.result(known)
        wanted = request.args.get("output", known.options.output)
        _known(wanted)
        if not FORMATS[wanted].needs_pictures:
            return _rendered(wanted, render(wanted, answer))
        if rendered is None:
            detail = "The page's pictures are not kept. Ask for a job with output=pdf."
            raise Problem(HTTPStatus.CONFLICT, "no-pictures", "There is no PDF of this job", detail)
        return _rendered(wanted, rendered)

    @app.post("/ocr/preview")
    def preview() -> ResponseReturnValue:
        page, side = _number("page", 1, range(1, 10**6)), _number("side", 2000, _PREVIEW_SIDES)
        with service.seats.seat():
            (upload, *_) = request_body.uploads(None)
            picture = service.preview(upload, page, side)
        return Response(picture, mimetype="image/jpeg", headers=NOT_KEPT)

    @app.post("/ocr/render")
    def render_answer() -> ResponseReturnValue:
        wanted = request.args.get("output", "json")
        _known(wanted)
        if FORMATS[wanted].needs_pictures:
            detail = "A PDF needs the pictures: send the document to POST /ocr?output=pdf."
            raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "bad-option", "There are no pictures", detail)
        answer = request_body.document().get("answer")
        try:
            if not isinstance(answer, dict):
                raise TypeError
            return _rendered(wanted, render(wanted, answer))
        except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
            detail = "The body has to hold, as `answer`, what POST /ocr answered."
            raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "bad-answer", "That is no answer", detail) from error

    @app.get("/version")
    def version() -> ResponseReturnValue:
        response = jsonify(service.version)
        response.set_etag(service.version["model"]["digest"])
        return response.make_conditional(request)

    @app.get("/healthz")
    def healthz() -> ResponseReturnValue:
        return {"status": "ok"}

    @app.get("/readyz")
    def readyz() -> ResponseReturnValue:
        state = service.state
        return state, HTTPStatus.OK if state["status"] == "ready" else HTTPStatus.SERVICE_UNAVAILABLE


def output(answer: dict[str, Any], reading: Reading, options: Options) -> Response:
    """Return an answer in the format that the options name."""
    return _rendered(options.output, render(options.output, answer, reading.images))


def _rendered(name: str, content: bytes) -> Response:
    return Response(content, content_type=FORMATS[name].mimetype, headers=NOT_KEPT)


def _accepted(job: Job) -> ResponseReturnValue:
    return jsonify(job.as_dict()), HTTPStatus.ACCEPTED, {"Location": f"/ocr/jobs/{job.id}", "Retry-After": "1"}


def _known(name: str) -> None:
    if name not in FORMATS:
        raise request_body.bad_option("output", f"It may be: {', '.join(FORMATS)}.")


def _number(name: str, default: int, known: range) -> int:
    text = request.args.get(name, str(default))
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and int(text) in known):
        raise request_body.bad_option(name, f"It has to be a number from {known[0]} to {known[-1]}.")
    return int(text)


def note(service: ReadingService, metrics: Metrics, reading: Reading) -> None:
    """Count what was read, for the metrics and the log; log its text if the descriptor says so."""
    metrics.read(reading)
    g.pages = len(reading.pages)
    if service.settings.log_text:
        current_app.logger.info("text id=%s %r", g.request_id, reading.text)


def log_requests(app: Flask) -> None:
    """Log one line for each POST request: its cost, and nothing of the image or its text."""

    @app.after_request
    def log(response: Response) -> Response:
        if request.method == "POST":
            app.logger.info(
                "ocr id=%s status=%d pages=%d bytes=%d seconds=%.3f",
                g.request_id,
                response.status_code,
                g.get("pages", 0),
                request.content_length or 0,
                time.monotonic() - g.began,
            )
        return response
