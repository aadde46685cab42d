"""`init`: a source that works at once, and descriptors drafted from apps that are there."""

from __future__ import annotations

import json
import shutil

import pytest

from ocrpack.bundle import ENGINES, check_source, describe_app, new_source
from ocrpack.errors import ConflictError, NotFoundError, UsageError
from tests.variants import some

FLASK = """
from flask import Flask, request
import cv2, yaml, helper
app = Flask(__name__)
@app.route("/")
def page(): return "hello"
@app.route("/ocr", methods=["POST"])
def ocr(): return {"text": "x"}
if __name__ == "__main__":
    app.run(host="0.0.0.0", port=5005)
"""
FASTAPI = """
from fastapi import FastAPI, UploadFile
def make():
    api = FastAPI()
    @api.post("/predict")
    async def predict(file: UploadFile): return {}
    @api.get("/health")
    def health(): return {}
    return api
"""
AIOHTTP = """
from aiohttp import web
import mlflow
async def ocr(request): return web.json_response({})
application = web.Application()
application.router.add_post("/read", ocr)
application.add_routes([web.get("/", ocr), web.get("/ping", ocr)])
web.run_app(application, port=8000) if __name__ == "__main__" else None
"""


def drafted(folder, files):
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    draft = describe_app(folder, force=False)
    loaded, _, _ = check_source(folder)
    return draft, loaded.descriptor


CHOICES = some(ENGINES, ["tesseract"])


@pytest.mark.parametrize("engine", CHOICES)
def test_a_new_source_builds_and_deploys(machine, engine):
    made = machine.run("init", machine.folder / "My Invoices", "--engine", engine, "--json").json
    assert "descriptor.json" in made["written"]
    folder = machine.folder / "My Invoices"
    document = json.loads((folder / "descriptor.json").read_text())
    assert (document["name"], document["version"]) == ("my-invoices", "0.1.0")
    assert (folder / document["$schema"]).exists()
    assert machine.run("validate", folder, "--json").json["findings"] == []
    machine.run("build", folder, "-o", machine.folder)
    done = machine.deploy(machine.folder / "my-invoices-0.1.0.zip", "--port", machine.port, "--json").json
    assert all(sample["passed"] for sample in done["samples"])


def test_where_something_is(tmp_path):
    (tmp_path / "x").write_text("mine")
    with pytest.raises(ConflictError, match="holds something"):
        new_source(tmp_path, "tesseract")
    with pytest.raises(UsageError, match="no engine 'nonsense'"):
        new_source(tmp_path / "new", "nonsense")
    with pytest.raises(UsageError, match="no name"):
        new_source(tmp_path / "___", "tesseract")
    assert [file.name for file in tmp_path.iterdir()] == ["x"]


def test_a_flask_app(tmp_path):
    draft, descriptor = drafted(
        tmp_path,
        {
            "app.py": FLASK, "helper.py": "x = 1\n", "templates/page.html": "<p>", "tests/test_app.py": "",
            "models/det_v4.onnx": b"\x08\1", "models/rec_v4.onnx": b"\x08\1", "models/ppocr_keys_v1.txt": "a\nb\n",
            "samples/one.png": b"png", "samples/one.txt": "ONE",
        },
    )  # fmt: skip
    assert (descriptor.app.entrypoint, descriptor.app.interface, descriptor.port) == ("app:app", "wsgi", 5005)
    assert {(weight.path, weight.role) for weight in descriptor.model.weights} == {
        ("models/det_v4.onnx", "detection"), ("models/rec_v4.onnx", "recognition"),
        ("models/ppocr_keys_v1.txt", "dictionary"),
    }  # fmt: skip
    assert descriptor.files == ("/helper.py", "/templates/")
    assert (tmp_path / "requirements.txt").read_text() == "flask\nopencv-python-headless\npyyaml\n"
    assert [(point.path, point.purpose) for point in descriptor.endpoints] == [("/ocr", "inference"), ("/", "health")]
    assert descriptor.samples[0].text_file == "samples/one.txt"
    assert "requirements.txt was made" in draft.findings[0].message


def test_a_fastapi_app_that_a_function_makes(tmp_path):
    _, descriptor = drafted(
        tmp_path,
        {
            "server.py": FASTAPI, "requirements.txt": "fastapi\n", "model.keras": b"\x89HDF\r\n\x1a\n",
            "Dockerfile": "FROM python\nENV A=1 B='two words'\nENV C 3\nEXPOSE 9000\n",
            "pyproject.toml": '[project]\nname = "x"\nversion = "2.1"\nrequires-python = ">=3.12"\n',
        },
    )  # fmt: skip
    assert (descriptor.app.entrypoint, descriptor.app.interface, descriptor.port) == ("server:make()", "asgi", 9000)
    assert (descriptor.version, descriptor.python) == ("2.1", ">=3.12")
    assert descriptor.env == {"A": "1", "B": "two words", "C": "3"}
    assert {point.purpose: point.path for point in descriptor.endpoints} == {
        "inference": "/predict",
        "health": "/health",
    }
    assert (tmp_path / "requirements.txt").read_text() == "fastapi\n"


def test_an_aiohttp_app_and_another_one(tmp_path):
    draft, descriptor = drafted(
        tmp_path, {"service.py": AIOHTTP, "other.py": "from flask import Flask\nweb = Flask('x')\n"}
    )
    assert (descriptor.app.entrypoint, descriptor.app.interface) == ("service:application", "aiohttp")
    assert {point.purpose for point in descriptor.endpoints} == {"inference", "health", "page"}
    assert any("other:web" in finding.message for finding in draft.findings)


def test_a_drafted_app_deploys(machine, tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "requirements.txt").write_text("flask>=3.1\n")
    (folder / "app.py").write_text(FLASK.replace("import cv2, yaml, helper\n", ""))
    machine.run("init", "--from", folder)
    machine.run("build", folder, "-o", machine.folder)
    machine.deploy(machine.folder / "mine-0.1.0.zip", "--port", machine.port)
    shutil.rmtree(folder)


@pytest.mark.parametrize("content", [b"", b"import os\n", b"def broken(:\n", b"\xff\0"])
def test_a_folder_without_an_app(tmp_path, content):
    (tmp_path / "x.py").write_bytes(content)
    with pytest.raises(NotFoundError, match="no Flask, FastAPI"):
        describe_app(tmp_path, force=False)
    assert [file.name for file in tmp_path.iterdir()] == ["x.py"]


def test_a_descriptor_is_not_overwritten(tmp_path):
    (tmp_path / "app.py").write_text(FLASK)
    (tmp_path / "descriptor.json").write_text("mine")
    with pytest.raises(ConflictError, match="exists"):
        describe_app(tmp_path, force=False)
    assert (tmp_path / "descriptor.json").read_text() == "mine"
    describe_app(tmp_path, force=True)
    with pytest.raises(NotFoundError):
        describe_app(tmp_path / "nowhere", force=False)


def test_words_that_say_nothing(machine):
    assert machine.run("init", status=2).err
    assert machine.run("init", "a", "--from", "b", status=2).err
