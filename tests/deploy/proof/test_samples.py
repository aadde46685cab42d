"""Requests to apps that answer slowly, oddly or not at all, over real sockets."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import contextmanager

import pytest

from ocrpack.deploy.proof.health import wait_until_ready
from ocrpack.deploy.proof.samples import Address, request, run_sample
from ocrpack.descriptor import Endpoint, parse
from ocrpack.errors import BootError
from tests.patience import PATIENCE, without_hanging

DESCRIPTOR = (
    b'{"schema_version": 1, "name": "x", "version": "1", "model": {"name": "m", "version": "1"},'
    b' "samples": [{"image": "a.png", "text": "HELLO", "max_cer": 0, "max_seconds": 1}]}'
)


@contextmanager
def server(answer):
    """Answer every connection with the chunks that `answer` yields."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(1 << 16)
                    try:
                        for chunk in answer():
                            connection.sendall(chunk)
                    except OSError:
                        pass

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield Address("127.0.0.1", listener.getsockname()[1])
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(PATIENCE)


def whole(body, kind="application/json", status="200 OK"):
    return f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def trickle():
    for byte in b"HTTP/1.1 200 OK\r\n" + b"X-Slow: 1\r\n" * 1000:
        time.sleep(0.05)
        yield bytes([byte])


def test_an_answer_that_trickles_is_cut_off():
    with server(trickle) as address, without_hanging(), pytest.raises(TimeoutError, match=r"within 0\.5 s"):
        request(address, "/", 0.5)


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (lambda: [whole(b'{"text": "HELLO"}')], ""),
        (lambda: [whole(b'{"extracted_text": " HELLO\\n"}')], ""),
        (lambda: [whole(b"HELLO", "text/plain; charset=utf-8")], ""),
        (lambda: [whole(b'{"text": "HELL0"}')], "character error rate 0.200, at most 0 is allowed"),
        (lambda: [whole(b'{"words": []}')], "answered JSON without `text`"),
        (lambda: [whole(b"[1, 2]")], "answered JSON without `text`"),
        (lambda: [whole(b"{" * 100_000)], "answered no JSON"),
        (lambda: [whole(b"<h1>oops</h1>", "text/html", "500 Internal Server Error")], "answered 500: <h1>oops</h1>"),
        (lambda: [b"SSH-2.0-OpenSSH\r\n"], "no answer"),
        (list, "no answer"),
    ],
)
def test_what_a_sample_makes_of_an_answer(tmp_path, answer, problem):
    (tmp_path / "a.png").write_bytes(b"not looked at here")
    descriptor = parse(DESCRIPTOR, "descriptor.json")
    with server(answer) as address:
        result = run_sample(address, descriptor, tmp_path, descriptor.samples[0])
    assert result.passed == (not problem)
    assert problem in result.problem


def test_an_answer_that_comes_before_the_body_is_read(tmp_path):
    (tmp_path / "a.png").write_bytes(bytes(3_000_000))
    descriptor = parse(DESCRIPTOR, "descriptor.json")
    with server(lambda: [whole(b"too large", "text/plain", "413 Content Too Large")]) as address:
        result = run_sample(address, descriptor, tmp_path, descriptor.samples[0])
    assert result.problem == "answered 413: too large"


@pytest.mark.parametrize(
    ("truth", "problem"),
    [("HELLO".encode("utf-8-sig"), ""), ("HELLÖ".encode("latin-1"), "the truth in a.txt is not UTF-8")],
)
def test_the_truth_is_read_as_validate_reads_it(tmp_path, truth, problem):
    (tmp_path / "a.png").write_bytes(b"")
    (tmp_path / "a.txt").write_bytes(truth)
    descriptor = parse(DESCRIPTOR.replace(b'"text": "HELLO"', b'"text_file": "a.txt"'), "descriptor.json")
    with server(lambda: [whole(b'{"text": "HELLO"}')]) as address:
        result = run_sample(address, descriptor, tmp_path, descriptor.samples[0])
    assert (result.passed, result.problem) == (not problem, problem)


@pytest.mark.parametrize(
    ("endpoints", "asked"),
    [
        (["/h health", "/r ready"], "/r"),
        (["/p page", "/h health"], "/h"),
        (["/p page"], "/"),
    ],
)
def test_what_is_asked_whether_the_app_is_ready(endpoints, asked):
    parsed = parse(DESCRIPTOR, "descriptor.json")
    made = tuple(Endpoint(path=path, purpose=purpose) for path, purpose in map(str.split, endpoints))
    descriptor = parsed.model_copy(update={"endpoints": made})
    with server(lambda: [whole(b"", status="503 Service Unavailable")]) as address:
        with pytest.raises(BootError, match=rf"last probe: {asked} answered 503") as caught:
            wait_until_ready(address, descriptor, lambda: None, 0.3)
        assert "`ocrpack logs x --instance`" in caught.value.remedy
        assert "app.boot_seconds" in caught.value.remedy
        with pytest.raises(BootError, match="ended with status 3") as caught:
            wait_until_ready(address, descriptor, lambda: 3, 5)
        assert "`ocrpack logs x --instance`" in caught.value.remedy
    with server(lambda: [whole(b"")]) as address:
        assert wait_until_ready(address, descriptor, lambda: None, 5) < 5


def test_a_right_text_that_comes_late_fails(tmp_path):
    def late():
        time.sleep(1.3)
        yield whole(b'{"text": "HELLO"}')

    (tmp_path / "a.png").write_bytes(b"")
    descriptor = parse(DESCRIPTOR, "descriptor.json")
    with server(late) as address:
        result = run_sample(address, descriptor, tmp_path, descriptor.samples[0])
    assert not result.passed
    assert "at most 1 s is allowed" in result.problem
    assert result.cer == 0
