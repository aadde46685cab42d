"""From what validators say to findings that people can act on.

`jsonschema` finds almost everything; what a schema cannot state of a single value (PEP 440, a path that stays inside)
the model finds. Both end here, as a finding and the path of the value that it speaks of.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

from ocrpack.descriptor.format import values
from ocrpack.descriptor.source import JsonPath, Located, shown
from ocrpack.errors import Finding

if TYPE_CHECKING:
    from jsonschema import ValidationError
    from pydantic_core import ErrorDetails

MOST = 100
"""So many schema findings are told at once; a file with more of them is no descriptor at all."""

_TYPES = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}
_PATTERNS = {
    values.SLUG: ("lower-case letters, digits and single hyphens", "write a name such as my-ocr"),
    values.SHA256: ("64 lower-case hexadecimal digits", "take the digest from `sha256sum FILE`, or leave the key out"),
    values.PATH: ("a path with forward slashes", "write a relative path such as samples/page.png"),
    values.ENTRYPOINT: ("module:attribute", "write an entry point such as app:app"),
    values.ENVIRONMENT_NAME: ("letters, digits and underscores, no digit first", "write a name such as OCR_API_TOKEN"),
    values.URL_PATH: ("a path that starts with / and holds no space, ? or #", "write a path such as /ocr"),
}


def schema_findings(schema: dict[str, Any], value: object) -> list[Located]:
    """Return what the JSON Schema has against the value, `MOST` findings and one more at most."""
    from jsonschema import Draft202012Validator

    told: dict[JsonPath, Finding] = {}
    for error in Draft202012Validator(schema).iter_errors(value):
        for path, finding in _of_error(error):
            if path not in told or finding.code == "wrong-type":  # of one value the wrong type says it all
                told[path] = finding
            if len(told) > MOST:
                cut = Finding("too-many-findings", f"more than {MOST} findings", "mend these and look again")
                return [*islice(told.items(), MOST), ((), cut)]
    return list(told.items())


def did_you_mean(word: str, words: Iterable[str]) -> str | None:
    """Return the word of `words` that `word` may be a slip of the pen for."""
    near = {candidate.casefold(): candidate for candidate in words}
    found = difflib.get_close_matches(word.casefold()[:64], near, n=1, cutoff=0.6)
    return near[found[0]] if found else None


def _of_error(error: ValidationError) -> Iterator[Located]:
    path: JsonPath = tuple(error.absolute_path)
    wanted: Any = error.validator_value
    match error.validator:
        case "additionalProperties":
            yield from _unknown_keys(path, error)
        case "required":
            yield from _missing_keys(path, error)
        case "anyOf":
            yield from _best_branch(path, error)
        case "type":
            yield path, _wrong_type(_words_for(wanted), error.instance)
        case "enum":
            yield path, _not_allowed(wanted, error.instance)
        case "const":
            yield path, _not_allowed([wanted], error.instance)
        case "pattern":
            yield path, _off_pattern(wanted, error.instance)
        case _:
            yield path, _out_of_bounds(error)


def _parts(error: ValidationError) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the schema of an object and the object that fails it."""
    schema: Any = error.schema
    instance: Any = error.instance
    return schema, instance


def _unknown_keys(path: JsonPath, error: ValidationError) -> Iterator[Located]:
    schema, instance = _parts(error)
    known = list(schema.get("properties", ()))
    for pattern in schema.get("patternProperties", ()):
        expected, remedy = _PATTERNS[pattern]
        for key in instance:
            if not re.search(pattern, key):
                message = f"{shown(key)} is no name for an entry here"
                yield (*path, key), Finding("bad-name", message, remedy, expected=expected, got=shown(key))
        return
    for key in instance:
        if key in known:
            continue
        near = did_you_mean(key, known)
        remedy = f"did you mean {shown(near)}?" if near else "remove it; the keys known here are " + ", ".join(known)
        yield (*path, key), Finding("unknown-key", f"unknown key {shown(key)}", remedy, got=shown(key))


def _missing_keys(path: JsonPath, error: ValidationError) -> Iterator[Located]:
    schema, instance = _parts(error)
    known = schema["properties"]
    unknown = islice((key for key in instance if key not in known), MOST)
    misspelt = {did_you_mean(key, known) for key in unknown}
    for key in schema["required"]:
        if key in instance or key in misspelt:
            continue
        entry = known[key]
        example = f", for example {shown(key)}: {shown(entry['examples'][0])}" if "examples" in entry else ""
        yield (*path, key), Finding("missing-key", f"the key {shown(key)} is missing", f"add it{example}")


def _best_branch(path: JsonPath, error: ValidationError) -> Iterator[Located]:
    """Speak of the branch whose type fits; where none does, of all their types."""
    misfits = {inner.schema_path[0] for inner in error.context or () if inner.validator == "type" and not inner.path}
    for inner in error.context or ():
        if inner.schema_path[0] not in misfits:
            yield from _of_error(inner)
            return
    branches: Any = error.validator_value
    types = [branch["type"] for branch in branches]
    words = _words_for([name for name in types if not (name == "integer" and "number" in types)])
    yield path, _wrong_type(words.replace("a list", "a list of text"), error.instance)


def _words_for(types: str | list[str]) -> str:
    words = [_TYPES[name] for name in ([types] if isinstance(types, str) else types)]
    return " or ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def _wrong_type(expected: str, value: object) -> Finding:
    remedy = f"write {expected} here"
    if value is None:
        remedy = "leave the key out, or " + remedy
    elif isinstance(value, str) and "number" in expected and value.strip().isdigit():
        remedy = f"write {value.strip()[:20]} without quotes"
    elif isinstance(value, str) and value.casefold() in ("true", "false") and "true" in expected:
        remedy = f"write {value.casefold()} without quotes"
    elif isinstance(value, (str, int, float)) and not isinstance(value, bool) and expected == "a list":
        remedy = f"write [{shown(value)}]"
    elif isinstance(value, (int, float)) and expected == "text":
        remedy = f'write "{shown(value)}", in double quotes'
    return Finding(
        "wrong-type", f"expected {expected}, got {shown(value)}", remedy, expected=expected, got=shown(value)
    )


def _not_allowed(allowed: list[Any], value: object) -> Finding:
    expected = " or ".join(shown(choice) for choice in allowed)
    near = did_you_mean(value, allowed) if isinstance(value, str) and isinstance(allowed[0], str) else None
    remedy = f"did you mean {shown(near)}?" if near else f"write {expected}"
    message = f"expected {expected}, got {shown(value)}"
    return Finding("not-allowed", message, remedy, expected=expected, got=shown(value))


def _off_pattern(pattern: str, value: object) -> Finding:
    expected, remedy = _PATTERNS[pattern]
    return Finding("pattern", f"expected {expected}, got {shown(value)}", remedy, expected=expected, got=shown(value))


_BOUNDS = {
    "minimum": ("too-small", "{} or more"),
    "exclusiveMinimum": ("too-small", "more than {}"),
    "maximum": ("too-large", "{} or less"),
    "minLength": ("too-short", "at least {} character"),
    "maxLength": ("too-long", "at most {} characters"),
    "minItems": ("too-short", "at least {} entry"),
}


def _out_of_bounds(error: ValidationError) -> Finding:
    code, words = _BOUNDS[str(error.validator)]
    expected, got = words.format(error.validator_value), shown(error.instance)
    remedy = "write something here, or leave the key out" if code == "too-short" else f"write {expected}"
    return Finding(code, f"expected {expected}, got {got}", remedy, expected=expected, got=got)


def model_finding(error: ErrorDetails) -> Finding:
    """Return what the model has against a value that its schema lets through."""
    context, got = error.get("ctx", {}), shown(error["input"])
    if error["type"] == "string_pattern_mismatch":  # Python's $ lets a final line break pass, the model's does not
        return _off_pattern(context["pattern"], error["input"])
    expected, remedy = context.get("expected"), context.get("remedy", "see the descriptor's reference")
    code = error["type"] if "remedy" in context else "invalid"
    return Finding(code, f"{error['msg']}: {got}", remedy, expected=expected, got=got)
