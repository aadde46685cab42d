"""A package index of our own on this machine: real wheels, made in place, served as PEP 503 says."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import io
import threading
import urllib.parse
import zipfile


def make_wheel(name, version, *, needs=(), tag="py3-none-any", licence="MIT", module="x = 1\n", library=""):
    """Return a wheel's file name and bytes."""
    plain = name.replace("-", "_")
    info = f"{plain}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}\nLicense-Expression: {licence}\n"
    metadata += "".join(f"Requires-Dist: {need}\n" for need in needs)
    files = {
        f"{plain}.py": module,
        f"{info}/METADATA": metadata,
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as wheel:
        for path, text in files.items():
            wheel.writestr(zipfile.ZipInfo(path), text)
    return f"{plain}-{version}-{tag}.whl", target.getvalue()


class Index:
    """Serves wheels while the block runs; what was asked for is in `asked`."""

    def __init__(self, wheels):
        self.files = dict(wheels)
        self.asked = []
        index = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                index.asked.append(self.path)
                index.answer(self)

            def do_HEAD(self):
                index.answer(self)

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self.host = f"127.0.0.1:{self._server.server_port}"
        self.url = f"http://{self.host}/simple"

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def answer(self, request):
        path = urllib.parse.unquote(request.path.rstrip("/"))
        if path.startswith("/files/"):
            self._send(request, self.files.get(path.removeprefix("/files/")), "application/octet-stream")
            return
        package = path.removeprefix("/simple/").replace("-", "_")
        links = [
            f'<a href="/files/{name}#sha256={hashlib.sha256(data).hexdigest()}">{name}</a>'
            for name, data in self.files.items()
            if name.startswith(f"{package}-")
        ]
        page = f"<!doctype html><html><body>{''.join(links)}</body></html>".encode()
        self._send(request, page if links else None, "text/html")

    def _send(self, request, data, kind):
        begin = 0
        asked = request.headers.get("Range")
        with contextlib.suppress(BrokenPipeError):
            if data is None:
                request.send_error(404)
                return
            end = len(data) - 1
            if asked:
                first, _, last = asked.removeprefix("bytes=").partition("-")
                begin, end = int(first), min(end, int(last or end))
                request.send_response(206)
                request.send_header("Content-Range", f"bytes {begin}-{end}/{len(data)}")
            else:
                request.send_response(200)
            request.send_header("Content-Type", kind)
            request.send_header("Cache-Control", "no-store")
            request.send_header("Accept-Ranges", "bytes")
            request.send_header("Content-Length", str(end + 1 - begin))
            request.end_headers()
            if request.command == "GET":
                request.wfile.write(data[begin : end + 1])
