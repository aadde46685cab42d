"""The bundle as it is deployed: its own folder, the app's subset of the package, and a real server."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image, ImageChops, ImageStat

import ocrpack.app
from tests.app.drawings import PROJECT, TRUTH, drawing, encoded
from tests.patience import PATIENCE, eventually
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

GUNICORN = ["-m", "gunicorn", "app:app", "--worker-class", "gthread"]


def ask(
    at: int, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
) -> tuple[int, dict[str, str], dict[str, Any]]:
    connection = http.client.HTTPConnection("127.0.0.1", at, timeout=PATIENCE)
    try:
        connection.request(method, path, body, headers or {}, encode_chunked=not isinstance(body, bytes | None))
        answer = connection.getresponse()
        return answer.status, dict(answer.headers), json.loads(answer.read())
    finally:
        connection.close()


def ocr(at: int, image: bytes) -> tuple[int, dict[str, str], dict[str, Any]]:
    return ask(at, "POST", "/ocr", image, {"Content-Type": "image/png"})


@contextmanager
def running(folder: Path, at: int, *arguments: str, **environment: str) -> Iterator[Path]:
    """Run Python in an unpacked bundle that holds what `build` packs, until the block ends; yields its log."""
    package = Path(ocrpack.app.__file__).parent
    shutil.copytree(package, folder / "ocrpack" / "app", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(package.parent / "__init__.py", folder / "ocrpack")
    log = folder / "log"
    with log.open("wb") as sink:
        process = subprocess.Popen(
            [sys.executable, *arguments], cwd=folder, stdout=sink, stderr=sink, env=os.environ | environment
        )
    try:

        def ready() -> bool:
            assert process.poll() is None, log.read_text(encoding="utf-8")
            try:
                return ask(at, "GET", "/readyz")[0] == 200
            except OSError:
                return False

        eventually(ready)
        yield log
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def crowded() -> bytes:
    """Return an image that takes about a second."""
    page = Image.new("L", (1600, 1100), 255)
    for y in range(0, 1100, 100):
        for x in range(0, 1600, 780):
            page.paste(drawing(), (x, y))
    return encoded(page)


@pytest.fixture(scope="module")
def server(make_bundle: Callable[..., Path]) -> Iterator[int]:
    at = free_port()
    folder = make_bundle(threads=4)
    with running(folder, at, *GUNICORN, "--bind", f"127.0.0.1:{at}", "--threads", "4"):
        yield at


def test_python_app_py_serves_the_page_and_prints_its_address(make_bundle: Callable[..., Path]) -> None:
    at = free_port()
    with running(make_bundle(), at, "app.py", HOST="127.0.0.1", PORT=str(at)) as log:
        assert ocr(at, encoded(drawing()))[2]["text"] == TRUTH
        written = log.read_text(encoding="utf-8")
    assert f"tesseract 1.0.0 is at http://127.0.0.1:{at}/" in written
    assert "status=200 pages=1" in written
    assert TRUTH not in written


def test_a_port_that_is_none_is_named(make_bundle: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "http")
    with pytest.raises(SystemExit, match="PORT is 'http'"):
        ocrpack.app.serve(ocrpack.app.create_app(make_bundle()))


def test_the_busy_still_get_their_answer(server: int) -> None:
    slow, large = crowded(), encoded(drawing()).ljust(20 * 2**20, b"\0")
    with ThreadPoolExecutor(8) as pool:
        occupying = [pool.submit(ocr, server, slow) for _ in range(4)]
        time.sleep(0.1)
        statuses = {ocr(server, large)[0] for _ in range(3)}
        for occupied in occupying:
            occupied.result()
    assert statuses <= {200, 429}


def test_health_answers_at_once_under_load(server: int) -> None:
    image, done = crowded(), threading.Event()
    slowest = 0.0

    def watch() -> None:
        nonlocal slowest
        while not done.is_set():
            began = time.monotonic()
            assert ask(server, "GET", "/healthz")[0] == 200
            slowest = max(slowest, time.monotonic() - began)
            time.sleep(0.02)

    begin = time.monotonic()
    with ThreadPoolExecutor(13) as pool:
        watcher = pool.submit(watch)
        answers = list(pool.map(lambda _: ocr(server, image), range(12)))
        done.set()
        watcher.result()
    statuses = [status for status, _, _ in answers]
    assert set(statuses) == {200, 429}
    assert 2 <= statuses.count(200) < 12
    assert all(int(headers["Retry-After"]) >= 1 for status, headers, _ in answers if status == 429)
    whole = time.monotonic() - begin
    assert slowest < max(2, whole / 4), f"/healthz took {slowest:.2f} s of {whole:.2f} s"


def test_concurrent_answers_equal_serial_ones(server: int) -> None:
    texts = [f"Message number {number}" for number in range(8)]

    def until_read(text: str) -> str:
        while True:
            status, _, answer = ocr(server, encoded(drawing(text=text)))
            if status != 429:
                return str(answer["text"])
            time.sleep(0.05)

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(until_read, texts)) == texts


def test_a_body_over_the_limit_is_refused(server: int) -> None:
    assert ocr(server, encoded(drawing()).ljust(50 * 2**20, b"\0"))[0] == 200
    assert ocr(server, b"\0" * (50 * 2**20 + 1))[0] == 413


def test_a_body_of_unknown_length_is_read_and_limited(server: int) -> None:
    def parts(data: bytes) -> Iterator[bytes]:
        for start in range(0, len(data), 2**16):
            yield data[start : start + 2**16]

    def chunked(data: bytes) -> tuple[int, dict[str, str], dict[str, Any]]:
        kind = {"Content-Type": "image/png", "Transfer-Encoding": "chunked"}
        return ask(server, "POST", "/ocr", parts(data), kind)

    assert chunked(encoded(drawing()))[2]["text"] == TRUTH
    assert chunked(b"\0" * (51 * 2**20))[0] == 413


def test_samples_are_drawn_the_same_again(tmp_path: Path) -> None:
    if not Path("/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf").is_file():
        pytest.skip("no DejaVu fonts")
    subprocess.run([sys.executable, PROJECT / "tools" / "draw_samples.py", tmp_path], check=True, capture_output=True)
    for kept in (PROJECT / "bundles").glob("*/samples/*"):
        drawn = tmp_path / kept.relative_to(PROJECT / "bundles")
        if kept.suffix == ".txt":
            assert drawn.read_bytes() == kept.read_bytes()
        else:
            with Image.open(drawn) as ours, Image.open(kept) as theirs:
                assert ours.size == theirs.size
                # Versions of FreeType and of the encoders differ by a shade.
                difference = ImageChops.difference(ours, theirs).convert("L")
                assert ImageStat.Stat(difference).mean[0] < 1
