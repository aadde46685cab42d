"""The app's routes: images in, text out, and whether it is alive and ready."""

from __future__ import annotations

import base64
import io
import json
import logging
import os
import re
import sys
import threading
import time
import uuid
from http import HTTPStatus
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from flask import Flask, Response, g, jsonify, request
from werkzeug.serving import make_server

from . import page, problem
from .engines import load_engine
from .problem import Problem
from .reader import Reader, Upload
from .settings import Settings

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue

    from .engines import Engine

MAX_BODY = 50 * 2**20
MAX_DRAINED = 4 * MAX_BODY
SPARE_THREADS = 2  # threads that OCR never takes: one for /healthz, one to drain bodies of refused requests

HOW_TO_SEND = (
    "Send an image as the file field `image` of a multipart form, as a raw body with its image/* content type, "
    'or as JSON: {"image_base64": "..."}.'
)


def create_app(folder: Path, engine: Engine | None = None) -> Flask:
    """Return the WSGI app of the bundle unpacked in `folder`, with its model loaded; tests may bring an engine.

    Raises:
        RuntimeError: the engine or its weights cannot be loaded.
    """
    settings = Settings.load(Path(folder))
    app = Flask(__name__, static_folder="static", template_folder="templates")
    app.extensions["ocrpack"] = settings
    app.config["MAX_CONTENT_LENGTH"] = app.config["MAX_FORM_MEMORY_SIZE"] = MAX_BODY
    app.json.ensure_ascii = False  # type: ignore[attr-defined]
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.logger.setLevel(logging.INFO)
    reader = Reader(
        engine or load_engine(settings.engine, settings.model),
        seats=max(1, settings.threads - SPARE_THREADS),
        seconds=settings.request_seconds,
    )
    _identify_requests(app)
    _drain_refused(app)
    problem.install(app)
    page.install(app, settings)
    _routes(app, settings, reader)
    return app


def serve(app: Flask) -> None:
    """Serve `app` from this process until it is interrupted; HOST and PORT override the descriptor's address."""
    settings: Settings = app.extensions["ocrpack"]
    host = os.environ.get("HOST") or settings.host
    port = os.environ.get("PORT") or str(settings.port)
    if not port.isdecimal() or int(port) > 65535:
        raise SystemExit(f"PORT is {port!r}; it must be a number from 0 to 65535")
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    server = make_server(host, int(port), app, threaded=True)
    shown = f"[{host}]" if ":" in host else host
    sys.stderr.write(f"{settings.name} {settings.version} is at http://{shown}:{server.port}/ (stop it with Ctrl-C)\n")
    try:
        server.serve_forever()
    finally:
        server.server_close()


def _routes(app: Flask, settings: Settings, reader: Reader) -> None:
    model = {"name": settings.model.name, "version": settings.model.version}

    @app.post("/ocr")
    def ocr() -> ResponseReturnValue:
        with reader.seat():
            uploads = _uploads()
            g.pages = len(uploads)
            reading = reader.read(uploads)
        answer = {
            "id": g.request_id,
            "model": model,
            "engine": reader.engine.name,
            "languages": settings.model.languages,
            "text": reading.text,
            "warnings": reading.warnings,
            "timings": reading.timings,
            "pages": reading.pages,
        }
        return jsonify(answer), {"Cache-Control": "no-store"}

    @app.get("/healthz")
    def healthz() -> ResponseReturnValue:
        return {"status": "ok"}

    @app.get("/readyz")
    def readyz() -> ResponseReturnValue:
        state = {
            "status": "stuck" if reader.stuck else "ready",
            "name": settings.name,
            "version": settings.version,
            "engine": reader.engine.name,
            "backend": reader.engine.backend,
            "model": model,
            "languages": settings.model.languages,
        }
        return state, HTTPStatus.SERVICE_UNAVAILABLE if reader.stuck else HTTPStatus.OK

    @app.after_request
    def log(response: Response) -> Response:
        if request.path == "/ocr":
            app.logger.info(
                "ocr id=%s status=%d pages=%d bytes=%d seconds=%.3f",
                g.request_id,
                response.status_code,
                g.get("pages", 0),
                request.content_length or 0,
                time.monotonic() - g.began,
            )
        return response


def _identify_requests(app: Flask) -> None:
    """Give every request an id: the sender's where it is harmless in a log, else a new one."""

    @app.before_request
    def begin() -> None:
        g.began = time.monotonic()
        theirs = request.headers.get("X-Request-Id", "")
        g.request_id = theirs if re.fullmatch(r"[\w.:-]{1,128}", theirs, re.ASCII) else uuid.uuid4().hex

    @app.after_request
    def end(response: Response) -> Response:
        response.headers["X-Request-Id"] = g.request_id
        return response


def _drain_refused(app: Flask) -> None:
    """Take in what the sender of a refused image still sends, so that it sees the answer and not a reset connection.

    One request a process at a time, so that slow senders never take the threads that /healthz needs.
    """
    turn = threading.Lock()

    @app.after_request
    def drain(response: Response) -> Response:
        stream = request.environ["wsgi.input"]
        # Without that mark the stream has no end of its own, and reading on would wait for ever.
        ends = request.environ.get("wsgi.input_terminated")
        if response.status_code >= HTTPStatus.BAD_REQUEST and ends and turn.acquire(blocking=False):
            try:
                left = MAX_DRAINED
                while left > 0 and (part := stream.read(2**16)):
                    left -= len(part)
            except OSError:
                pass  # the sender is gone, which is as good
            finally:
                turn.release()
        return response


def _body() -> bytes:
    """Return the body of the current request, or refuse it as too large."""
    body = request.get_data()
    if request.content_length is None:
        # Werkzeug cuts a body of unknown length at the limit in silence; only the next read raises.
        request.stream.read(1)
    return body


def _uploads() -> list[Upload]:
    """Return the images of the current request, in their order."""
    if request.mimetype == "multipart/form-data":
        files = request.files.getlist("image")
        if not files:
            there = ", ".join([*request.files, *request.form]) or "no field at all"
            raise _bad_request(f"The form has no file field named `image` (it has: {there}). {HOW_TO_SEND}")
        return [Upload(file.filename or f"image {number}", file.stream) for number, file in enumerate(files, 1)]
    if request.is_json:
        return [Upload("image_base64", _from_json(_body()))]
    if request.mimetype.startswith("image/") or request.mimetype == "application/octet-stream":
        return [Upload("body", io.BytesIO(_body()))]
    sent = request.mimetype or "no content type"
    raise Problem(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        "unsupported-body",
        "The request holds no image",
        f"The request came with {sent}. {HOW_TO_SEND}",
    )


def _from_json(body: bytes) -> IO[bytes]:
    try:
        document: Any = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _bad_request(f"The body is not valid JSON. {HOW_TO_SEND}") from error
    text = document.get("image_base64") if isinstance(document, dict) else None
    if not isinstance(text, str):
        raise _bad_request(f"The JSON has no string `image_base64`. {HOW_TO_SEND}")
    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        return io.BytesIO(base64.b64decode("".join(text.split()), validate=True))
    except ValueError as error:
        raise _bad_request("`image_base64` is not valid base64.") from error


def _bad_request(detail: str) -> Problem:
    return Problem(HTTPStatus.BAD_REQUEST, "no-image", "The request holds no image", detail)
