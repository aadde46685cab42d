from __future__ import annotations

import json
import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ocrpack.descriptor.source import pointer, scan, shown
from ocrpack.errors import DescriptorError, Finding
from tests.patience import processor_seconds

SCALARS = st.none() | st.booleans() | st.integers(-(2**62), 2**62) | st.floats(-1e15, 1e15) | st.text(max_size=8)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=5), inner), max_leaves=20
)


def refused(text: str) -> Finding:
    with pytest.raises(DescriptorError) as caught:
        scan(text, "f.json")
    assert caught.value.exit_code == 10
    return caught.value.findings[-1]


@given(VALUES, st.sampled_from([None, 0, 2, "\t"]), st.booleans())
def test_reads_what_the_standard_library_writes(value, indent, ascii_only):
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    document = scan(text, "f")
    assert document.value == json.loads(text)
    hard = [finding.code for _, finding in document.faults if finding.code not in ("nul-character",)]
    assert hard == []


@given(st.text(alphabet='{}[]:,"\\ \n01.-+eEtrufalsn\x00\x1f\ud800aé', max_size=40))
@example('{"a":1,}')
@example("[1.]")
@example("-")
@example("1e5")
@example("[1 2]")
def test_agrees_with_the_standard_library_on_what_json_is(text):
    def no_constant(name: str) -> float:
        raise ValueError(name)

    try:
        expected = json.loads(text, parse_constant=no_constant)
    except ValueError:
        assert refused(text).where is not None
    else:
        document = scan(text, "f")
        if not document.faults:
            assert document.value == expected


@given(VALUES, st.integers(0, 3))
def test_every_value_and_key_is_where_it_says(value, indent):
    text = json.dumps(value, indent=indent or None, ensure_ascii=False)
    document = scan(text, "f")
    lines = text.split("\n")

    def look(part, path):
        where = document.where(path)
        rest = "\n".join(lines[where.line - 1 :])[where.column - 1 :]
        assert json.JSONDecoder().raw_decode(rest)[0] == part
        if isinstance(part, dict):
            for key, entry in part.items():
                at = document.where((*path, key), key=True)
                rest = "\n".join(lines[at.line - 1 :])[at.column - 1 :]
                assert json.JSONDecoder().raw_decode(rest)[0] == key
                look(entry, (*path, key))
        elif isinstance(part, list):
            for index, entry in enumerate(part):
                look(entry, (*path, index))

    look(value, ())


def test_places_count_from_one_in_characters_not_bytes():
    document = scan('{\n  "ä": "ö", "b": [1,\r\n\t22]\n}', "f")
    assert str(document.where(("ä",))) == "f:2:8"
    assert str(document.where(("b",), key=True)) == "f:2:13"
    assert str(document.where(("b", 1))) == "f:3:2"
    assert document.where(("b", 1)).pointer == "/b/1"


def test_what_is_absent_stands_where_its_parent_does():
    document = scan('{"a": {"b": 1}}', "f")
    assert str(document.where(("a", "c"), key=True)) == "f:1:7"
    assert document.where(("a", "c")).pointer == "/a/c"
    assert str(document.where(("x", 0, "y"))) == "f:1:1"


def test_a_pointer_is_escaped_and_never_commands_a_terminal():
    assert pointer(("a/b~c", 0)) == "/a~1b~0c/0"
    document = scan('{"\\u001b[31m\\ud800": 1}', "f")
    where = document.where(("\x1b[31m\ud800",))
    assert where.pointer == "/\\u001b[31m\\ud800"


@pytest.mark.parametrize(
    ("text", "place", "expected", "remedy"),
    [
        ("", "1:1", "a value", "write"),
        ("{", "1:2", "a key", "close the '{' that opens at line 1, column 1"),
        ('{"a": 1,\n}', "1:8", "no comma", "remove the comma"),
        ("[1,]", "1:3", "no comma", "remove the comma"),
        ("{'a': 1}", "1:2", "double quotes", "double quotes"),
        ("{\"a\": 'b'}", "1:7", "a value", "double quotes"),
        ('{"a": 1\n "b": 2}', "2:2", "a comma", "comma"),
        ('{"a" 1}', "1:6", "a colon", "colon"),
        ('{"a": True}', "1:7", "a JSON value", "true"),
        ('{"a": None}', "1:7", "a JSON value", "null"),
        ('{"a": x}', "1:7", "a value", "double quotes"),
        ("{a: 1}", "1:2", "a key", "double quotes"),
        ('{"a": 1} // b', "1:10", "the end of the file", "remove"),
        ('{ // b\n"a": 1}', "1:3", "a key", "no comments"),
        ("# x", "1:1", "a value", "no comments"),
        ("[1, 2", "1:6", "a comma or ']'", "close the '['"),
        ('{"a": "b\n"}', "1:9", "closing double quote", "line 1, column 7"),
        ('{"a": "b', "1:9", "closing double quote", "line 1, column 7"),
        ('{"a": "C:\\Users"}', "1:10", "escape", "forward slashes"),
        ('{"a": "\t"}', "1:8", "text", "\\u0009"),
        ("{}}", "1:3", "the end of the file", "remove"),
        ("01", "1:2", "the end of the file", "remove"),
        ("-x", "1:1", "a value", ""),
    ],
)
def test_broken_json_says_where_and_what_was_expected(text, place, expected, remedy):
    finding = refused(text)
    assert (finding.code, str(finding.where)) == ("not-json", f"f.json:{place}")
    assert expected in (finding.expected or "")
    assert remedy in finding.remedy
    assert finding.got


def test_duplicate_keys_name_both_places():
    document = scan('{"a": 1,\n "b": {"c": 1, "c": 2},\n "a": 3}', "f")
    [(inner, first), (outer, second)] = document.faults
    assert (inner, outer) == (("b", "c"), ("a",))
    assert str(first.where) == "f:2:16"
    assert "line 2, column 8" in first.message
    assert str(second.where) == "f:3:2"
    assert "line 1, column 2" in second.message
    assert document.value == {"a": 3, "b": {"c": 2}}
    assert str(document.where(("a",))) == "f:3:7"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("NaN", "not-a-number"),
        ("-Infinity", "not-a-number"),
        ("1e999", "number-out-of-range"),
        ("9" * 5000, "number-out-of-range"),
        ("-" + "9" * 400, "number-out-of-range"),
        ("1" + "0" * 100_000, "number-out-of-range"),
        ('"\\u0000"', "nul-character"),
        ('"\\ud83d"', "lone-surrogate"),
    ],
)
def test_what_no_descriptor_may_hold_is_a_fault_with_its_place(text, code):
    document = scan(f'{{"a": [0, {text}], "b": true}}', "f")
    [(path, finding)] = document.faults
    assert (path, finding.code, str(finding.where)) == (("a", 1), code, "f:1:11")
    assert document.value["b"] is True
    [(path, finding)] = scan(text, "f").faults
    assert path == ()


def test_whole_numbers_are_whole_however_written():
    values = scan("[1.0, 1e3, -0.0, 1.5, 9007199254740993, true]", "f").value
    assert values == [1, 1000, 0, 1.5, 2**53 + 1, True]
    assert [type(value) for value in values] == [int, int, int, float, int, bool]
    assert math.isfinite(values[3])


def test_surrogate_pairs_are_one_character():
    assert scan('"\\ud83d\\ude00"', "f").value == "😀"


@pytest.mark.parametrize("opening", ["[", '{"a":', '[{"a":'])
def test_deep_nesting_is_refused_at_once(opening):
    with processor_seconds(2):
        assert refused(opening * 100_000).code == "too-deep"


def test_deep_nesting_does_not_recurse_where_it_is_allowed():
    document = scan("[" * 100_000 + "]" * 100_000, "f", max_depth=100_000, max_values=200_000)
    assert document.where((0,) * 5).column == 6


def test_too_many_values_are_refused():
    assert refused("[" + "0," * 60_000 + "0]").code == "too-many-values"


@given(st.text(max_size=300) | VALUES)
def test_what_is_shown_is_short_and_printable(value):
    text = shown(value)
    assert text.isprintable()
    assert len(text) < 600


def test_what_is_shown_is_cut():
    assert shown("x" * 10_000) == '"' + "x" * 60 + '…" (10000 characters)'
    assert shown({"a": 1}) == "an object of 1 keys"
    assert shown([]) == "[]"
