"""Messages between the web process and the engine processes."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from http import HTTPStatus
from typing import TYPE_CHECKING

import pytest

from ocrpack.app import create_app
from ocrpack.app.core import fastjson
from ocrpack.app.core.problem import Problem
from ocrpack.app.engine_pool import frames, messages
from tests.app.drawings import PROJECT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

FACTS = messages.Facts(engine="stand-in", backend="none", engine_version="1.0", threads=None)
PAGE = {"width": 9, "height": 9, "text": "a", "lines": [{"text": "a", "polygon": [[0, 0], [9, 0]], "confidence": None}]}
MESSAGES = (
    messages.ReadPage(
        page=None, pages="1-3,5", region=[0, 0, 9, 9], languages=["eng"], preprocess="auto", picture=True, seconds=60
    ),
    messages.PreviewPage(page=2, side=100, seconds=0.5),
    messages.PageRead(numbers=[1], decode=0.1, ocr=0.2, warnings=["w"], page=PAGE, image=b"jpeg", grown_mb=1.5),
    messages.PagePreviewed(jpeg=b"jpeg"),
    messages.Fault(grown_mb=2.0),
    messages.Fork(),
    messages.Kill(pid=7),
    messages.Ready(facts=FACTS),
    messages.Failed(reason="no weights"),
    messages.Forked(pid=7),
    messages.Ended(pid=7, status=-9),
)


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Return the two ends of a connection."""
    one, other = socket.socketpair()
    with one, other:
        yield one, other


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
@pytest.mark.parametrize("by", ["orjson", "json"])
def test_messages_come_as_they_were_sent(
    ends: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch, message: messages.Message, by: str
) -> None:
    if by == "json":
        monkeypatch.setattr(fastjson, "orjson", None)
    messages.send(ends[0], message)
    assert messages.receive(ends[1]) == (message, None)


def test_a_problem_comes_as_it_was_sent(ends: tuple[socket.socket, socket.socket]) -> None:
    problem = Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "kind", "Title", "Detail.", retry_after=3, page=2)
    messages.send(ends[0], messages.Refused(problem=problem))
    found, _ = messages.receive(ends[1])
    assert isinstance(found, messages.Refused)
    assert found.problem.as_dict() == problem.as_dict()


def test_an_open_file_comes_along(ends: tuple[socket.socket, socket.socket]) -> None:
    with tempfile.TemporaryFile() as file:
        file.write(b"content")
        file.flush()
        messages.send(ends[0], messages.Fork(), descriptor=file.fileno())
    _, descriptor = messages.receive(ends[1])
    assert descriptor is not None
    try:
        assert os.pread(descriptor, 100, 0) == b"content"
    finally:
        os.close(descriptor)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (b'{"ready": {"engine": "tesseract"}}', "ready"),
        (b'["Ready", {"protocol": 2, "other": true}]', "its protocol is 2, and 1 is needed"),
        (b'["Ready", {"facts": {}}]', "its protocol is None"),
        (b'["Reload", {}]', "Reload"),
        (b'["Kill", {}]', "Kill"),
        (b'["Kill", {"pid": 1, "signal": 9}]', "signal"),
        (b"[]", "said"),
        (b"\xff", "said"),
    ],
)
def test_what_another_protocol_says_is_named(
    ends: tuple[socket.socket, socket.socket], text: bytes, named: str
) -> None:
    frames.send(ends[0], frames.Frame(text))
    with pytest.raises(messages.ProtocolError, match=named):
        messages.receive(ends[1])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="without fork there are no engine processes")
def test_a_template_of_another_version_ends_the_start(
    make_bundle: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_bundle()
    package = folder / "ocrpack"
    shutil.copytree(PROJECT / "ocrpack" / "app", package / "app", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(PROJECT / "ocrpack" / "__init__.py", package)
    spoken = package / "app" / "engine_pool" / "messages.py"
    text = spoken.read_text("utf-8")
    assert text.count("PROTOCOL = 1\n") == 1
    spoken.write_text(text.replace("PROTOCOL = 1\n", "PROTOCOL = 2\n"), "utf-8")
    monkeypatch.chdir(folder)  # where `python -m` looks first
    with pytest.raises(RuntimeError, match=r"its protocol is 2, and 1 is needed.*start it again"):
        create_app(folder)
