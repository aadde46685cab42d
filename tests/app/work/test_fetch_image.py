"""Images from addresses: only from where they may come, and never from inside the network."""

from __future__ import annotations

import http.server
import ipaddress
import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest

from ocrpack.app import create_app
from ocrpack.app.core.problem import Problem
from ocrpack.app.work.fetch_image import Fetcher, is_public
from tests.app.drawings import drawing, encoded
from tests.app.web.test_server import FakeEngine, assert_problem
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

IMAGE = encoded(drawing())
MIB = 1 << 20


class Site(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path.startswith("/to/"):
            self.send_response(302)
            self.send_header("Location", path.removeprefix("/to/"))
            self.end_headers()
        elif path == "/loop":
            self.send_response(302)
            self.send_header("Location", "/loop")
            self.end_headers()
        elif path == "/pictures/large":
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"x" * (2 * MIB))
        elif path == "/pictures/a.png":
            self.send_response(200)
            self.end_headers()
            self.wfile.write(IMAGE)
        else:
            self.send_error(404)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def anywhere(_: Any) -> bool:
    return True


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0", "100.64.0.1", "224.0.0.1",
        "255.255.255.255", "192.0.2.1", "::", "::1", "fe80::1", "fc00::1", "ff02::1", "::ffff:127.0.0.1",
        "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "2001:db8::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    ],
)  # fmt: skip
def test_addresses_inside_are_not_public(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:4700::1111", "::ffff:93.184.216.34", "64:ff9b::5db8:d822"])
def test_addresses_outside_are(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


def test_what_is_allowed_is_fetched(site: str) -> None:
    fetch = Fetcher([f"{site}/pictures/"], MIB, anywhere)
    assert fetch(f"{site}/pictures/a.png").content() == IMAGE
    assert fetch(f"{site}/pictures/a.png?size=1").content() == IMAGE


def refused(fetch: Fetcher, address: str) -> str:
    with pytest.raises(Problem) as caught:
        fetch(address)
    assert caught.value.status in (413, 422)
    return caught.value.kind


def test_everything_else_is_refused(site: str) -> None:
    fetch = Fetcher([f"{site}/pictures/"], MIB, anywhere)
    host = site.removeprefix("http://")
    for address in (
        f"{site}/other/a.png", f"{site}/pictures/../other/a.png", f"{site}/pictures/%2e%2e/other",
        f"{site}.evil.example/",
        f"http://{host.replace('127.0.0.1', 'localhost')}/pictures/a.png", f"http://user@{host}/pictures/a.png",
        f"https://{host}/pictures/a.png", "ftp://127.0.0.1/pictures/a.png", "file:///etc/passwd", "//x", "", "http://[",
        "http://127.0.0.1:99999/", f"http://{host}@evil.example/pictures/",
    ):  # fmt: skip
        assert refused(fetch, address) == "address-refused", address


def test_redirects_are_held_to_the_same(site: str) -> None:
    fetch = Fetcher([f"{site}/to/", f"{site}/loop", f"{site}/pictures/"], MIB, anywhere)
    assert fetch(f"{site}/to//pictures/a.png").content() == IMAGE
    assert refused(fetch, f"{site}/to/http://169.254.169.254/latest") == "address-refused"
    assert refused(fetch, f"{site}/loop") == "address-unreachable"


def test_size_and_absence_are_told(site: str) -> None:
    fetch = Fetcher([f"{site}/"], MIB, anywhere)
    assert refused(fetch, f"{site}/pictures/large") == "too-large"
    assert refused(fetch, f"{site}/none") == "address-unreachable"
    port = free_port()
    assert refused(Fetcher([f"http://127.0.0.1:{port}"], MIB, anywhere), f"http://127.0.0.1:{port}/") == (
        "address-unreachable"
    )


def test_a_host_that_means_this_machine_is_never_asked(site: str) -> None:
    port = site.rpartition(":")[2]
    for host in ("127.0.0.1", "localhost", "[::1]", "2130706433", "0x7f000001", "127.1"):
        fetch = Fetcher([f"http://{host}:{port}/"], MIB)
        assert refused(fetch, f"http://{host}:{port}/pictures/a.png").startswith("address-")


def test_a_name_that_changes_its_meaning_changes_nothing(site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """DNS rebinding: public when it is checked, private when it is connected to."""
    port = int(site.rpartition(":")[2])
    answers = iter(["93.184.216.34", "127.0.0.1"])
    asked: list[Any] = []

    def resolve(host: str, port: int, **_: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers), port))]

    def connect(self: socket.socket, place: Any) -> None:
        asked.append(place)
        raise OSError("not in a test")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(socket.socket, "connect", connect)
    assert (
        refused(Fetcher([f"http://name.example:{port}/"], MIB), f"http://name.example:{port}/") == "address-unreachable"
    )
    assert asked == [("93.184.216.34", port)]


def test_a_host_with_one_address_inside_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    places = [("93.184.216.34", 443), ("10.0.0.1", 443)]
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda *_, **__: [(socket.AF_INET, socket.SOCK_STREAM, 6, "", place) for place in places]
    )
    assert refused(Fetcher(["*"], MIB), "https://name.example/a.png") == "address-refused"


def test_the_app_fetches_nothing_unless_it_is_declared(make_bundle: Callable[..., Path], site: str) -> None:
    shut = create_app(make_bundle(), FakeEngine()).test_client()
    assert_problem(shut.post("/ocr", json={"image_url": f"{site}/pictures/a.png"}), 422, "fetches nothing")
    opened = create_app(make_bundle(image_urls=[site]), FakeEngine()).test_client()
    assert_problem(opened.post("/ocr", json={"image_url": f"{site}/pictures/a.png"}), 422, "public internet")
    assert_problem(opened.post("/ocr", json={"image_url": 5}), 400, "image_url")
