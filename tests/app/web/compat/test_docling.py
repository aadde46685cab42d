"""The part of docling-serve that Open WebUI and LightRAG use, asked for as they ask."""

from __future__ import annotations

import asyncio
import io
import json
import threading
import time
import zipfile
from concurrent import futures
from typing import TYPE_CHECKING, Any

import pytest

from ocrpack.app import create_app
from tests.app.drawings import BUNDLE, drawing, encoded
from tests.app.stand_in import StandIn, page_of
from tests.patience import PATIENCE, eventually, without_hanging
from tests.serving import served

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from flask.testing import FlaskClient
    from werkzeug.test import TestResponse

SAMPLE = BUNDLE / "samples" / "paragraph.png"
TRUTH = SAMPLE.with_suffix(".txt").read_text("utf-8")
KEY = "a-token-of-the-service"
CONVERT, BEGIN = "/v1/convert/file", "/v1/convert/file/async"


@pytest.fixture
def client(make_bundle: Callable[..., Path]) -> FlaskClient:
    return create_app(make_bundle(), StandIn(lambda: page_of("# Total", "5 < 6"))).test_client()


@pytest.fixture(scope="module")
def address(make_bundle: Callable[..., Path]) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OCR_TOKENS", KEY)
        app = create_app(make_bundle(tokens=["OCR_TOKENS"]))
    with served(app) as address:
        yield address


def send(client: FlaskClient, path: str = CONVERT, names: tuple[str, ...] = ("a.png",), **form: Any) -> TestResponse:
    return client.post(path, data={"files": [(io.BytesIO(encoded(drawing())), name) for name in names], **form})


def ended(client: FlaskClient, task: str) -> dict[str, Any]:
    for _ in range(100):
        found: dict[str, Any] = client.get(f"/v1/status/poll/{task}?wait=1").json
        if found["task_status"] not in ("pending", "started"):
            return found
    raise AssertionError(found)


def unpacked(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_answer_has_the_shape_of_docling_serve(client: FlaskClient) -> None:
    answer = send(client, names=("/tmp/folder/scan of june.png",)).json
    assert answer.pop("processing_time") > 0
    assert answer == {
        "document": {
            "filename": "scan of june.png",
            "md_content": "\\# Total\n5 < 6",
            "text_content": None,
            "json_content": None,
            "html_content": None,
            "doctags_content": None,
            "doclang_content": None,
        },
        "status": "success",
        "errors": [],
        "timings": {},
    }


def test_formats_come_as_they_are_asked_for(client: FlaskClient) -> None:
    document = send(client, to_formats=["text", "json", "html"]).json["document"]
    assert (document["md_content"], document["text_content"]) == (None, "# Total\n5 < 6")
    (text,) = document["json_content"]["texts"]
    assert text["text"] == "# Total\n5 < 6"
    box = {"l": 10, "t": 0, "r": 300, "b": 70, "coord_origin": "TOPLEFT"}
    assert text["prov"] == [{"page_no": 1, "bbox": box, "charspan": [0, 13]}]
    assert document["json_content"]["pages"] == {"1": {"size": {"width": 760, "height": 140}, "page_no": 1}}
    assert document["html_content"] is None


def test_several_documents_are_an_archive(client: FlaskClient) -> None:
    answer = send(client, names=("a.png", "a.jpg", "../b.png"), to_formats=["md", "text"])
    assert answer.content_type == "application/zip"
    files = unpacked(answer.data)
    assert list(files) == ["a.md", "a.txt", "a-2.md", "a-2.txt", "b.md", "b.txt"]
    assert files["a-2.txt"] == b"# Total\n5 < 6"


def test_tasks_end_and_have_results(client: FlaskClient) -> None:
    begun = send(client, BEGIN, to_formats=["md", "json"]).json
    task = begun["task_id"]
    rest = {"task_type": "convert", "task_position": None, "task_meta": None, "error_message": None}
    assert begun.pop("task_status") in ("pending", "started")
    assert begun == {"task_id": task, **rest}
    assert ended(client, task) == {"task_id": task, "task_status": "success", **rest}
    document = client.get(f"/v1/result/{task}").json["document"]
    assert document["md_content"] == "\\# Total\n5 < 6"
    assert document["json_content"]["name"] == "a"
    assert document["text_content"] is None


def test_a_failed_task_says_why(client: FlaskClient) -> None:
    task = client.post(BEGIN, data={"files": (io.BytesIO(b"no image"), "a.png")}).json["task_id"]
    found = ended(client, task)
    assert found["task_status"] == "failure"
    assert "none of the formats" in found["error_message"]
    problem = client.get(f"/v1/result/{task}")
    assert problem.content_type == "application/problem+json"
    client.delete(f"/ocr/jobs/{task.split('.')[0]}")
    assert ended(client, task)["task_status"] == "failure"


def test_a_poll_waits_as_long_as_it_may_and_no_longer(make_bundle: Callable[..., Path]) -> None:
    free = threading.Event()

    def slowly() -> Any:
        free.wait(PATIENCE)
        return page_of("late")

    client = create_app(make_bundle(), StandIn(slowly)).test_client()
    task = send(client, BEGIN).json["task_id"]
    began = time.monotonic()
    assert client.get(f"/v1/status/poll/{task}?wait=0.5").json["task_status"] in ("pending", "started")
    assert time.monotonic() - began > 0.4
    assert client.get(f"/v1/result/{task}").status_code == 409
    free.set()
    eventually(lambda: client.get(f"/v1/status/poll/{task}?wait=20").json["task_status"] == "success")


def test_a_poll_without_a_seat_answers_at_once(make_bundle: Callable[..., Path]) -> None:
    begun, free = threading.Event(), threading.Event()

    def slowly() -> Any:
        begun.set()
        free.wait(PATIENCE)
        return page_of("late")

    app = create_app(make_bundle(limits={"queue": 1}), StandIn(slowly))
    client = app.test_client()
    task = send(client, BEGIN).json["task_id"]
    assert begun.wait(PATIENCE)
    with futures.ThreadPoolExecutor(2) as pool:
        polls = [pool.submit(lambda: app.test_client().get(f"/v1/status/poll/{task}?wait=20").json) for _ in range(2)]
        with without_hanging(15):
            (without_seat,), (waiting,) = futures.wait(polls, return_when=futures.FIRST_COMPLETED)
        assert without_seat.result()["task_status"] == "started"
        free.set()
        assert waiting.result()["task_status"] == "success"


@pytest.mark.parametrize(
    ("path", "form", "status", "words"),
    [
        (CONVERT, {}, 400, "no file field named `files`"),
        (CONVERT, {"files": (io.BytesIO(b"no image"), "a.png")}, 422, "none of the formats"),
        (BEGIN, {"file": (io.BytesIO(b"no image"), "a.png")}, 400, "it has: file"),
    ],
)
def test_faults_are_problem_details(
    client: FlaskClient, path: str, form: dict[str, Any], status: int, words: str
) -> None:
    answer = client.post(path, data=form, content_type="multipart/form-data")
    assert answer.status_code == status
    assert words in json.loads(answer.data)["detail"]


def test_options_without_a_meaning_are_refused(client: FlaskClient) -> None:
    assert json.loads(send(client, page_range=["a", "b"]).data)["option"] == "page_range"
    assert json.loads(send(client, target_type="s3").data)["option"] == "target_type"
    for wait in ("long", "-1", "nan", "999999999.0000001", "1e10", "1_0"):
        assert json.loads(client.get(f"/v1/status/poll/x?wait={wait}").data)["option"] == "wait"
    assert client.get("/v1/status/poll/unknown.md").status_code == 404
    assert client.get("/v1/result/unknown.md").status_code == 404
    assert client.post(CONVERT, json={}).status_code == 415
    assert client.get("/health").json == {"status": "ok"}


def test_languages_and_pages_reach_the_engine(make_bundle: Callable[..., Path]) -> None:
    seen = []

    class Curious(StandIn):
        def read(self, image: Any, dpi: Any, languages: tuple[str, ...], seconds: float) -> Any:
            seen.append(languages)
            return page_of("read")

    client = create_app(make_bundle(), Curious(lambda: page_of())).test_client()
    assert send(client, ocr_lang=["en", "eng"], page_range=["1", "9223372036854775807"]).status_code == 200
    assert send(client, ocr_lang=["en", "fr"]).status_code == 200
    assert seen == [("eng",), ()]


def as_open_webui(address: str, key: str, path: Path, params: dict[str, Any]) -> Any:
    """Send a file as open_webui.retrieval.loaders.main.DoclingLoader does."""
    import requests

    with path.open("rb") as file:
        return requests.post(
            f"{address}/v1/convert/file",
            files={"files": (str(path), file, "image/png")},
            data={"image_export_mode": "placeholder", **params},
            headers={"X-Api-Key": key},
        )


def test_open_webui_reads(address: str) -> None:
    params = {"do_ocr": True, "ocr_engine": "tesseract", "ocr_lang": ["eng"], "pdf_backend": "dlparse_v4"}
    answer = as_open_webui(address, KEY, SAMPLE, params)
    assert answer.ok
    assert answer.json().get("document", {}).get("md_content").split() == TRUTH.split()
    refused = as_open_webui(address, "wrong", SAMPLE, {})
    assert (refused.status_code, refused.headers["WWW-Authenticate"]) == (401, 'Bearer realm="ocr"')
    assert "not one of this service's" in refused.json()["detail"]


@pytest.mark.clients
class TestClients:
    """LightRAG's own client, and docling's own model, as they are installed."""

    def test_lightrag_reads(
        self, make_bundle: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from lightrag.parser.external.docling import DoclingIRBuilder, DoclingRawClient

        with served(create_app(make_bundle())) as address:
            monkeypatch.setenv("DOCLING_ENDPOINT", address)
            asyncio.run(DoclingRawClient().download_into(tmp_path, SAMPLE, upload_filename="paragraph.png"))
        assert {file.name for file in tmp_path.iterdir()} >= {"paragraph.json", "paragraph.md"}
        found = DoclingIRBuilder().normalize_from_workdir(tmp_path, document_name="paragraph.png")
        assert " ".join(block.content_template for block in found.blocks).split() == TRUTH.split()

    def test_lightrag_tells_faults(
        self, make_bundle: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from lightrag.parser.external.docling import DoclingRawClient

        (tmp_path / "a.png").write_bytes(b"no image")
        with served(create_app(make_bundle())) as address:
            monkeypatch.setenv("DOCLING_ENDPOINT", address)
            with pytest.raises(RuntimeError, match="none of the formats"):
                asyncio.run(DoclingRawClient().download_into(tmp_path / "raw", tmp_path / "a.png"))

    def test_the_json_is_a_docling_document(self, address: str) -> None:
        from docling_core.types.doc import DoclingDocument

        content = as_open_webui(address, KEY, SAMPLE, {"to_formats": "json"}).json()["document"]["json_content"]
        document = DoclingDocument.model_validate(content)
        assert document.export_to_text().split() == TRUTH.split()
        assert [item.prov[0].page_no for item, _ in document.iterate_items()] == [1, 1, 1]
