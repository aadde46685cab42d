"""The outputs stand in the app, in the client, in the command line and in the documentation: everywhere the same."""

from __future__ import annotations

import os
import re
import subprocess
import sys

from ocrpack.app.outputs import FORMATS
from ocrpack.client import Output
from tests.conftest import REPOSITORY


def test_the_client_knows_the_outputs_of_the_app():
    assert {output.value: output.extension for output in Output} == {
        name: form.extension for name, form in FORMATS.items()
    }
    for output in Output:
        assert FORMATS[output].mimetype.partition(";")[0] in output.media_types


def test_the_command_line_offers_them():
    environment = {**os.environ, "COLUMNS": "200"}
    command = [sys.executable, "-m", "ocrpack", "ocr", "--help"]
    text = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60).stdout
    (offered,) = re.findall(r"--output\s+<?\[?([a-z|]+)", text)
    assert set(offered.split("|")) == set(Output)


def test_the_documentation_names_them():
    assert set(re.findall(r"`(\w+)`", cell("api.md", "output"))) == set(Output)
    named = re.findall(r"`(?:page\.png\.ocr)?\.(\w+)`", cell("client.md", "--beside"))
    assert set(named) == {output.extension for output in Output}


def cell(document, name):
    """Return what a document's table has beside the name of an option."""
    text = (REPOSITORY / "docs" / document).read_text("utf-8")
    (found,) = re.findall(rf"^\| `{name}` \|(.*?)\|", text, re.MULTILINE)
    return found
