from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from pydantic import TypeAdapter

from ocrpack import descriptor
from ocrpack.descriptor import json_schema
from ocrpack.descriptor.format.model import Part
from ocrpack.descriptor.format.values import path_fault

ROOT = Path(__file__).resolve().parents[2]
PARTS = [descriptor.Descriptor, *Part.__subclasses__()]
FIELDS = [(part, name) for part in dict.fromkeys(PARTS) for name in part.model_fields]


def tool():
    spec = importlib.util.spec_from_file_location("make_schema", ROOT / "tools" / "make_schema.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("part", "name"), FIELDS, ids=lambda value: getattr(value, "__name__", value))
def test_every_field_is_described_with_examples_that_hold(part, name):
    field = part.model_fields[name]
    assert field.description
    assert field.examples
    schema = json_schema()
    own = schema if part is descriptor.Descriptor else schema["$defs"][part.__name__]
    entry = own["properties"][field.alias or name]
    validator = Draft202012Validator({**entry, "$defs": schema["$defs"]})
    adapter = TypeAdapter(field.rebuild_annotation())
    for example in field.examples:
        assert list(validator.iter_errors(example)) == []
        adapter.validate_json(__import__("json").dumps(example))
    assert "default" not in entry or list(validator.iter_errors(entry["default"])) == []


def test_the_schema_is_one():
    schema = json_schema()
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"].endswith("2020-12/schema")
    objects = [schema, *schema["$defs"].values()]
    assert all(entry["additionalProperties"] is False for entry in objects)
    assert '"null"' not in __import__("json").dumps(schema)


def test_the_schema_file_and_the_reference_are_the_model_s():
    make_schema = tool()
    assert make_schema.SCHEMA.read_text("utf-8") == make_schema.schema_text()
    reference = make_schema.REFERENCE.read_text("utf-8")
    assert reference == make_schema.reference_text(reference)
    assert make_schema.main(["--check"]) == 0


def test_the_reference_names_every_field():
    reference = (ROOT / "docs" / "descriptor.md").read_text("utf-8")
    for part, name in FIELDS:
        assert f"| `{part.model_fields[name].alias or name}` |" in reference


def test_the_reference_names_every_finding_and_no_other():
    text = "".join(file.read_text("utf-8") for file in sorted((ROOT / "ocrpack" / "descriptor").rglob("*.py")))
    made = set(re.findall(r'(?:Finding|fault|broken_with|_refuse|duplicates)\(\s*"([a-z0-9-]+)"', text))
    made |= set(re.findall(r'\("(too-[a-z]+)"', text)) | {"invalid"}
    reference = (ROOT / "docs" / "descriptor.md").read_text("utf-8").partition("## Findings")[2]
    rows = [line.split("|")[1] for line in reference.splitlines() if line.startswith("| `")]
    assert {code for row in rows for code in re.findall("`([^`]+)`", row)} == made


def test_the_example_in_the_reference_is_sound():
    reference = (ROOT / "docs" / "descriptor.md").read_text("utf-8")
    example = re.search(r"```json\n(.*?)```", reference, re.DOTALL).group(1)
    assert descriptor.parse(example.encode(), "example").app.engine == "tesseract"


def test_all_of_the_door_opens_without_jsonschema():
    code = "import sys; from ocrpack.descriptor import *; sys.exit('jsonschema' in sys.modules or not load_source)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_defaults_are_a_service_that_answers():
    data = b'{"schema_version": 1, "name": "a", "version": "1", "model": {"name": "m", "version": "1"}}'
    found = descriptor.parse(data, "d")
    assert found.endpoint("inference").path == "/ocr"
    assert found.endpoint("ready", "health").path == "/readyz"
    assert found.endpoint("metrics") is None
    assert (found.host, found.port, found.app.entrypoint) == ("127.0.0.1", 8000, "app:app")


@pytest.mark.parametrize("path", ["/a", "C:/a", "c:a", "a/../b", "..", ".", "a//b", "a/", "a\\b", "a\0", "\ud800", ""])
def test_paths_that_name_no_file_of_the_folder(path):
    assert path_fault(path)


@pytest.mark.parametrize("path", ["a", "a b/ä.png", "...", "a..b", ".hidden", "dc/e:f"])
def test_paths_that_do(path):
    assert path_fault(path) is None
