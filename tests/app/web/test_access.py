"""Who may ask: tokens, rates, other pages; and what the figures say of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from ocrpack.app import create_app
from ocrpack.app.core.problem import Problem
from ocrpack.app.engines.base import Line, Page
from ocrpack.app.web.access import Rate
from tests.app.drawings import drawing, encoded
from tests.app.web.test_server import FakeEngine, assert_problem, said

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from flask.testing import FlaskClient

IMAGE = encoded(drawing())


@pytest.fixture
def client(make_bundle: Callable[..., Path]) -> Callable[..., FlaskClient]:
    return lambda **app: create_app(make_bundle(**app), FakeEngine()).test_client()


def post(client: FlaskClient, **headers: str) -> Any:
    return client.post("/ocr", data=IMAGE, content_type="image/png", headers=headers)


def test_only_who_has_a_token_is_let_in(client: Callable[..., FlaskClient], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIRST", "alpha, beta")
    monkeypatch.setenv("SECOND", "gämma")
    closed = client(tokens=["FIRST", "SECOND"])
    refused = post(closed)
    assert_problem(refused, 401, "needs a token")
    assert refused.headers["WWW-Authenticate"] == 'Bearer realm="ocr"'
    for wrong in ("Bearer alph", "Bearer alpha,", "Basic alpha", "alpha", "Bearer ", "Bearer é"):
        assert post(closed, Authorization=wrong).status_code == 401
    for right in ("Bearer alpha", "bearer beta", "Bearer g\u00c3\u00a4mma"):
        assert post(closed, Authorization=right).status_code == 200
    for path in ("/version", "/metrics", "/ocr/jobs/x", "/nothing"):
        assert closed.get(path).status_code == 401
    for path in ("/", "/example", "/healthz", "/readyz", "/static/page.css"):
        with closed.get(path) as answer:
            assert answer.status_code == 200


def test_a_token_without_a_value_ends_the_start(make_bundle: Callable[..., Path]) -> None:
    with pytest.raises(RuntimeError, match="EMPTY is empty"):
        create_app(make_bundle(tokens=["EMPTY"]), FakeEngine())


def test_the_rate_is_each_tokens_own(client: Callable[..., FlaskClient], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKENS", "alpha beta")
    limited = client(tokens=["TOKENS"], limits={"requests_per_minute": 3})
    statuses = [post(limited, Authorization="Bearer alpha").status_code for _ in range(4)]
    assert statuses == [200, 200, 200, 429]
    refused = post(limited, Authorization="Bearer alpha")
    assert_problem(refused, 429, "3 times a minute")
    assert 1 <= int(refused.headers["Retry-After"]) <= 21
    assert post(limited, Authorization="Bearer beta").status_code == 200
    assert limited.get("/healthz").status_code == 200


def test_a_rate_fills_up_again() -> None:
    rate = Rate(60)
    for _ in range(60):
        rate.take("one", now=100.0)
    with pytest.raises(Problem):
        rate.take("one", now=100.5)
    rate.take("one", now=101.6)
    with pytest.raises(Problem):
        rate.take("one", now=101.7)


def test_other_pages_may_ask_only_where_they_are_declared(client: Callable[..., FlaskClient]) -> None:
    shut = post(client(), Origin="https://page.example")
    assert "Access-Control-Allow-Origin" not in shut.headers
    opened = client(cors_origins=["https://page.example"])
    answer = post(opened, Origin="https://page.example")
    assert answer.headers["Access-Control-Allow-Origin"] == "https://page.example"
    assert "Origin" in answer.headers["Vary"]
    assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    asked = {"Origin": "https://page.example", "Access-Control-Request-Method": "POST"}
    preflight = opened.options("/ocr", headers=asked)
    assert preflight.status_code == 200
    assert "Authorization" in preflight.headers["Access-Control-Allow-Headers"]
    assert "Access-Control-Allow-Origin" not in post(opened, Origin="https://other.example").headers


def figures(client: FlaskClient) -> dict[tuple[str, tuple[str, ...]], float]:
    answer = client.get("/metrics")
    assert answer.content_type.startswith("text/plain; version=")
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_figures_count_what_happened(make_bundle: Callable[..., Path]) -> None:
    box = (0, 0, 9, 9)
    line = Line("x", box, ((0, 0), (9, 0), (9, 9), (0, 9)), 0.75, ())
    client = create_app(make_bundle(), FakeEngine(lambda: Page("x", 0.0, (line,)))).test_client()
    for _ in range(3):
        assert post(client).status_code == 200
    client.post("/ocr", data=b"junk", content_type="image/png")
    client.get("/nothing")
    found = figures(client)
    assert found["ocr_requests_total", ("ocr", "POST", "200")] == 3
    assert found["ocr_requests_total", ("ocr", "POST", "415")] == 1
    assert found["ocr_requests_total", ("none", "any", "404")] == 1
    assert found["ocr_pages_total", ()] == 3
    assert found["ocr_errors_total", ("unknown-format",)] == 1
    for phase in ("queue", "decode", "ocr", "total"):
        assert found["ocr_phase_seconds_count", (phase,)] == 3
    assert found["ocr_page_confidence_sum", ()] == 2.25
    assert found["ocr_queue_pages", ()] == 0
    assert any(name == "ocr_resident_bytes" and value > 10**6 for (name, _), value in found.items())


def test_the_version_names_the_model_by_its_digest(make_bundle: Callable[..., Path]) -> None:
    folder = make_bundle()
    first = create_app(folder, FakeEngine()).test_client().get("/version")
    assert first.json["bundle"] == {"name": "tesseract", "version": "1.0.0", "digest": None}
    assert first.json["model"]["files"][0]["path"] == "weights/eng.traineddata"
    etag = first.headers["ETag"]
    assert etag == f'"{first.json["model"]["digest"]}"'
    client = create_app(folder, FakeEngine()).test_client()
    assert client.get("/version", headers={"If-None-Match": etag}).status_code == 304
    descriptor = json.loads((folder / "descriptor.json").read_text(encoding="utf-8"))
    descriptor["model"]["weights"][0]["sha256"] = "0" * 64
    (folder / "descriptor.json").write_text(json.dumps(descriptor), encoding="utf-8")
    assert create_app(folder, FakeEngine()).test_client().get("/version").headers["ETag"] != etag


def test_text_is_logged_where_that_is_asked_for(make_bundle: Callable[..., Path], caplog: Any) -> None:
    client = create_app(make_bundle(log_text=True), FakeEngine(lambda: said("all of it"))).test_client()
    with caplog.at_level("INFO"):
        post(client)
    assert "all of it" in caplog.text
