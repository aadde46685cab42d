"""The description of the API: valid, complete, and true of the running service; and the same for people."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from markupsafe import escape
from openapi_spec_validator import validate

from ocrpack.app import create_app
from ocrpack.app.outputs import FORMATS
from tests.app.drawings import PROJECT
from tests.app.stand_in import StandIn, page_of
from tests.serving import served

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask import Flask

PAGES = {"/", "/reference", "/static/{filename}"}
"""What is there for people, and not described."""
TOKEN = "a-token-of-the-service"


@pytest.fixture
def make(make_bundle: Callable[..., Path]) -> Callable[..., Flask]:
    return lambda **app: create_app(make_bundle(**app), StandIn(lambda: page_of("one line", "another")))


@pytest.fixture
def make_guarded(make: Callable[..., Flask], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Flask]:
    monkeypatch.setenv("OCR_TOKENS", TOKEN)
    return lambda **app: make(tokens=["OCR_TOKENS"], **app)


def described(app: Flask) -> dict[str, Any]:
    found: dict[str, Any] = app.test_client().get("/openapi.json").json
    return found


def test_it_is_openapi(make: Callable[..., Flask], make_guarded: Callable[..., Flask]) -> None:
    for app in (make(), make_guarded()):
        validate(described(app))


def test_every_route_is_described_and_no_other(make: Callable[..., Flask]) -> None:
    app = make()
    routes = {
        (re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule), method)
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    told = {
        (path, method.upper())
        for path, item in described(app)["paths"].items()
        for method in item
        if method != "parameters"
    }
    assert told == {route for route in routes if route[0] not in PAGES}


def test_the_service_puts_its_own_values_in(make: Callable[..., Flask]) -> None:
    document = described(make(limits={"body_mb": 7, "requests_per_minute": 9}, request_seconds=3))
    text = json.dumps(document)
    assert "{{" not in text
    assert document["info"]["title"] == "tesseract"
    for words in ("7 MB a request", "9 times a minute", "longer than 3 seconds"):
        assert words in document["info"]["description"]
    assert document["components"]["schemas"]["Output"]["enum"] == list(FORMATS)
    assert document["components"]["schemas"]["Languages"]["items"]["enum"] == ["eng"]
    content = document["paths"]["/ocr"]["post"]["responses"]["200"]["content"]
    assert set(content) == {kind.mimetype.partition(";")[0] for kind in FORMATS.values()}


def test_tokens_are_told_of_where_they_are_needed(
    make: Callable[..., Flask], make_guarded: Callable[..., Flask]
) -> None:
    open_to_all, guarded = described(make()), described(make_guarded())
    assert "Unauthorized" not in json.dumps(open_to_all)
    assert "security" not in open_to_all
    assert set(guarded["components"]["securitySchemes"]) == {"bearer", "key"}
    client = make_guarded().test_client()
    for path, item in guarded["paths"].items():
        for method, operation in item.items():
            if method != "parameters":
                with client.open(path.replace("{", "").replace("}", ""), method=method) as answer:
                    refused = answer.status_code == 401
                assert refused == (operation.get("security") != []), (path, method)
                assert refused == ("401" in operation["responses"]), (path, method)
                for sample in operation.get("x-codeSamples", []):
                    assert ("$TOKEN" in sample["source"]) == refused


class Links(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.targets: list[str] = []
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            self.attributes.add(name)
            if name == "id":
                self.ids.append(str(value))
            if name in ("href", "src"):
                self.targets.append(str(value))


def test_the_reference_shows_all_and_needs_nothing_else(make_guarded: Callable[..., Flask]) -> None:
    app = make_guarded()
    client = app.test_client()
    answer = client.get("/reference")
    assert answer.status_code == 200
    found = Links(answer.text)
    document = described(app)
    operations = [one for item in document["paths"].values() for one in item.values() if isinstance(one, dict)]
    wanted = {one["operationId"] for one in operations} | {
        f"schema-{name}" for name in document["components"]["schemas"]
    }
    assert wanted <= set(found.ids)
    assert len(found.ids) == len(set(found.ids))
    for target in found.targets:
        if target.startswith("#"):
            assert target[1:] in found.ids, target
        else:
            assert ":" not in target
            with client.get(f"/{target.removeprefix('./')}") as other:
                assert other.status_code == 200, target
    # The page's own policy forbids what is written into it.
    assert not {"script", "style"} & set(found.tags)
    assert not {name for name in found.attributes if name == "style" or name.startswith("on")}
    for operation in operations:
        for sample in operation.get("x-codeSamples", []):
            assert escape(sample["source"]) in answer.text


def test_the_example_can_be_read(make_bundle: Callable[..., Path]) -> None:
    client = create_app(make_bundle()).test_client()
    content = described(client.application)["components"]["requestBodies"]["Documents"]["content"]
    answer = client.post("/ocr", json=content["application/json"]["example"])
    assert answer.json["text"] == "Total 12.50"


@pytest.mark.clients
@pytest.mark.timeout(240)
@pytest.mark.parametrize("with_tokens", [False, True])
def test_schemathesis_finds_nothing(
    with_tokens: bool, make: Callable[..., Flask], make_guarded: Callable[..., Flask], tmp_path: Path
) -> None:
    """Ask all that the description allows, and much that it does not: every answer has to be one that it tells of.

    Left out are two checks: no description can say which bytes are an image (positive_data_acceptance), and a job that
    was deleted is still shown, as cancelled (use_after_free).
    """
    app = (make_guarded if with_tokens else make)()
    environment = {**os.environ, "SCHEMATHESIS_HOOKS": "tests.app.schemathesis_hooks", "PYTHONPATH": str(PROJECT)}
    with served(app) as address:
        command = [
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{address}/openapi.json"),
            *("--phases", "examples,coverage,fuzzing,stateful", "--max-time", "60", "--seed", "1", "--no-color"),
            *(
                "--checks",
                "all",
                "--exclude-checks",
                "positive_data_acceptance,use_after_free",
                "--continue-on-failure",
            ),
            *(("--header", f"Authorization: Bearer {TOKEN}") if with_tokens else ()),
        ]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2000:]
    assert "Tested: 19" in done.stdout
    count = re.search(r"(\d+) generated", done.stdout)
    assert count, done.stdout[-2000:]
    assert int(count[1]) > 1000
