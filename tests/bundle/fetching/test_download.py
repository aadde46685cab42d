"""Downloads that break off, lie about their size, or are something else."""

from __future__ import annotations

import hashlib
import os
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from ocrpack.bundle import FetchError, fetch
from ocrpack.bundle.fetching.download import _user_of, cache_folder

CONTENT = os.urandom(3_000_000)
SHA = hashlib.sha256(CONTENT).hexdigest()


class _Unsteady(BaseHTTPRequestHandler):
    """Sends a file and breaks off as often as it is told to."""

    def do_GET(self):
        server = self.server
        asked = self.headers.get("Range")
        server.asked.append(asked)
        begin = int(asked.removeprefix("bytes=").rstrip("-")) if asked and server.ranges else 0
        content = server.content[begin:]
        self.send_response(206 if asked and server.ranges else 200)
        self.send_header("Content-Type", server.kind)
        if server.length:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if server.breaks:
            server.breaks -= 1
            self.wfile.write(content[: server.piece])
            self.close_connection = True
        else:
            self.wfile.write(content)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    served = ThreadingHTTPServer(("127.0.0.1", 0), _Unsteady)
    served.content, served.asked, served.breaks, served.piece, served.ranges = CONTENT, [], 0, 1_000_000, True
    served.length = True
    served.kind, served.url = "application/octet-stream", f"http://127.0.0.1:{served.server_port}/m.bin"
    thread = threading.Thread(target=served.serve_forever, args=(0.05,))
    thread.start()
    yield served
    served.shutdown()
    thread.join()
    served.server_close()


def test_a_broken_download_goes_on_where_it_stopped(server):
    server.breaks = 2
    told = []
    assert fetch(server.url, SHA, len(CONTENT), told.append).read_bytes() == CONTENT
    assert server.asked[0] is None
    begins = [int(asked.removeprefix("bytes=").rstrip("-")) for asked in server.asked[1:]]
    assert begins == sorted(begins)
    assert begins[0] > 0
    assert sum(told) == len(CONTENT)


def test_the_next_call_goes_on_too(server):
    partial = cache_folder("files") / f"{SHA}.partial"
    partial.write_bytes(CONTENT[:2_000_000])
    assert fetch(server.url, SHA).read_bytes() == CONTENT
    assert server.asked[0] == "bytes=2000000-"
    assert not partial.exists()


def test_a_server_without_ranges_begins_again(server):
    server.breaks, server.ranges = 1, False
    assert fetch(server.url, SHA).read_bytes() == CONTENT


def test_a_server_that_never_sends_more_is_given_up(server):
    server.breaks, server.piece = 1000, 0
    with pytest.raises(FetchError, match="cannot fetch"):
        fetch(server.url, SHA)
    assert len(server.asked) < 10


def test_what_is_left_of_another_file_is_not_trusted(server):
    partial = cache_folder("files") / f"{SHA}.partial"
    partial.write_bytes(b"x" * 1000)
    with pytest.raises(FetchError, match="is another file"):
        fetch(server.url, SHA)
    assert fetch(server.url, SHA).read_bytes() == CONTENT, "the next call begins anew"


@pytest.mark.parametrize(
    ("change", "size", "kind", "words"),
    [
        ({"content": b"other" * 100}, None, "digest", "another file"),
        ({"content": CONTENT[:-1]}, len(CONTENT), "size", "another size"),
        ({"content": b"\n<!DOCTYPE html><h1>Not found</h1>", "kind": "text/html"}, None, "content", "HTML page"),
    ],
)
def test_what_is_something_else(server, change, size, kind, words):
    for name, value in change.items():
        setattr(server, name, value)
    with pytest.raises(FetchError, match=words) as caught:
        fetch(server.url, SHA, size)
    assert caught.value.kind == kind
    assert caught.value.expected
    assert caught.value.got
    assert caught.value.expected != caught.value.got


def test_a_file_is_fetched_once(server):
    assert fetch(server.url, SHA) == fetch(server.url, SHA)
    assert len(server.asked) == 1


def test_two_at_once_fetch_one_file(server):
    found = []
    threads = [threading.Thread(target=lambda: found.append(fetch(server.url, SHA))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    assert len(server.asked) == 1


def test_a_damaged_file_of_the_cache_is_fetched_again(server):
    fetch(server.url, SHA).write_bytes(b"bad")
    assert fetch(server.url, SHA).read_bytes() == CONTENT


def test_a_server_that_never_ends(server):
    server.length = False
    with pytest.raises(FetchError, match="another size") as caught:
        fetch(server.url, SHA, 1_000_000)
    assert caught.value.got == "more than 1000000 bytes"


@pytest.mark.parametrize(
    ("variables", "netrc", "url", "user"),
    [
        ({"UV_INDEX_URL": "https://a:b@idx.corp/simple"}, "", "https://idx.corp/files/x", "a:b"),
        ({"PIP_INDEX_URL": "https://a:b@idx.corp/simple"}, "", "http://idx.corp/files/x", None),
        ({"UV_INDEX": "corp=https://a:b@idx.corp/simple"}, "", "https://idx.corp:81/x", None),
        ({}, "machine idx.corp login a password b\n", "https://idx.corp/x", "a:b"),
        ({}, "machine idx.corp login a password b\n", "http://idx.corp/x", None),
        ({}, "default login a password b\n", "https://evil.example/x", None),
    ],
)
def test_who_gets_credentials(monkeypatch, tmp_path, variables, netrc, url, user):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".netrc").write_text(netrc)
    (tmp_path / ".netrc").chmod(0o600)
    for name in (
        "UV_DEFAULT_INDEX",
        "UV_INDEX_URL",
        "UV_INDEX",
        "UV_EXTRA_INDEX_URL",
        "PIP_INDEX_URL",
        "PIP_EXTRA_INDEX_URL",
    ):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert _user_of(urllib.parse.urlsplit(url)) == user
