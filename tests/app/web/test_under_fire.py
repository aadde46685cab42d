"""The served app while hostile and damaged files come in: they are told off, and everybody else is read as always."""

from __future__ import annotations

import http.client
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from tests.app.drawings import TRUTH, drawing, encoded
from tests.app.images.test_hostile_files import _images, _pdfs, _tiffs
from tests.app.mutations import mutated
from tests.app.web.test_serving import GUNICORN, ask, ocr, running
from tests.patience import PATIENCE
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

SEED, ROUNDS = 20261121, 4000


@pytest.fixture(scope="module")
def server(make_bundle: Callable[..., Path]) -> Iterator[int]:
    at = free_port()
    folder = make_bundle(limits={"page_seconds": 20, "memory_mb": 2048})
    with running(folder, at, *GUNICORN, "--bind", f"127.0.0.1:{at}", "--threads", "40"):
        yield at


def send(at: int, data: bytes) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", at, timeout=120)
    try:
        connection.request("POST", "/ocr", data, {"Content-Type": "application/octet-stream"})
        answer = connection.getresponse()
        answer.read()
        return answer.status
    finally:
        connection.close()


def figures(at: int) -> dict[str, float]:
    connection = http.client.HTTPConnection("127.0.0.1", at, timeout=PATIENCE)
    connection.request("GET", "/metrics")
    lines = connection.getresponse().read().decode().splitlines()
    connection.close()
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if not line.startswith("#")}


def under_fire(at: int, files: Iterable[bytes]) -> list[int]:
    """Send the files with four clients while two others are read; return the statuses of the files."""
    over = threading.Event()
    good = encoded(drawing())

    def reader() -> list[tuple[int, str]]:
        answers = []
        while not over.is_set():
            status, _, answer = ocr(at, good)
            answers.append((status, answer.get("text", "")))
        return answers

    with ThreadPoolExecutor(6) as pool:
        readers = [pool.submit(reader) for _ in range(2)]
        try:
            statuses = list(pool.map(lambda data: send(at, data), files))
        finally:
            over.set()
        answers = [answer for future in readers for answer in future.result()]
    assert len(answers) > 10
    assert set(answers) == {(200, TRUTH)}
    ended = {name: value for name, value in figures(at).items() if name.startswith("ocr_engine_ended_total")}
    assert len(ended) == 4
    assert not sum(ended.values()), f"engine processes were lost: {ended}"
    return statuses


@pytest.mark.slow
def test_damaged_files_harm_nobody(server: int) -> None:
    dice = random.Random(SEED)
    originals = [*_images().values(), *_tiffs().values(), *_pdfs().values()]
    statuses = under_fire(server, [mutated(originals[index % len(originals)], dice) for index in range(ROUNDS)])
    assert {status for status in statuses if status != 200} <= {413, 415, 422, 400}
    assert statuses.count(200) < ROUNDS * 0.9


def test_hostile_files_harm_nobody(server: int, shared_data: Path) -> None:
    files = sorted((shared_data / "hostile-images").iterdir())
    statuses = under_fire(server, [file.read_bytes() for file in files] * 3)
    wrong = {file.name: status for file, status in zip(files * 3, statuses, strict=True) if not 400 <= status < 500}
    # What Pillow can still read of these is a picture, and is answered as one.
    assert set(wrong.values()) <= {200}
    assert len(statuses) - len(wrong) > len(statuses) * 0.8, wrong


def test_a_bomb_is_told_from_its_header_with_the_limit(server: int) -> None:
    bomb = encoded(Image.new("1", (20_000, 20_000)), "PNG")
    status, _, problem = ocr(server, bomb)
    assert (status, problem["status"]) == (413, 413)
    assert "100 megapixels" in problem["detail"]
    assert ask(server, "GET", "/healthz")[0] == 200
