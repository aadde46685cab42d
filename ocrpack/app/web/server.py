"""Put the app's parts together, and serve it without another server."""

from __future__ import annotations

import logging
import os
import re
import sys
import threading
import time
import uuid
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

from flask import Flask, Response, g, request
from werkzeug.serving import make_server

from ..core.settings import Settings
from ..engine_pool import pool
from ..work.reading_service import ReadingService
from . import access, error_answers, html_page, openapi, routes
from .compat import docling, mistral
from .metrics import Metrics
from .request_body import FileRequest

if TYPE_CHECKING:
    from ..engines.base import Engine

_DRAINED_BODIES = 4


class _App(Flask):
    request_class = FileRequest


def create_app(folder: Path, engine: Engine | None = None) -> Flask:
    """Return the WSGI app of the bundle unpacked in `folder`, with its model loaded; tests may pass an engine.

    Raises:
        RuntimeError: the engine or its weights cannot be loaded, or a declared token has no value.
    """
    settings = Settings.load(Path(folder))
    app = _App(__name__, static_folder="static", template_folder="templates")
    app.extensions["ocrpack"] = settings
    app.config["MAX_CONTENT_LENGTH"] = app.config["MAX_FORM_MEMORY_SIZE"] = settings.limits.body_mb << 20
    app.json.ensure_ascii = False  # type: ignore[attr-defined]
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.logger.setLevel(logging.INFO)
    service = ReadingService(settings, pool.around(engine, settings.limits) if engine else pool.start(settings))
    _identify_requests(app)
    _drain_refused(app, settings.limits.body_mb << 20)
    metrics = Metrics(app, settings, service.pool, service.jobs)
    error_answers.install(app, metrics.problem)
    access.install(app, settings)
    html_page.install(app, settings)
    routes.install(app, service, metrics)
    mistral.install(app, service, metrics)
    docling.install(app, service, metrics)
    openapi.install(app, service)
    routes.log_requests(app)
    service.runner.begin()
    return app


def serve(app: Flask) -> None:
    """Serve `app` from this process until it is interrupted; HOST and PORT override the descriptor's address."""
    settings: Settings = app.extensions["ocrpack"]
    host = os.environ.get("HOST") or settings.host
    port = os.environ.get("PORT") or str(settings.port)
    if not port.isdecimal() or int(port) > 65535:
        raise SystemExit(f"PORT is {port!r}; it must be a number from 0 to 65535")
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    server = make_server(host, int(port), app, threaded=True, ssl_context=settings.tls)
    scheme = "https" if settings.tls else "http"
    shown = f"[{host}]" if ":" in host else host
    sys.stderr.write(
        f"{settings.name} {settings.version} is at {scheme}://{shown}:{server.port}/ (stop it with Ctrl-C)\n"
    )
    try:
        server.serve_forever()
    finally:
        server.server_close()


def _identify_requests(app: Flask) -> None:
    """Give every request an id: the sender's if it is harmless in a log, else a new one."""

    @app.before_request
    def begin() -> None:
        g.began = time.monotonic()
        theirs = request.headers.get("X-Request-Id", "")
        g.request_id = theirs if re.fullmatch(r"[\w.:-]{1,128}", theirs, re.ASCII) else uuid.uuid4().hex

    @app.after_request
    def end(response: Response) -> Response:
        response.headers["X-Request-Id"] = g.request_id
        return response


def _drain_refused(app: Flask, max_body: int) -> None:
    """Receive the rest of a refused request, so that its sender sees the response and not a reset connection.

    Do so for one request at a time, so that slow senders never take the threads that /healthz needs.
    """
    turn = threading.Lock()

    @app.after_request
    def drain(response: Response) -> Response:
        stream = request.environ["wsgi.input"]
        # Without `wsgi.input_terminated` the stream has no end, and reading on would wait for ever.
        ends = request.environ.get("wsgi.input_terminated")
        if response.status_code >= HTTPStatus.BAD_REQUEST and ends and turn.acquire(blocking=False):
            try:
                left = _DRAINED_BODIES * max_body
                while left > 0 and (part := stream.read(2**16)):
                    left -= len(part)
            except Exception as error:  # the sender is gone, or the server cannot parse the rest: nobody waits
                app.logger.debug("not drained: %s", error)
            finally:
                turn.release()
        return response
