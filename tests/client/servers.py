"""Services to read through: the real app on a port, and one that misbehaves in every way that a test asks for."""

from __future__ import annotations

import contextlib
import http.server
import json
import threading

import pytest

from ocrpack.app import create_app
from tests.conftest import REPOSITORY
from tests.serving import served, unpacked

SAMPLES = REPOSITORY / "bundles" / "tesseract" / "samples"


@contextlib.contextmanager
def real_app(folder):
    """Serve the default bundle with real Tesseract, and yield its address."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OCRPACK_DATA", str(folder.with_name("jobs")))
        app = create_app(unpacked(folder))
    with served(app) as address:
        yield address


def answer(text="HELLO", **more):
    """Return what a service answers to an image."""
    words = [{"text": text, "bbox": [10, 10, 60, 30], "polygon": None, "confidence": 0.9}]
    lines = [{"text": text, "bbox": [10, 10, 60, 30], "polygon": None, "confidence": 0.9, "words": words}]
    page = {"index": 0, "page_number": 1, "width": 80, "height": 40, "text": text, "lines": lines}
    return {"id": "x", "model": {"name": "m", "version": "1"}, "engine": "fake", "text": text, "pages": [page], **more}


class Misbehaving:
    """A real HTTP server that does with each request what `react(self, handler)` says; `asked` is what came in."""

    def __init__(self, react):
        self.asked, self.connections = [], 0
        self.guard = threading.Lock()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def setup(self):
                super().setup()
                with outer.guard:
                    outer.connections += 1

            def react(self):
                self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                with outer.guard:
                    self.number = len(outer.asked)
                    outer.asked.append((self.command, self.path))
                react(outer, self)

            do_GET = do_POST = do_DELETE = react  # noqa: N815

            def send(self, status=200, document=None, kind="application/json", body=None, **headers):
                data = json.dumps(document).encode() if body is None else body
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name.replace("_", "-"), value)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def problem(self, status, kind="broken-image", title="The image is broken", detail="It is.", **headers):
                document = {"type": f"urn:ocrpack:problem:{kind}", "title": title, "status": status, "detail": detail}
                self.send(status, document, "application/problem+json", **headers)

            def hang_up(self):
                self.close_connection = True
                self.connection.close()

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            def handle_error(self, *_):
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def count(self, method, path):
        with self.guard:
            return self.asked.count((method, path))
