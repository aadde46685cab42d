"""A package index that makes its clients wait, or breaks off in the middle of a download."""

from __future__ import annotations

import http.server
import threading
import time

PACKAGE = "itsdangerous==2.2.0"
"""A real package: this index lets one wait for it, and does not have it, so that the next index is asked."""
BROKEN_PACKAGE = "half-a-package==1.0"
_PAGE = b'<a href="/files/half_a_package-1.0-py3-none-any.whl">half_a_package-1.0-py3-none-any.whl</a>'


class Index:
    """Serves on a port of its own while the block runs."""

    def __init__(self, holds):
        index = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                index.answer(self)

            def log_message(self, *_):
                pass

        self._holds = holds
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self.url = f"http://127.0.0.1:{self._server.server_port}/simple"

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def answer(self, request):
        if "half" in request.path and request.path.startswith("/simple"):
            self._send(request, 200, _PAGE, len(_PAGE))
        elif "half" in request.path:
            self._send(request, 200, b"PK" + bytes(5000), 1_000_000)
        else:
            self._hold()
            self._send(request, 404, b"", 0)

    def _hold(self):
        place = self._holds / "environment"
        if place.exists():
            (self._holds / "environment.reached").touch()
            while place.exists():
                time.sleep(0.02)

    def _send(self, request, status, body, length):
        request.send_response(status)
        request.send_header("Content-Type", "text/html")
        request.send_header("Cache-Control", "no-store")
        request.send_header("Content-Length", str(length))
        request.end_headers()
        request.wfile.write(body)
        request.close_connection = True
