"""Jobs: long readings go on by themselves, are kept for whoever asks, and survive their process."""

from __future__ import annotations

import io
import json
import sqlite3
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ocrpack.app import create_app
from ocrpack.app.core.problem import Problem
from ocrpack.app.core.settings import Limits
from ocrpack.app.core.shared_file import SharedFile
from ocrpack.app.engines.base import Page, RefusedError
from ocrpack.app.work.job_store import Jobs
from ocrpack.app.work.options import Options
from ocrpack.app.work.request_work import Upload
from tests.app.drawings import drawing, encoded
from tests.app.web.test_server import FakeEngine, assert_problem, said
from tests.patience import PATIENCE, eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask import Flask
    from flask.testing import FlaskClient

IMAGE = encoded(drawing())


class Turns:
    """Pages that come to an end one by one, when the test says so."""

    def __init__(self) -> None:
        self._free = threading.Semaphore(0)
        self.read = 0

    def __call__(self) -> Page:
        assert self._free.acquire(timeout=PATIENCE)
        self.read += 1
        return said(f"page {self.read}")

    def let(self, pages: int) -> None:
        for _ in range(pages):
            self._free.release()


@pytest.fixture
def app(make_bundle: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Flask]:
    """Return a maker of apps that share a folder for their jobs."""
    monkeypatch.setenv("OCRPACK_DATA", str(tmp_path / "data"))

    def make(read: Callable[[], Page] = lambda: Page("", 0.0, ()), **app: Any) -> Flask:
        return create_app(make_bundle(**app), FakeEngine(read))

    return make


def begin(client: FlaskClient, pages: int = 1, **query: str) -> str:
    files = [(io.BytesIO(IMAGE), f"{number}.png") for number in range(pages)]
    answer = client.post("/ocr/jobs", data={"image": files}, query_string=query)
    assert answer.status_code == 202
    assert answer.headers["Location"] == f"/ocr/jobs/{answer.json['id']}"
    return str(answer.json["id"])


def until(client: FlaskClient, job: str, status: str, done: int | None = None) -> dict[str, Any]:
    shown: dict[str, Any] = {}

    def reached() -> bool:
        shown.update(client.get(f"/ocr/jobs/{job}").json)
        return shown["status"] == status and done in (None, shown["progress"]["done"])

    eventually(reached)
    return shown


def later(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + seconds)


def test_a_job_tells_its_progress_and_then_its_result(app: Callable[..., Flask]) -> None:
    turns = Turns()
    client = app(turns).test_client()
    job = begin(client, pages=3)
    turns.let(2)
    shown = until(client, job, "running", done=2)
    assert shown["progress"] == {"done": 2, "total": None}, "the third document has not been opened yet"
    waiting = client.get(f"/ocr/jobs/{job}/result")
    assert assert_problem(waiting, 409, "no result yet")["job_status"] == "running"
    turns.let(1)
    shown = until(client, job, "done")
    assert shown["progress"] == {"done": 3, "total": 3}
    result = client.get(f"/ocr/jobs/{job}/result").json
    assert [page["text"] for page in result["pages"]] == ["page 1", "page 2", "page 3"]
    assert [page["source"] for page in result["pages"]] == ["0.png", "1.png", "2.png"]
    assert result["id"] == job
    assert client.get(f"/ocr/jobs/{job}/result?output=text").content_type == "text/plain; charset=utf-8"
    assert_problem(client.get(f"/ocr/jobs/{job}/result?output=pdf"), 409, "output=pdf")
    assert_problem(client.get(f"/ocr/jobs/{job}/result?output=doc"), 422, "`output`")


def test_a_failed_job_keeps_its_problem(app: Callable[..., Flask]) -> None:
    def refuse() -> Page:
        raise RefusedError("too odd")

    client = app(refuse).test_client()
    job = begin(client)
    shown = until(client, job, "failed")
    assert shown["problem"]["status"] == 422
    assert_problem(client.get(f"/ocr/jobs/{job}/result"), 422, "too odd")


def test_unknown_jobs_are_told_from_others(app: Callable[..., Flask]) -> None:
    client = app().test_client()
    for answer in (client.get("/ocr/jobs/x"), client.delete("/ocr/jobs/x"), client.get("/ocr/jobs/x/result")):
        assert_problem(answer, 404, "no job of this id")


def test_a_cancelled_job_stops_and_leaves_nothing(app: Callable[..., Flask], tmp_path: Path) -> None:
    turns = Turns()
    client = app(turns).test_client()
    job = begin(client, pages=5)
    turns.let(1)
    until(client, job, "running", done=1)
    assert client.delete(f"/ocr/jobs/{job}").json["status"] == "cancelled"
    turns.let(4)
    assert_problem(client.get(f"/ocr/jobs/{job}/result"), 409, "no result any more")
    time.sleep(0.7)
    assert turns.read <= 2
    assert client.delete(f"/ocr/jobs/{job}").status_code == 200
    with sqlite3.connect(tmp_path / "data" / "jobs.sqlite") as store:
        for table in ("inputs", "pages"):
            assert store.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)
    store.close()


def test_what_was_sent_is_gone_when_the_job_ends(app: Callable[..., Flask], tmp_path: Path) -> None:
    client = app().test_client()
    until(client, begin(client), "done")
    store = sqlite3.connect(tmp_path / "data" / "jobs.sqlite")
    assert store.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
    store.close()
    for file in (tmp_path / "data").iterdir():
        assert IMAGE[-600:-100] not in file.read_bytes()
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700


def test_the_next_generation_goes_on_where_the_last_one_stopped(
    app: Callable[..., Flask], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old_gate, new_gate = tmp_path / "old", tmp_path / "new"
    old_gate.touch()
    monkeypatch.setenv("OCRPACK_GATE", str(old_gate))
    first, second = Turns(), Turns()
    old = app(first).test_client()
    job = begin(old, pages=3)
    first.let(2)
    until(old, job, "running", done=2)
    monkeypatch.setenv("OCRPACK_GATE", str(new_gate))
    new = app(second).test_client()
    second.let(3)
    time.sleep(0.7)
    assert second.read == 0, "a candidate takes no jobs"
    new_gate.touch()
    old_gate.unlink()
    until(new, job, "done")
    assert second.read == 1, "pages that were read are not read again"
    texts = [page["text"] for page in new.get(f"/ocr/jobs/{job}/result").json["pages"]]
    assert texts == ["page 1", "page 2", "page 1"]
    first.let(1)


def test_a_job_whose_process_died_is_taken_up_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = Jobs(tmp_path, Limits())
    job = jobs.add([Upload("a", SharedFile.copy_of([b"a"]))], Options(languages=("eng",), region=(1, 2, 3, 4)))
    claimed = jobs.claim("first")
    assert claimed is not None
    assert (claimed.id, claimed.options.region, claimed.options.languages) == (job, (1, 2, 3, 4), ("eng",))
    assert jobs.claim("second") is None
    later(monkeypatch, 11)
    assert jobs.claim("second") is not None
    assert jobs.renew("first", [job]) == set()
    assert jobs.renew("second", [job]) == {job}
    jobs.finish(job, "first", {"pages": [], "text": "late"}, None)
    assert jobs.get(job).status == "running", "who lost a job cannot end it"
    assert [upload.file.content() for upload in jobs.uploads(job)] == [b"a"]


def test_there_are_not_more_jobs_than_may_be(app: Callable[..., Flask]) -> None:
    turns = Turns()
    client = app(turns, limits={"jobs": 2}).test_client()
    jobs = [begin(client) for _ in range(2)]
    refused = client.post("/ocr/jobs", data=IMAGE, content_type="image/png")
    assert_problem(refused, 429, "2 jobs")
    assert int(refused.headers["Retry-After"]) >= 1
    turns.let(2)
    for job in jobs:
        until(client, job, "done")
    turns.let(1)
    until(client, begin(client), "done")


def test_old_results_are_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = Jobs(tmp_path, Limits(job_days=1))
    job = jobs.add([], Options(), owner="me")
    jobs.finish(job, "me", {"pages": []}, None)
    jobs.sweep()
    assert jobs.get(job).status == "done"
    later(monkeypatch, 90_000)
    jobs.sweep()
    with pytest.raises(Problem, match="no job of this id"):
        jobs.get(job)


def test_a_job_that_takes_too_long_is_ended(app: Callable[..., Flask]) -> None:
    turns = Turns()
    client = app(turns, limits={"job_seconds": 0.5}).test_client()
    job = begin(client, pages=3)
    turns.let(1)
    assert "0.5 seconds" in until(client, job, "failed")["problem"]["detail"]
    turns.let(2)


def test_without_a_folder_jobs_live_as_long_as_the_process(
    make_bundle: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("OCRPACK_DATA", str(tmp_path / "file" / "below"))
    client = create_app(make_bundle(), FakeEngine()).test_client()
    until(client, begin(client), "done")


def test_jobs_wait_behind_those_who_wait_for_an_answer(app: Callable[..., Flask]) -> None:
    turns = Turns()
    client = app(turns).test_client()
    job = begin(client, pages=4)
    time.sleep(0.7)
    reading = threading.Thread(target=client.post, args=("/ocr",), kwargs={"data": IMAGE, "content_type": "image/png"})
    reading.start()
    time.sleep(0.2)
    turns.let(2)
    reading.join(PATIENCE)
    assert not reading.is_alive(), "a request whose sender waits goes before the next page of a job"
    until(client, job, "running", done=1)
    turns.let(3)
    until(client, job, "done")


def test_pages_that_cannot_be_kept_cost_no_engine(app: Callable[..., Flask], monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(Jobs, "keep_page", full)
    turns = Turns()
    client = app(turns).test_client()
    job = begin(client, pages=3)
    turns.let(4)
    until(client, job, "done")
    assert len(client.get(f"/ocr/jobs/{job}/result").json["pages"]) == 3
    assert client.post("/ocr", data=IMAGE, content_type="image/png").status_code == 200


def test_a_result_that_cannot_be_made_fails_its_job_alone(
    app: Callable[..., Flask], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("no such glyph")

    monkeypatch.setattr("ocrpack.app.work.reading_service.render", broken)
    client = app(lambda: said("text")).test_client()
    job = begin(client, output="pdf")
    problem = until(client, job, "failed")["problem"]
    assert (problem["status"], problem["type"]) == (500, "urn:ocrpack:problem:fault")
    assert "no such glyph" not in json.dumps(problem)
    assert "no such glyph" in caplog.text
    until(client, begin(client), "done")


def test_a_result_waits_for_space_and_is_made_once(app: Callable[..., Flask], monkeypatch: pytest.MonkeyPatch) -> None:
    rendered: list[str] = []
    monkeypatch.setattr("ocrpack.app.work.reading_service.render", lambda *_: rendered.append("once") or b"%PDF")
    finish, refused = Jobs.finish, []

    def full(*args: Any) -> None:
        if len(refused) < 2:
            refused.append("full")
            raise sqlite3.OperationalError("database or disk is full")
        finish(*args)

    monkeypatch.setattr(Jobs, "finish", full)
    client = app(lambda: said("text")).test_client()
    job = begin(client, output="pdf")
    until(client, begin(client), "done")
    until(client, job, "done")
    assert client.get(f"/ocr/jobs/{job}/result?output=pdf").data == b"%PDF"
    assert rendered == ["once"]


def test_a_result_that_is_too_large_to_keep_fails_its_job_alone(
    app: Callable[..., Flask], monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite keeps no value of more than a gigabyte by default."""
    finish = Jobs.finish

    def too_large(*args: Any) -> None:
        if args[-1]:
            raise sqlite3.DataError("string or blob too big")
        finish(*args)

    monkeypatch.setattr(Jobs, "finish", too_large)
    client = app(lambda: said("text")).test_client()
    assert until(client, begin(client, output="pdf"), "failed")["problem"]["status"] == 500
    until(client, begin(client), "done")


def test_a_job_that_cannot_be_taken_up_stops_no_other(
    app: Callable[..., Flask], monkeypatch: pytest.MonkeyPatch
) -> None:
    known, asked = Jobs.known, []

    def broken(self: Jobs, job: str) -> Any:
        asked.append(job)
        if job == asked[0]:
            raise ValueError("no such page")
        return known(self, job)

    monkeypatch.setattr(Jobs, "known", broken)
    client = app(lambda: said("text")).test_client()
    assert until(client, begin(client), "failed")["problem"]["status"] == 500
    until(client, begin(client), "done")


def test_a_job_with_options_of_a_newer_version_is_read(tmp_path: Path) -> None:
    jobs = Jobs(tmp_path, Limits())
    job = jobs.add([], Options(output="csv"))
    with sqlite3.connect(tmp_path / "jobs.sqlite") as store:
        store.execute("UPDATE jobs SET options = json_insert(options, '$.colour', 'red')")
    store.close()
    assert jobs.get(job).options == Options(output="csv")


@pytest.mark.parametrize("newer", [{}, {"colour": "red"}], ids=["before", "newer"])
def test_pages_that_another_version_kept_are_not_read_again(
    app: Callable[..., Flask], tmp_path: Path, newer: dict[str, Any]
) -> None:
    jobs = Jobs(tmp_path / "data", Limits())
    uploads = [Upload(f"{number}.png", SharedFile.copy_of([IMAGE])) for number in range(2)]
    job = jobs.add(uploads, Options())
    page = {"width": 9, "height": 9, "unit": "pixel", "dpi": None, "angle": 0.0, "text": "kept", "lines": []}
    kept = {"numbers": [1], "decode": 0.1, "ocr": 0.2, "warnings": [], "page": page, "grown_mb": 0.5} | newer
    with sqlite3.connect(tmp_path / "data" / "jobs.sqlite") as store:
        store.execute("INSERT INTO pages VALUES (?, 0, 1, ?, ?)", (job, json.dumps(kept), b""))
    store.close()
    reads = []
    client = app(lambda: reads.append("once") or said("read now")).test_client()
    until(client, job, "done")
    assert [page["text"] for page in client.get(f"/ocr/jobs/{job}/result").json["pages"]] == ["kept", "read now"]
    assert reads == ["once"]
