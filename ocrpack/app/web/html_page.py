"""Serve the page for people at /, its example image, and security headers for browsers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Flask, Response, abort, render_template, send_file

from ..outputs import FORMATS

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue

    from ..core.settings import Settings

HEADERS = {
    # blob: is the image that the user picked, which the page shows from the browser's memory.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}

DOWNLOADS = {
    "text": "Text",
    "pdf": "PDF",
    "json": "JSON",
    "hocr": "hOCR",
    "alto": "ALTO",
    "tsv": "TSV",
    "csv": "CSV",
}
"""The formats that the page offers, in its order, as it calls them."""


def install(app: Flask, settings: Settings) -> None:
    """Add the page, the example and the security headers to `app`."""

    @app.get("/")
    def index() -> ResponseReturnValue:
        downloads = [(name, FORMATS[name].extension, shown) for name, shown in DOWNLOADS.items()]
        return render_template("index.html", settings=settings, downloads=downloads)

    @app.get("/example")
    def example() -> ResponseReturnValue:
        if settings.example is None:
            abort(404)
        return send_file(settings.example)

    @app.after_request
    def secure(response: Response) -> Response:
        response.headers.extend(HEADERS)
        return response
