"""Requests to services that are busy, broken, gone, closed or elsewhere, over real sockets."""

from __future__ import annotations

import shutil
import ssl
import subprocess
import threading
import time

import pytest

from ocrpack.client import Address, Options
from ocrpack.client.connection import StoppedError, UnreadableError
from ocrpack.errors import BootError, PreflightError, UsageError
from tests.client.servers import Misbehaving, answer
from tests.patience import PATIENCE, without_hanging


def read(service, image, **options):
    return service.read(image, "text", Options(**options)).text


def first(count, misbehave):
    """React so to the first `count` requests, and answer the others."""

    def react(_, handler):
        if handler.number < count:
            misbehave(handler)
        else:
            handler.send(document=answer())

    return react


def busy(status):
    return lambda handler: handler.problem(status, "busy", "Too many requests", "Wait.")


def cut_short(handler):
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"text": "HEL')
    handler.hang_up()


@pytest.mark.parametrize(
    "misbehave",
    [busy(429), busy(502), busy(503), busy(504), lambda handler: handler.hang_up(), cut_short],
    ids=["429", "502", "503", "504", "hung up", "cut short"],
)
def test_what_passes_is_tried_again(connect, image, misbehave):
    waits = []
    with Misbehaving(first(3, misbehave)) as server:
        assert read(connect(server.url, on_wait=waits.append), image) == "HELLO"
    assert server.count("POST", "/ocr") == 4
    assert len(waits) == 3
    assert all("trying again" in text for text in waits)


def test_retry_after_is_waited_for(connect, image):
    def react(_, handler):
        if handler.number == 0:
            handler.problem(503, Retry_After="1")
        else:
            handler.send(document=answer())

    begin = time.monotonic()
    with Misbehaving(react) as server:
        assert read(connect(server.url), image) == "HELLO"
    assert time.monotonic() - begin >= 1


def test_an_impossible_wait_is_not_begun(connect, image):
    with (
        without_hanging(),
        Misbehaving(lambda _, handler: handler.problem(503, Retry_After="3600")) as server,
        pytest.raises(BootError, match="is not available: The image is broken"),
    ):
        read(connect(server.url), image)


@pytest.mark.parametrize("status", [400, 404, 413, 415, 422, 500])
def test_a_refusal_is_one_images_own_and_final(connect, image, status):
    with (
        Misbehaving(lambda _, handler: handler.problem(status)) as server,
        pytest.raises(UnreadableError) as caught,
    ):
        read(connect(server.url), image)
    assert caught.value.message == "The image is broken: It is."
    assert caught.value.code == "broken-image"
    assert len(server.asked) == 1


def test_refusals_without_problem_details(connect, image):
    with (
        Misbehaving(lambda _, handler: handler.send(404, kind="text/html", body=b"<h1>no</h1>")) as server,
        pytest.raises(UnreadableError, match="the service answered 404") as caught,
    ):
        read(connect(server.url), image)
    assert caught.value.code == "status-404"
    assert "address" in caught.value.remedy


@pytest.mark.parametrize("status", [401, 403])
def test_a_wrong_token_ends_it_and_is_not_told(connect, image, status):
    seen = []

    def react(_, handler):
        seen.append(handler.headers["Authorization"])
        handler.problem(status, "token", "No entry", "Bring a token.")

    with Misbehaving(react) as server, pytest.raises(UsageError) as caught:
        read(connect(server.url, token="s3cret"), image)
    assert seen == ["Bearer s3cret"]
    assert "--token-file" in caught.value.remedy
    assert "s3cret" not in repr(caught.value)
    assert "s3cret" not in repr(Address.of(server.url, token="s3cret"))


def test_a_redirect_is_told_and_not_followed(connect, image):
    def react(server, handler):
        handler.send(301, kind="text/plain", body=b"", Location=f"{server.url}/new/ocr")

    with Misbehaving(react) as server, pytest.raises(UsageError, match=r"sends its clients on to http://.*/new$"):
        read(connect(server.url), image)
    assert len(server.asked) == 1


def test_nobody_listens(connect, image):
    with Misbehaving(first(0, busy(503))) as server:
        url = server.url
    begin = time.monotonic()
    with pytest.raises(BootError, match="cannot be reached: ") as caught:
        read(connect(url, seconds=0.5), image)
    assert 0.3 < time.monotonic() - begin < PATIENCE
    assert "ocrpack status" in caught.value.remedy


def test_an_unknown_host_is_told_at_once(connect, image):
    with without_hanging(), pytest.raises(BootError, match="cannot be reached"):
        read(connect("http://no-such-host.invalid", seconds=600), image)


def test_a_service_that_comes_back_is_waited_for(connect, image):
    with Misbehaving(first(0, busy(503))) as server:
        address = server.server.server_address
    late = Misbehaving(first(0, busy(503)))
    late.server.server_close()

    def come():
        time.sleep(0.4)
        late.server = type(late.server)(address, late.server.RequestHandlerClass)
        late.thread = threading.Thread(target=late.server.serve_forever, args=(0.02,))
        late.thread.start()

    threading.Thread(target=come).start()
    assert read(connect(server.url), image) == "HELLO"
    late.__exit__()


def test_one_images_failure_is_not_the_services(connect, image):
    """Where others got through meanwhile, a 503 is about the image."""

    def react(_, handler):
        if b"poison" in handler.body:
            handler.problem(503, "crash", "Crashed", "Again.")
        else:
            handler.send(document=answer())

    with Misbehaving(react) as server:
        service = connect(server.url, seconds=1)
        stop = threading.Event()

        def others():
            while not stop.is_set():
                read(service, image)
                time.sleep(0.02)

        thread = threading.Thread(target=others)
        thread.start()
        with pytest.raises(UnreadableError, match="Crashed"):
            read(service, image, region="poison")
        stop.set()
        thread.join()


def test_a_hung_service_is_given_up(connect, image):
    over = threading.Event()
    with Misbehaving(lambda *_: over.wait(PATIENCE)) as server:
        with pytest.raises(UnreadableError, match=r"no answer within 0\.5 s"):
            read(connect(server.url, timeout=0.5), image)
        over.set()


def test_connections_are_kept(connect, image):
    with Misbehaving(first(0, busy(503))) as server:
        service = connect(server.url)
        for _ in range(5):
            read(service, image)
    assert (server.connections, len(server.asked)) == (1, 5)


def test_a_stop_ends_waiting_at_once(connect, image):
    with Misbehaving(lambda _, handler: handler.problem(503, Retry_After="600")) as server:
        service = connect(server.url, seconds=3600)
        threading.Timer(0.3, service.cancel, [1]).start()
        with without_hanging(), pytest.raises(StoppedError):
            read(service, image)


def test_this_machine_is_never_asked_through_a_proxy(connect, image, monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    with Misbehaving(first(0, busy(503))) as server:
        assert read(connect(server.url), image) == "HELLO"
        assert read(connect(server.url.replace("127.0.0.1", "localhost")), image) == "HELLO"


def test_others_are_asked_through_the_proxy(connect, image, monkeypatch):
    def react(_, handler):
        handler.send(document=answer(handler.path))

    with Misbehaving(react) as proxy:
        for name in ("HTTP_PROXY", "http_proxy"):
            monkeypatch.setenv(name, proxy.url)
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        assert read(connect("http://ocr.example.org/base/"), image) == "http://ocr.example.org/base/ocr"


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("localhost:8000", "http://localhost:8000"),
        (" http://h:1/ ", "http://h:1"),
        ("https://h/base/", "https://h/base"),
        ("[::1]:8000", "http://[::1]:8000"),
        ("http://bücher.example", "http://bücher.example"),
    ],
)
def test_addresses(given, meant):
    assert Address.of(given).url == meant


@pytest.mark.parametrize(
    "given",
    ["", "ftp://h", "http://", "http://h:x", "http://h:99999", "http://u:p@h", "http://h/?a", "http://h o", "//"],
)
def test_no_addresses(given):
    with pytest.raises(UsageError) as caught:
        Address.of(given)
    assert "http" in caught.value.remedy


def test_where_a_token_can_be_seen():
    assert Address.of("http://ocr.example.org").is_open
    for url in ("https://ocr.example.org", "http://127.0.0.1:1", "http://localhost", "http://[::1]:1"):
        assert not Address.of(url).is_open


@pytest.fixture
def certificate(tmp_path):
    if not shutil.which("openssl"):
        pytest.skip("no openssl on this machine")
    files = tmp_path / "key.pem", tmp_path / "cert.pem"
    options = "-x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost"
    command = ["openssl", "req", *options.split(), "-keyout", files[0], "-out", files[1]]
    subprocess.run(command, check=True, capture_output=True)
    return files


def test_certificates(connect, image, certificate, tmp_path):
    key, cert = certificate
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    secure = Misbehaving(first(0, busy(503)))
    secure.server.socket = context.wrap_socket(secure.server.socket, server_side=True)
    with secure as server:
        url = server.url.replace("http://127.0.0.1", "https://localhost")
        with pytest.raises(PreflightError, match=r"not trusted: self.signed") as caught:
            read(connect(url), image)
        assert "--ca-file" in caught.value.remedy
        assert read(connect(url, ca_file=cert), image) == "HELLO"
    with pytest.raises(UsageError, match="no certificates"):
        connect(url, ca_file=image.path)
    with pytest.raises(UsageError, match="cannot read"):
        connect(url, ca_file=tmp_path / "none")
