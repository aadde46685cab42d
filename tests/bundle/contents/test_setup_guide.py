"""SETUP.md: what a deployer without ocrpack is told, and that it is what works."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess

import pytest

from ocrpack.bundle import Archive

MAIN = "def app(environ, start_response):\n    pass\n\nif __name__ == '__main__':\n    pass\n"


def _blocks(text):
    """Return the commands of the guide: all indented lines."""
    return [line[4:] for line in text.splitlines() if line.startswith("    ")]


def _section(text, title):
    return re.split(r"^###? ", text.partition(title)[2], flags=re.MULTILINE)[0]


def test_an_app_that_runs_alone(maker):
    text = maker.guide(app=MAIN, summary="Reads text", port=8123, python=">=3.11,<3.15")
    assert text.startswith("# mini 1.0: setup\n\nReads text\n")
    assert "Python >=3.11,<3.15" in text
    commands = _blocks(text)
    for line in (
        "unzip mini-1.0.zip -d mini-1.0", "Expand-Archive mini-1.0.zip -DestinationPath mini-1.0", "cd mini-1.0",
        "python3 -m venv .venv", ". .venv/bin/activate", "py -m venv .venv", ".venv\\Scripts\\Activate.ps1",
        "python -m pip install --require-hashes -r requirements.lock", "python app.py",
        'curl -F "image=@samples/a.txt" http://127.0.0.1:8123/ocr',
    ):  # fmt: skip
        assert line in commands, line
    assert "gunicorn" not in text
    assert "http://127.0.0.1:8123/" in text
    numbers = [int(number) for number in re.findall(r"^### (\d)\.", text, re.MULTILINE)]
    assert numbers == list(range(1, len(numbers) + 1))
    assert "$" not in re.sub(r"`[^`]*`", "", text), "every placeholder is filled in"


def test_a_module_of_a_package_that_runs_alone(maker):
    source = maker.source(extra={"pkg/__init__.py": b"", "pkg/web.py": MAIN.encode()})
    text = (source / "descriptor.json").read_text()
    (source / "descriptor.json").write_text(text.replace('"name"', '"app": {"entrypoint": "pkg.web:app"}, "name"', 1))
    with Archive(maker.build(source).path) as archive:
        guide = archive.read("SETUP.md").decode()
    assert "python -m pkg.web" in _blocks(guide)
    assert "pkg/web.py" not in guide


@pytest.mark.parametrize(
    ("interface", "entrypoint", "linux", "windows"),
    [
        ("wsgi", "app:app", "--threads 3 --bind 127.0.0.1:8000 'app:app'",
         ["python -m pip install waitress", "python -m waitress --host=127.0.0.1 --port=8000 app:app"]),
        ("wsgi", "app:make()", "--threads 3 --bind 127.0.0.1:8000 'app:make()'",
         ["python -m waitress --host=127.0.0.1 --port=8000 --call app:make"]),
        ("asgi", "app:app", "--worker-class uvicorn_worker.UvicornWorker --bind 127.0.0.1:8000 'app:app'",
         ["python -m uvicorn --host 127.0.0.1 --port 8000 app:app"]),
        ("asgi", "app:make()", "'app:make()'", ["python -m uvicorn --host 127.0.0.1 --port 8000 --factory app:make"]),
        ("aiohttp", "app:app", "--worker-class aiohttp.GunicornWebWorker --bind 127.0.0.1:8000 'app:app'",
         ["python -c \"import app; from aiohttp import web; web.run_app(app.app, host='127.0.0.1', port=8000)\""]),
    ],
)  # fmt: skip
def test_an_app_that_needs_a_server(maker, interface, entrypoint, linux, windows):
    app = "def make():\n    return app\n\ndef app(environ, start_response):\n    pass\n"
    source = maker.source(app=app)
    text = (source / "descriptor.json").read_text()
    options = f'"app": {{"entrypoint": "{entrypoint}", "interface": "{interface}", "workers": 2, "threads": 3}}, "name"'
    (source / "descriptor.json").write_text(text.replace('"name"', options, 1))
    made = maker.build(source)
    with Archive(made.path) as archive:
        guide = archive.read("SETUP.md").decode()
    start = _section(guide, "Start the app")
    posix, _, powershell = start.partition("Windows")
    assert any(line.startswith("python -m gunicorn --workers 2 ") and line.endswith(linux) for line in _blocks(posix))
    for line in windows:
        assert line in _blocks(powershell)
    assert "gunicorn " not in "".join(_blocks(powershell))


def test_what_the_system_and_the_variables_need(maker):
    values = {"PLAIN": "1", "QUOTED": 'it\'s a $HOME `x` "y"'}
    text = maker.guide(
        env=values, secrets=["OCR_TOKEN"],
        system_packages=[
            {"name": "libgl1", "library": "libGL.so.1"}, {"name": "poppler-utils", "program": "pdftotext"},
        ],
        resources={"memory_mb": 512, "disk_mb": 100},
    )  # fmt: skip
    assert "apt-get install libgl1 poppler-utils" in _blocks(text)
    assert "512 MiB of memory" in text
    assert "$env:QUOTED = 'it''s a $HOME `x` \"y\"'" in _blocks(text)
    exports = [line for line in _blocks(text) if line.startswith("export ")]
    assert [shlex.split(line)[1] for line in exports] == [
        "PLAIN=1", f"QUOTED={values['QUOTED']}", "OCR_TOKEN=<your secret value>",
    ]  # fmt: skip
    if shutil.which("sh"):
        shown = subprocess.run(
            ["sh", "-c", "\n".join([*exports, 'printf %s "$QUOTED"'])], capture_output=True, text=True, check=True
        )
        assert shown.stdout == values["QUOTED"]
    numbers = re.findall(r"^### (\d)\.", text, re.MULTILINE)
    assert numbers == ["1", "2", "3", "4", "5", "6"]


def test_names_that_must_be_quoted(maker):
    text = maker.guide(
        app=MAIN,
        extra={"samples/a b.txt": b"HELLO"},
        samples=[{"image": "samples/a b.txt", "text": "A | B\n C"}],
    )  # fmt: skip
    assert 'curl -F "image=@samples/a b.txt" http://127.0.0.1:8000/ocr' in _blocks(text)
    assert "| `samples/a b.txt` | A \\| B C |" in text


@pytest.mark.parametrize(
    ("host", "url"),
    [("0.0.0.0", "http://127.0.0.1:8000/"), ("::1", "http://[::1]:8000/"), ("ocr.local", "http://ocr.local:8000/")],
)
def test_the_address_is_one_that_a_client_can_use(maker, host, url):
    assert f"It listens on {url}." in maker.guide(app=MAIN, host=host)


def test_the_weights_are_listed(maker):
    text = maker.guide(
        weights=[{"path": "weights/m.bin", "role": "recognition"}], extra={"weights/m.bin": b"abc"}
    )  # fmt: skip
    assert "| `weights/m.bin` | 3 | `ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad` |" in text
