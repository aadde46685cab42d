"""An input's way through a service: the form, jobs, and answers that are not what was asked for."""

from __future__ import annotations

import email.parser
import email.policy
import re
import threading
from pathlib import Path

import pytest

from ocrpack.client import Options, Source
from ocrpack.client.connection import StoppedError, UnreadableError
from tests.client.servers import Misbehaving, answer
from tests.patience import without_hanging

PDF = Source("book.pdf", None, Path("book.pdf"), b"%PDF-1.7")


class Jobs:
    """A service that reads by jobs; each look at a job is a page more."""

    def __init__(self, pages=3, end="done", problem=None, sync=202):
        self.pages, self.end, self.problem, self.sync = pages, end, problem, sync
        self.looks, self.cancelled = 0, threading.Event()

    def __call__(self, _, handler):
        path = handler.path
        job = {"id": "j-1", "status": "queued", "progress": {"done": 0, "total": None}}
        if handler.command == "POST" and (path == "/ocr/jobs" or (path == "/ocr" and self.sync == 202)):
            handler.send(202, job, Location="/ocr/jobs/j-1")
        elif handler.command == "DELETE":
            self.cancelled.set()
            handler.send(document={**job, "status": "cancelled"})
        elif path.startswith("/ocr/jobs/j-1/result"):
            handler.send(document=answer("FROM A JOB"))
        elif path == "/ocr/jobs/j-1":
            self.looks += 1
            status = "running" if self.looks <= self.pages else self.end
            progress = {"done": min(self.looks, self.pages), "total": self.pages}
            problem = {"problem": self.problem} if self.problem and status == self.end else {}
            handler.send(document={**job, "status": status, "progress": progress, **problem})
        else:
            handler.problem(404)


def test_the_form(connect, tmp_path):
    forms = []

    def react(_, handler):
        head = f"Content-Type: {handler.headers['Content-Type']}\r\n\r\n".encode()
        form = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + handler.body)
        forms.append({part.get_param("name", header="Content-Disposition"): part for part in form.iter_parts()})
        handler.send(document=answer())

    (tmp_path / 'è "1".png').write_bytes(b"\x89PNG\r\n--\r\n")
    source = Source("x", tmp_path / 'è "1".png', Path('t/è "1".png'))
    with Misbehaving(react) as server:
        service = connect(server.url)
        service.read(source, "text", Options("eng,deu", "1,2,30,40", "none", "1-3"))
        service.read(source, "json", Options())
    full, plain = forms
    values = {name: part.get_content() for name, part in full.items() if name != "image"}
    assert values == {
        "output": "json", "languages": "eng,deu", "region": "1,2,30,40", "preprocess": "none", "pages": "1-3",
    }  # fmt: skip
    assert set(plain) == {"output", "image"}
    assert full["image"].get_content() == b"\x89PNG\r\n--\r\n"
    assert full["image"].get_content_type() == "image/png"


def test_a_slow_image_becomes_a_job(connect, image):
    jobs, pages = Jobs(), []
    with Misbehaving(jobs) as server:
        found = connect(server.url).read(image, "text", Options(), lambda *seen: pages.append(seen))
    assert found.text == "FROM A JOB"
    assert pages[-1] == (3, 3)
    assert [done for done, _ in pages] == sorted(done for done, _ in pages)
    assert server.asked[0] == ("POST", "/ocr")
    assert server.asked[-1] == ("GET", "/ocr/jobs/j-1/result?output=json")


def test_documents_are_jobs_from_the_start(connect, image):
    for source, options in ((PDF, Options()), (image, Options(long=True))):
        with Misbehaving(Jobs(pages=1)) as server:
            assert connect(server.url).read(source, "text", options).text == "FROM A JOB"
        assert server.asked[0] == ("POST", "/ocr/jobs")


def test_a_service_without_jobs_reads_documents_at_once(connect):
    def react(_, handler):
        if handler.path == "/ocr":
            handler.send(document=answer("AT ONCE"))
        else:
            handler.problem(404)

    with Misbehaving(react) as server:
        assert connect(server.url).read(PDF, "text", Options()).text == "AT ONCE"


def test_a_failed_job_has_its_problem(connect):
    problem = {"type": "urn:ocrpack:problem:encrypted", "title": "The PDF is locked", "detail": "Unlock it."}
    with (
        Misbehaving(Jobs(pages=1, end="failed", problem=problem)) as server,
        pytest.raises(UnreadableError, match=r"The PDF is locked: Unlock it\.") as caught,
    ):
        connect(server.url).read(PDF, "text", Options())
    assert caught.value.code == "encrypted"


@pytest.mark.parametrize("end", ["cancelled", "lost\x1b[31m", None])
def test_jobs_that_end_otherwise(connect, end):
    with Misbehaving(Jobs(pages=0, end=end)) as server, pytest.raises(UnreadableError, match="the job is"):
        connect(server.url).read(PDF, "text", Options())


def test_a_stop_cancels_the_job(connect):
    jobs = Jobs(pages=10**6)
    with Misbehaving(jobs) as server:
        service = connect(server.url)
        begun = threading.Timer(0.5, service.cancel, [5])
        begun.start()
        with without_hanging(), pytest.raises(StoppedError):
            service.read(PDF, "text", Options())
        begun.join()
        assert jobs.cancelled.is_set(), "cancel came back before the service was told"


@pytest.mark.parametrize("name", ["../../admin", "", 7, None, "a" * 300])
def test_a_job_with_a_strange_name_is_not_followed(connect, name):
    with (
        Misbehaving(lambda _, handler: handler.send(202, {"id": name, "status": "queued"})) as server,
        pytest.raises(UnreadableError, match="named no job"),
    ):
        connect(server.url).read(PDF, "text", Options())
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("output", "kind", "body"),
    [
        ("text", "text/html", b"<html>"),
        ("text", "application/json", b"[1]"),
        ("text", "application/json", b'{"ok": true}'),
        ("text", "application/json", b"[" * 100_000),
        ("json", "text/plain", b"HELLO"),
        ("hocr", "application/json", b'{"text": "HELLO"}'),
        ("pdf", "text/html", b"<html>"),
    ],
)
def test_answers_that_were_not_asked_for(connect, image, output, kind, body):
    with (
        Misbehaving(lambda _, handler: handler.send(kind=kind, body=body)) as server,
        pytest.raises(UnreadableError, match=re.escape("the service answered with ")),
    ):
        connect(server.url).read(image, output, Options())


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("text/plain; charset=utf-8", "HELLÖ".encode()),
        ("application/json", b'{"extracted_text": "HELL\\u00d6"}'),
        ("application/json", b'{"text": "HELL\\u00d6", "pages": "none"}'),
    ],
)
def test_apps_of_other_kinds(connect, image, kind, body):
    with Misbehaving(lambda _, handler: handler.send(kind=kind, body=body)) as server:
        found = connect(server.url).read(image, "text", Options())
    assert (found.text, found.pages) == ("HELLÖ", [])


def test_other_outputs_are_handed_on_as_they_are(connect, image):
    kinds = {"hocr": "text/html; charset=utf-8", "alto": "application/xml", "tsv": "text/tab-separated-values"}
    kinds |= {"csv": "text/csv; charset=utf-8", "pdf": "application/pdf"}
    for output, kind in kinds.items():
        with Misbehaving(lambda _, handler, kind=kind: handler.send(kind=kind, body=b"\xff\x00raw")) as server:
            assert connect(server.url).read(image, output, Options()).content == b"\xff\x00raw"


def test_a_file_that_cannot_be_read(connect):
    with pytest.raises(UnreadableError, match="cannot be read: No such file"):
        connect("http://127.0.0.1:1").read(Source("x", Path("/nowhere/x"), Path("x")), "text", Options())
