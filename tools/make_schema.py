"""Write `schemas/descriptor.schema.json`, and the field reference in `docs/descriptor.md`, from the model.

Run it after a change of `ocrpack/descriptor/format/model.py`; with `--check` it writes nothing and fails where they
differ.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ocrpack.descriptor import json_schema

ROOT = Path(__file__).resolve().parents[1]
SCHEMA = ROOT / "schemas" / "descriptor.schema.json"
REFERENCE = ROOT / "docs" / "descriptor.md"
BEGIN, END = "<!-- fields: made by tools/make_schema.py -->", "<!-- end of fields -->"

ORDER = ("Model", "Weight", "App", "Limits", "Tls", "Endpoint", "SystemPackage", "Resources", "Hooks", "Sample")
AT = {
    "Model": "model",
    "Weight": "model.weights[]",
    "App": "app",
    "Limits": "app.limits",
    "Tls": "app.tls",
    "Endpoint": "endpoints[]",
    "SystemPackage": "system_packages[]",
    "Resources": "resources",
    "Hooks": "hooks",
    "Sample": "samples[]",
}


def schema_text() -> str:
    """Return the text of the schema file."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


def reference_text(current: str) -> str:
    """Return the reference with its field tables made anew."""
    before, _, rest = current.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{fields_text()}{END}{after}"


def fields_text() -> str:
    """Return a table for each part of the descriptor."""
    schema = json_schema()
    parts = [("The descriptor", schema), *((f"`{AT[name]}`", schema["$defs"][name]) for name in ORDER)]
    return "".join(f"\n### {title}\n\n{part['description']}\n\n{''.join(_table(part))}\n" for title, part in parts)


def _table(part: dict[str, Any]) -> Iterator[str]:
    yield "| key | value | default | meaning |\n|---|---|---|---|\n"
    for name, field in part["properties"].items():
        if name in part.get("required", ()):
            default = "**required**"
        elif "$ref" in field:
            default = "each key's default"
        else:
            default = _code(field["default"]) if "default" in field else ""
        meaning = " ".join(field["description"].split())
        example = _code(field["examples"][0])
        yield f"| `{name}` | {_kind(field)} | {default} | {meaning} For example {example}. |\n"


def _code(value: object) -> str:
    return f"`{json.dumps(value)}`"


def _kind(field: dict[str, Any]) -> str:
    if "anyOf" in field:
        return " or ".join(_kind(branch) for branch in field["anyOf"])
    if "enum" in field:
        return ", ".join(_code(value) for value in field["enum"])
    if "const" in field:
        return _code(field["const"])
    if "$ref" in field:
        return f"an object, see `{AT[field['$ref'].rpartition('/')[2]]}`"
    if field["type"] == "array":
        return f"list of: {_kind(field['items'])}"
    if field["type"] == "object":
        values = field.get("additionalProperties") or next(iter(field["patternProperties"].values()))
        return f"an object of: {_kind(values)}"
    name = {"string": "text", "integer": "whole number", "boolean": "`true`, `false`"}.get(field["type"], field["type"])
    return " ".join([name, *_bounds(field)])


def _bounds(field: dict[str, Any]) -> Iterator[str]:
    low, high = field.get("minimum"), field.get("maximum")
    if low is not None and high is not None:
        yield f"{low} to {high}"
    elif low is not None:
        yield f"from {low}"
    elif "exclusiveMinimum" in field:
        yield f"above {field['exclusiveMinimum']}" + (f", to {high}" if high is not None else "")
    if "maxLength" in field:
        yield f"up to {field['maxLength']} characters"


def main(arguments: list[str]) -> int:
    """Write both files, or with `--check` tell which of them is stale."""
    wanted = {SCHEMA: schema_text(), REFERENCE: reference_text(REFERENCE.read_text("utf-8"))}
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text("utf-8") != text]
    for path in stale:
        print(
            f"{path.relative_to(ROOT)} {'is stale: run tools/make_schema.py' if '--check' in arguments else 'written'}"
        )
        if "--check" not in arguments:
            path.parent.mkdir(exist_ok=True)
            path.write_text(wanted[path], "utf-8", newline="\n")
    return 1 if stale and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
