"""Clients that send slowly, stop in the middle, read nothing or never close: a thread waits for each, for a while."""

from __future__ import annotations

import contextlib
import http.client
import json
import shutil
import socket
import ssl
import threading
import time

import pytest

from tests.conftest import MINI_APP, REPOSITORY
from tests.patience import PATIENCE

THREADS = 4
HEAD = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"
BODY = b"POST /ocr HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: 10000000\r\n\r\n"
BIG_APP = """

small = app


def app(environ, start_response):
    if environ["PATH_INFO"] != "/big":
        return small(environ, start_response)
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "50000000")])
    return [bytes(50_000_000)]
"""


@pytest.fixture
def clients(machine):
    """Return a maker of connections that have sent something."""
    with contextlib.ExitStack() as stack:

        def make(sent, count=1, receive=None, trusting=None):
            made = []
            for _ in range(count):
                one = stack.enter_context(socket.socket())
                if receive:
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
                one.settimeout(60)
                one.connect(("127.0.0.1", machine.port))
                if trusting:
                    one = stack.enter_context(trusting.wrap_socket(one, server_hostname="127.0.0.1"))
                one.sendall(sent)
                made.append(one)
            return made

        yield make


@pytest.fixture
def mini(machine):
    """Return a machine on which a small app with few threads runs."""
    machine.deploy(machine.bundle(app=MINI_APP + BIG_APP, app_options={"threads": THREADS}), "--port", machine.port)
    return machine


def trickle(connection, seconds):
    """Send a byte a second."""

    def send():
        with contextlib.suppress(OSError):
            for _ in range(seconds):
                connection.sendall(b"x")
                time.sleep(1)

    threading.Thread(target=send, daemon=True).start()


def assert_threads_come_back(machine, seconds):
    time.sleep(0.5)
    with pytest.raises(TimeoutError):
        machine.get(timeout=2)
    began = time.monotonic()
    assert machine.get()["status"] == "ok"
    assert time.monotonic() - began < seconds + 5
    assert machine.run("status", "--json").json["deployments"][0]["restarts"] == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sent", "seconds"),
    [
        pytest.param(HEAD, 12, id="head"),
        pytest.param(HEAD + b"X-Long: ", 12, id="trickled-head"),
        pytest.param(BODY, 22, id="body"),
        pytest.param(BODY + b"x" * 5_000_000, 22, id="much-of-a-body"),
    ],
)
def test_senders_that_stop_give_their_threads_back(mini, clients, sent, seconds):
    slow = clients(sent, THREADS)
    if sent.endswith(b"Long: "):
        for one in slow:
            trickle(one, 60)
    assert_threads_come_back(mini, seconds)


@pytest.mark.slow
def test_who_reads_nothing_of_an_answer_gives_the_thread_back(mini, clients):
    clients(b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n", THREADS, receive=4096)
    assert_threads_come_back(mini, 60)


@pytest.mark.slow
def test_what_comes_after_a_pause_is_neither_a_body_nor_another_request(mini, clients):
    (one,) = clients(BODY + b"\r\n\r\nabc")
    time.sleep(22)
    with contextlib.suppress(ConnectionError):
        one.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert one.recv(4096) == b""


@pytest.mark.slow
def test_a_sender_who_is_slow_but_goes_on_is_served(mini, clients):
    parts = [b"head\r\n\r\n", *[b"x" * 20_000] * 30, b"\r\n--"]
    (one,) = clients(b"POST /ocr HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % sum(map(len, parts)))
    for part in parts:
        one.sendall(part)
        time.sleep(1)
    assert one.recv(4096).startswith(b"HTTP/1.1 200 ")


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_slow_sender_is_told_why_and_others_are_served(machine, clients, certificate, scheme):
    source = machine.folder / "source"
    shutil.copytree(REPOSITORY / "bundles" / "tesseract", source)
    descriptor = json.loads((source / "descriptor.json").read_text())
    descriptor["app"]["limits"] = {"queue": 3}
    trusting = None
    if scheme == "https":
        descriptor["app"]["tls"] = {"certificate": str(certificate[0]), "key": str(certificate[1])}
        trusting = ssl.create_default_context(cafile=certificate[0])
    (source / "descriptor.json").write_text(json.dumps(descriptor))
    machine.run("build", source, "-o", machine.folder)
    machine.deploy(machine.folder / "tesseract-1.0.0.zip", "--port", machine.port)
    slow = clients(BODY.replace(b"/ocr", b"/ocr?output=text") + b"x" * 1000, 3, trusting=trusting)
    if not trusting:
        for one in slow:
            trickle(one, 60)
    (refused,) = clients(BODY, trusting=trusting)
    assert b" 429 " in refused.recv(4096).partition(b"\r\n")[0], "all places are taken"
    for one in slow:
        answer = http.client.HTTPResponse(one)
        answer.begin()
        assert (answer.status, answer.headers["Connection"]) == (408, "close")
        assert b"came too slowly" in answer.read()


def test_clients_that_never_close_stop_nobody(mini, clients):
    for one in clients(HEAD + b"Connection: close\r\n\r\n", THREADS - 1):
        assert one.recv(4096).startswith(b"HTTP/1.1 200 ")
    began = time.monotonic()
    assert mini.get()["status"] == "ok"
    assert time.monotonic() - began < 8


@pytest.mark.slow
def test_probes_of_a_tls_port_cost_no_connection_that_is_kept(machine, certificate):
    tls = {"certificate": str(certificate[0]), "key": str(certificate[1])}
    machine.deploy(machine.bundle(app_options={"tls": tls}), "--port", machine.port)
    trusting = ssl.create_default_context(cafile=certificate[0])

    def connection():
        return contextlib.closing(
            http.client.HTTPSConnection("127.0.0.1", machine.port, timeout=PATIENCE, context=trusting)
        )

    def ask(connection):
        connection.request("GET", "/healthz")
        answer = connection.getresponse()
        return json.loads(answer.read())["pid"], answer.headers["Connection"]

    with connection() as kept:
        old, _ = ask(kept)
        for _ in range(4):
            socket.create_connection(("127.0.0.1", machine.port)).close()
        restart = machine.start("restart", "mini")
        while restart.poll() is None:
            with connection() as fresh:
                if ask(fresh)[0] != old:
                    break
        time.sleep(1)
        assert ask(kept) == (old, "close")
    assert restart.wait(PATIENCE) == 0
