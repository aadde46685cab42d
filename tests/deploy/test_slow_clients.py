"""Clients that send slowly, stop in the middle or read nothing: each has a thread to itself, for a while."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import threading
import time

import pytest

from tests.conftest import MINI_APP, REPOSITORY

THREADS = 4
HEAD = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"
BODY = b"POST /ocr HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n"


@pytest.fixture
def clients(machine):
    """Return a maker of connections that have sent something."""
    with contextlib.ExitStack() as stack:

        def make(sent, count=1, receive=None):
            made = []
            for _ in range(count):
                one = stack.enter_context(socket.socket())
                if receive:
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
                one.settimeout(60)
                one.connect(("127.0.0.1", machine.port))
                one.sendall(sent)
                made.append(one)
            return made

        yield make


def trickle(connection, seconds):
    """Send a byte a second."""

    def send():
        with contextlib.suppress(OSError):
            for _ in range(seconds):
                connection.sendall(b"x")
                time.sleep(1)

    threading.Thread(target=send, daemon=True).start()


@pytest.mark.slow
@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(HEAD, id="head"),
        pytest.param(HEAD + b"X-Long: ", id="trickled-head"),
        pytest.param(BODY, id="body"),
        pytest.param(BODY + b"x" * 20_000, id="some-body"),
    ],
)
def test_senders_that_stop_give_their_threads_back(machine, clients, sent):
    machine.deploy(machine.bundle(app_options={"threads": THREADS}), "--port", machine.port)
    slow = clients(sent, THREADS)
    if sent.endswith(b"Long: "):
        for one in slow:
            trickle(one, 60)
    time.sleep(0.5)
    with pytest.raises(TimeoutError):
        machine.get(timeout=2)
    began = time.monotonic()
    assert machine.get(timeout=30)["status"] == "ok"
    assert time.monotonic() - began < 20
    assert machine.run("status", "--json").json["deployments"][0]["state"] == "running"


def test_a_slow_sender_is_told_why_and_others_are_served(machine, clients):
    source = machine.folder / "source"
    shutil.copytree(REPOSITORY / "bundles" / "tesseract", source)
    descriptor = json.loads((source / "descriptor.json").read_text())
    descriptor["app"]["limits"] = {"queue": 3}
    (source / "descriptor.json").write_text(json.dumps(descriptor))
    machine.run("build", source, "-o", machine.folder)
    machine.deploy(machine.folder / "tesseract-1.0.0.zip", "--port", machine.port)
    head = b"POST /ocr HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: 1000000\r\n\r\n"
    slow = clients(head + b"x" * 1000, 3)
    for one in slow:
        trickle(one, 60)
    refused = clients(head)[0]
    assert b" 429 " in refused.recv(4096).partition(b"\r\n")[0], "all places are taken"
    assert machine.get()["status"] == "ok"
    for one in slow:
        answer = one.recv(4096)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"came too slowly" in answer + one.recv(4096)


@pytest.mark.slow
def test_a_sender_who_is_slow_but_goes_on_is_served(machine, clients):
    machine.deploy(machine.bundle(app_options={"threads": THREADS}), "--port", machine.port)
    parts = [b"head\r\n\r\n", *[b"x" * 20_000] * 15, b"\r\n--"]
    one = clients(b"POST /ocr HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % sum(map(len, parts)))[0]
    for part in parts:
        one.sendall(part)
        time.sleep(1)
    assert one.recv(4096).startswith(b"HTTP/1.1 200 ")


@pytest.mark.slow
def test_who_reads_nothing_of_an_answer_gives_the_thread_back(machine, clients):
    app = (
        MINI_APP
        + """

small = app


def app(environ, start_response):
    if environ["PATH_INFO"] != "/big":
        return small(environ, start_response)
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "50000000")])
    return [bytes(50_000_000)]
"""
    )
    machine.deploy(machine.bundle(app=app, app_options={"threads": THREADS}), "--port", machine.port)
    clients(b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n", THREADS, receive=4096)
    time.sleep(1)
    with pytest.raises(TimeoutError):
        machine.get(timeout=2)
    assert machine.get(timeout=60)["status"] == "ok"
