"""Engine processes: whatever a page does to one costs that page alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from PIL import Image

from ocrpack.app import create_app
from tests.app import misbehaving as kind
from tests.app.drawings import drawing, encoded
from tests.patience import PATIENCE, eventually, without_hanging

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask.testing import FlaskClient
    from werkzeug.test import TestResponse

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="without fork the engine lives in the web process")


@pytest.fixture
def served(
    make_bundle: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., FlaskClient]:
    """Return a maker of apps around the misbehaving engine, which is found by its entry point."""
    about = tmp_path / "misbehaving-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: misbehaving\nVersion: 1\n")
    (about / "entry_points.txt").write_text("[ocrpack.engines]\nmisbehaving = tests.app.misbehaving:load\n")
    monkeypatch.syspath_prepend(str(tmp_path))

    def make(**app: Any) -> FlaskClient:
        return create_app(make_bundle(**{"engine": "misbehaving", "workers": 2} | app)).test_client()

    return make


def read(client: FlaskClient, width: int, height: int = 40) -> TestResponse:
    return client.post("/ocr", data=encoded(Image.new("L", (width, height))), content_type="image/png")


def pid_of(answer: TestResponse) -> int:
    return int(answer.json["text"].split()[0])


def kill(pid: int) -> None:
    """Kill a process, and come back when it is dead; its parent may not have asked for its end yet."""
    process = psutil.Process(pid)
    process.kill()

    def dead() -> bool:
        try:
            return process.status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:  # its parent asked for its end between two looks
            return True

    eventually(dead)


def engines(client: FlaskClient) -> list[int]:
    lines = client.get("/metrics").text.splitlines()
    return [int(line.partition('pid="')[2].partition('"')[0]) for line in lines if 'process="engine"' in line]


def ended(client: FlaskClient, cause: str) -> float:
    lines = client.get("/metrics").text.splitlines()
    return next(
        float(line.split()[-1]) for line in lines if line.startswith(f'ocr_engine_ended_total{{cause="{cause}"')
    )


def out_of_processes(*_: Any, **__: Any) -> None:
    raise OSError("no more processes")


def test_a_crash_is_one_answer_with_a_request_id_and_hurts_nobody_else(served: Callable[..., FlaskClient]) -> None:
    client = served()
    with ThreadPoolExecutor(9) as pool:
        others = [pool.submit(read, client, kind.SLOW, height) for height in range(20, 27)]
        crashed = [pool.submit(read, client, kind.SEGFAULT) for _ in range(2)]
    for answer in (future.result() for future in crashed):
        assert answer.status_code == 500
        assert answer.json["type"] == "urn:ocrpack:problem:engine-ended"
        assert answer.json["instance"] == f"urn:ocrpack:request:{answer.headers['X-Request-Id']}"
    assert [int(future.result().json["text"].split()[1]) for future in others] == list(range(20, 27))
    assert ended(client, "died") == 2
    assert read(client, kind.FINE).status_code == 200


def test_a_page_that_hangs_is_ended_when_its_time_is_up(served: Callable[..., FlaskClient]) -> None:
    client = served(limits={"page_seconds": 0.5})
    with without_hanging():
        answer = read(client, kind.HANG)
    assert (answer.status_code, answer.json["type"]) == (422, "urn:ocrpack:problem:slow-image")
    assert read(client, kind.FINE).status_code == 200
    assert ended(client, "time") == 1


def test_memory_is_refused_beyond_the_limit_and_given_back(served: Callable[..., FlaskClient]) -> None:
    client = served(workers=1, limits={"memory_mb": 1024})
    first = pid_of(read(client, kind.FINE))
    assert read(client, kind.GREEDY).status_code == 500
    assert pid_of(read(client, kind.FINE)) == first, "running out of memory ends no process"
    assert pid_of(read(client, kind.LEAKS)) == first
    assert pid_of(read(client, kind.FINE)) != first, "a process that has grown is replaced"


def test_faults_and_noise_of_an_engine_stay_with_it(
    served: Callable[..., FlaskClient], capfd: pytest.CaptureFixture[str]
) -> None:
    client = served(workers=1)
    assert read(client, kind.REFUSES).status_code == 422
    broken = read(client, kind.BREAKS)
    assert broken.status_code == 500
    assert "secret" not in broken.text
    assert read(client, kind.NOISY).status_code == 200
    assert "ZeroDivisionError" in capfd.readouterr().err


def test_a_process_that_was_killed_while_idle_is_nobodys_problem(served: Callable[..., FlaskClient]) -> None:
    client = served()
    read(client, kind.FINE)
    for pid in engines(client):
        kill(pid)
    assert [read(client, kind.FINE).status_code for _ in range(4)] == [200] * 4


def test_the_template_is_started_again(served: Callable[..., FlaskClient]) -> None:
    client = served()
    template = psutil.Process(pid_of(read(client, kind.FINE))).ppid()
    readers = psutil.Process(template).children()
    kill(template)
    psutil.wait_procs(readers, timeout=PATIENCE)  # they end with it; a page that one of them had would fail
    assert [read(client, kind.FINE).status_code for _ in range(4)] == [200] * 4
    assert psutil.Process(pid_of(read(client, kind.FINE))).ppid() != template


def test_processes_are_replaced_after_so_many_pages(served: Callable[..., FlaskClient]) -> None:
    client = served(workers=1, max_requests=3)
    pids = [pid_of(read(client, kind.FINE)) for _ in range(7)]
    assert [pids.count(pid) for pid in dict.fromkeys(pids)] == [3, 3, 1]


def test_without_an_engine_it_is_not_ready(served: Callable[..., FlaskClient], monkeypatch: pytest.MonkeyPatch) -> None:
    client = served(workers=1)
    assert client.get("/readyz").json["status"] == "ready"
    assert read(client, kind.FINE).status_code == 200
    with ThreadPoolExecutor(1) as pool:
        with monkeypatch.context() as patch:
            patch.setattr("ocrpack.app.engine_pool.pool._FRESH_S", 0)
            patch.setattr("ocrpack.app.engine_pool.processes.subprocess.Popen", out_of_processes)
            reader = psutil.Process(engines(client)[0])
            os.kill(reader.ppid(), signal.SIGKILL)
            psutil.wait_procs([reader], timeout=PATIENCE)
            waiting = pool.submit(read, client, kind.FINE)
            eventually(lambda: client.get("/readyz").status_code == 503)
            assert client.get("/readyz").json["status"] == "broken"
            assert client.get("/healthz").status_code == 200
        assert waiting.result().status_code == 200


def test_an_engine_that_cannot_be_loaded_ends_the_start(make_bundle: Callable[..., Path]) -> None:
    folder = make_bundle()
    (folder / "weights" / "eng.traineddata").write_bytes(b"junk")
    with pytest.raises(RuntimeError):
        create_app(folder)
    (folder / "weights" / "eng.traineddata").unlink()
    with pytest.raises(RuntimeError, match=r"eng\.traineddata are missing"):
        create_app(folder)


@pytest.mark.parametrize(("profile", "processes", "threads"), [("throughput", 2, 1), ("latency", 1, 2)])
def test_processes_and_threads_are_what_the_profile_says(
    make_bundle: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, profile: str, processes: int, threads: int
) -> None:
    monkeypatch.setattr("ocrpack.app.core.cpu_and_memory.processors", lambda: 2)
    client = create_app(make_bundle(profile=profile)).test_client()
    ready = client.get("/readyz").json
    assert (ready["processes"], ready["threads"]) == (processes, threads)
    image = encoded(drawing())
    assert client.post("/ocr", data=image, content_type="image/png").status_code == 200
    pids = engines(client)
    assert len(pids) == processes
    for pid in pids:
        assert f"OMP_THREAD_LIMIT={threads}" in Path(f"/proc/{pid}/environ").read_text().split("\0")
        assert len(list(Path(f"/proc/{pid}/task").iterdir())) <= threads


def test_tokens_are_kept_from_the_engine_processes(
    make_bundle: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OCR_API_TOKEN", "alpha")
    client = create_app(make_bundle(tokens=["OCR_API_TOKEN"])).test_client()
    allowed = {"Authorization": "Bearer alpha"}
    client.post("/ocr", data=encoded(drawing()), content_type="image/png", headers=allowed)
    lines = client.get("/metrics", headers=allowed).text.splitlines()
    pid = next(line.partition('pid="')[2].partition('"')[0] for line in lines if 'process="engine"' in line)
    assert "alpha" not in Path(f"/proc/{pid}/environ").read_text()


def test_engine_processes_end_with_the_web_process(make_bundle: Callable[..., Path]) -> None:
    code = (
        "import sys, time; from ocrpack.app import create_app; app = create_app(sys.argv[1]);"
        "print('ready', flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", code, make_bundle()], stdout=subprocess.PIPE, text=True) as web:
        assert web.stdout is not None
        assert web.stdout.readline() == "ready\n"
        (template,) = psutil.Process(web.pid).children()
        while not (readers := template.children()):
            time.sleep(0.05)
        os.kill(readers[0].pid, signal.SIGSTOP)
        web.kill()
    gone, alive = psutil.wait_procs([template, *readers], timeout=PATIENCE)
    assert not alive
    assert gone
