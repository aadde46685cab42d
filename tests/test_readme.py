"""Every command in the README and the operator's guide is run, in the order in which it stands there."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys

import pytest

from tests.conftest import REPOSITORY

ELSEWHERE = {
    "make demo": "tests/deploy/operations/test_default_bundle.py and CI",
    "make test": "CI",
    "pip install .": "below, without network needs",
}


def commands(name):
    text = (REPOSITORY / name).read_text("utf-8")
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.strip()]


def here(words):
    return [str(REPOSITORY / word) if word.startswith("bundles/") else word for word in words]


def test_the_commands_of_the_readme_work(machine):
    shown = commands("README.md")
    rest = [command for command in shown if command not in ELSEWHERE]
    assert len(shown) - len(rest) == len(ELSEWHERE)
    assert rest[0] == "ocrpack init invoices"
    asking = ("curl", "ocrpack ocr", "ocrpack eval")  # the service was removed just before: it is asked while it runs
    images = [command for command in rest if command.startswith(asking)]
    for command in [command for command in rest if command not in images]:
        words = shlex.split(command)
        assert words[0] == "ocrpack"
        where = []
        if words[1] == "build":
            where = ["-o", machine.folder / "dist"]
        elif words[1] == "deploy":
            where = ["--port", machine.port, "--no-tag"]
        machine.run(*here(words[1:]), *where)
        if words[1] == "start":
            for image in images:
                argv = shlex.split(image.replace("8000", str(machine.port)))
                if argv[0] == "ocrpack":
                    machine.run(*here(argv[1:]))
                    continue
                answer = subprocess.run(argv, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
                assert '"text"' in answer


@pytest.mark.slow
def test_pip_installs_the_command_and_the_schema(tmp_path):
    from ocrpack.bundle import find_uv

    uv = find_uv()
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, tmp_path / "venv"], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run([uv, "pip", "install", "--quiet", "--python", python, REPOSITORY], check=True)
    shown = subprocess.run(
        [tmp_path / "venv" / "bin" / "ocrpack", "--version"], capture_output=True, text=True, check=True
    )
    assert shown.stdout.startswith("ocrpack ")
    subprocess.run([tmp_path / "venv" / "bin" / "ocrpack", "init", tmp_path / "new", "-q"], check=True)
    assert (tmp_path / "new" / "samples" / "invoice.png").exists()
    (schema,) = (tmp_path / "venv" / "lib").glob("python*/site-packages/ocrpack/descriptor/descriptor.schema.json")
    assert schema.read_bytes() == (REPOSITORY / "schemas" / "descriptor.schema.json").read_bytes()


def test_the_links_of_the_documents_lead_somewhere():
    for document in [
        REPOSITORY / "README.md",
        *(REPOSITORY / "docs").glob("*.md"),
        *REPOSITORY.glob("bundles/*/README.md"),
    ]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text("utf-8")):
            assert (document.parent / target).exists(), f"{document.name}: {target}"
