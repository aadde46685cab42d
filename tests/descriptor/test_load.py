from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ocrpack.descriptor import load, load_source, parse
from ocrpack.errors import DescriptorError, Finding
from tests.patience import processor_seconds

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=5), inner), max_leaves=15
)


def refused(data: bytes) -> DescriptorError:
    with pytest.raises(DescriptorError) as caught:
        parse(data, "d.json")
    error = caught.value
    assert error.findings
    json.dumps(error.as_dict()).encode()
    str(error).encode()
    for finding in error.findings:
        f"{finding.where} {finding.message} {finding.remedy} {finding.got}".encode()
        assert len(finding.message) < 700
        assert finding.remedy
    return error


def only(data: bytes) -> Finding:
    error = refused(data)
    assert len(error.findings) == 1, error.findings
    return error.findings[0]


def test_a_sound_descriptor_is_read_and_frozen(folder):
    source = folder.load()
    assert source.warnings == ()
    assert source.folder == folder.path
    assert source.descriptor == load(folder.path) == load(folder.path / "descriptor.json")
    assert source.descriptor.model.weights[1].places == ("https://example.org/detect.onnx", "~/detect.onnx")
    assert source.descriptor.endpoint("ready", "health").path == "/healthz"
    assert str(source.where("model", "weights", 1, "source", 0)).startswith(f"{folder.path / 'descriptor.json'}:2")
    with pytest.raises(ValueError, match="frozen"):
        source.descriptor.port = 1


def test_what_a_descriptor_says_of_itself_reads_back(folder):
    descriptor = folder.load().descriptor
    assert parse(descriptor.as_json().encode(), "again") == descriptor
    assert "null" not in descriptor.as_json()


def test_a_missing_descriptor_says_what_to_do(tmp_path):
    for path in (tmp_path, tmp_path / "nothing", tmp_path / "nothing" / "descriptor.json"):
        with pytest.raises(DescriptorError) as caught:
            load(path)
        assert caught.value.exit_code == 10
        [finding] = caught.value.findings
        assert finding.code == "descriptor-missing"
        assert "ocrpack init" in finding.remedy


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "descriptor.json")
    with pytest.raises(DescriptorError) as caught:
        load(tmp_path)
    assert caught.value.findings[0].code == "descriptor-unreadable"


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="permissions bind ordinary users alone")
def test_an_unreadable_descriptor(folder):
    folder.save()
    (folder.path / "descriptor.json").chmod(0)
    assert [code for code, _ in folder.told()] == ["descriptor-unreadable"]


@pytest.mark.parametrize("name", ["a\0b", "x" * 5000])
def test_a_path_that_no_system_takes(name):
    with pytest.raises(DescriptorError) as caught:
        load(Path(name))
    assert caught.value.findings[0].code == "descriptor-unreadable"


def test_a_link_to_itself(tmp_path):
    (tmp_path / "descriptor.json").symlink_to("descriptor.json")
    with pytest.raises(DescriptorError) as caught:
        load(tmp_path)
    assert caught.value.findings[0].code == "descriptor-unreadable"


def test_fifty_megabytes_are_refused_without_reading(tmp_path):
    file = tmp_path / "descriptor.json"
    file.write_bytes(b'{"a": "' + b"x" * 50_000_000 + b'"}')
    with processor_seconds(0.5), pytest.raises(DescriptorError) as caught:
        load(tmp_path)
    [finding] = caught.value.findings
    assert (finding.code, finding.got) == ("descriptor-too-big", "50,000,009")


def test_a_bundle_s_descriptor_has_the_same_limit():
    assert only(b" " * 2_000_000).code == "descriptor-too-big"


@pytest.mark.parametrize("data", [b"", b"  \n", b"\xef\xbb\xbf"])
def test_an_empty_file(data):
    assert only(data).code == "descriptor-empty"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_other_widths(encoding):
    finding = only('{"name": "x"}'.encode(encoding))
    assert finding.code == "not-utf-8"
    assert "UTF-16" in finding.message


def test_latin_1_names_byte_line_and_column():
    finding = only('{"a": 1,\n "ä": "é"}'.encode().replace("é".encode(), b"\xe9"))
    assert finding.code == "not-utf-8"
    assert "byte 17 is 0xE9 ('é' in Latin-1)" in finding.message
    assert str(finding.where) == "d.json:2:8"


def test_a_byte_order_mark_hides_nothing():
    codes = [finding.code for finding in refused(b"\xef\xbb\xbf[]").findings]
    assert codes == ["byte-order-mark", "wrong-type"]
    codes = [finding.code for finding in refused(b"\xef\xbb\xbf[").findings]
    assert codes == ["byte-order-mark", "not-json"]


@pytest.mark.parametrize("data", [b"[]", b"1", b'"x"', b"null", b"true", b"1.5"])
def test_the_top_must_be_an_object(data):
    finding = only(data)
    assert (finding.code, finding.expected, str(finding.where)) == ("wrong-type", "an object", "d.json:1:1")


@pytest.mark.parametrize("opening", [b"[", b'{"x":', b'{"model":', b'{"app":[{"x":'])
def test_a_hundred_thousand_levels(opening):
    with processor_seconds(3):
        assert refused(opening * min(100_000, 1_000_000 // len(opening))).findings[-1].code == "too-deep"


@pytest.mark.parametrize(
    "extra",
    [
        {f"n{i}": 1 for i in range(30_000)},
        {"samples": [{}] * 30_000},
        {"env": {f"1{i}": "" for i in range(30_000)}},
        {"model": [[]] * 20_000},
    ],
)
def test_a_file_that_is_all_wrong_is_told_in_bounded_time(extra):
    with processor_seconds(10):
        error = refused(json.dumps({"schema_version": 1, **extra}).encode())
    assert len(error.findings) <= 101


def test_duplicates_do_not_hide_what_is_in_them(folder):
    folder.save()
    file = folder.path / "descriptor.json"
    file.write_text(file.read_text("utf-8").replace('"files"', '"port": 1, "port": 2, "files"'), "utf-8")
    with pytest.raises(DescriptorError) as caught:
        load_source(folder.path)
    assert [finding.code for finding in caught.value.findings] == ["duplicate-key"]


def test_an_unknown_key_and_a_missing_file_are_told_at_once(folder):
    folder.data["pyton"] = ">=3.11"
    folder.data["samples"][1]["imag"] = 1
    folder.data["samples"][1]["image"] = "samples/none.png"
    assert sorted(folder.told()) == [
        ("missing-file", "/samples/1/image"),
        ("unknown-key", "/pyton"),
        ("unknown-key", "/samples/1/imag"),
    ]


def test_places_hold_after_broken_entries(folder):
    """The checks see the list without its broken first entry; the pointers are those of the file."""
    folder.data["samples"].insert(0, {"image": 3})
    folder.data["samples"][2]["image"] = "samples/none.png"
    folder.data["model"]["weights"].insert(0, {"path": "x"})
    folder.data["model"]["weights"][2]["source"] = [7, "http://example.org/x"]
    assert sorted(folder.told()) == [
        ("insecure-source", "/model/weights/2/source/1"),
        ("missing-file", "/samples/2/image"),
        ("missing-key", "/model/weights/0/role"),
        ("wrong-type", "/model/weights/2/source/0"),
        ("wrong-type", "/samples/0/image"),
    ]


@pytest.mark.parametrize("key", ["schema_version", "name", "version", "model"])
def test_a_missing_required_key_does_not_stop_the_checks(folder, key):
    del folder.data[key]
    folder.data["samples"][0]["image"] = "none.png"
    assert sorted(folder.told()) == [("missing-file", "/samples/0/image"), ("missing-key", f"/{key}")]


def test_what_follows_from_a_finding_is_not_told_again(folder):
    folder.data["samples"] = 3  # no "there are no samples" besides
    folder.data["requirements"] = 4  # no "there is no requirements.txt" besides
    (folder.path / "requirements.txt").unlink()
    assert sorted(folder.told()) == [("wrong-type", "/requirements"), ("wrong-type", "/samples")]


def test_findings_come_in_the_order_of_the_file(folder):
    folder.data["version"] = "banana"
    folder.data["host"] = "a:1"
    folder.data["samples"][0]["image"] = "none.png"
    folder.data["nam"] = 1
    lines = [finding.where.line for finding in folder.findings()]
    assert lines == sorted(lines)
    assert len(lines) == 4


def test_one_error_is_the_message_and_several_are_counted(folder):
    folder.data["version"] = "banana"
    with pytest.raises(DescriptorError, match=r"descriptor\.json:5:14: not a version by PEP 440"):
        folder.load()
    folder.data["name"] = "A"
    with pytest.raises(DescriptorError, match="has 2 errors"):
        folder.load()


def test_warnings_come_along_with_errors(folder):
    folder.data["env"]["API_KEY"] = "0123456789abcdef"
    assert [finding.severity for finding in folder.findings()] == ["warning"]
    assert folder.load().warnings[0].code == "credential-in-env"
    folder.data["version"] = "banana"
    assert sorted(finding.severity for finding in folder.findings()) == ["error", "warning"]


@settings(max_examples=60)
@given(VALUES)
def test_any_json_is_read_or_refused_with_findings(value):
    refused(json.dumps(value).encode())


@given(st.binary(max_size=60))
def test_any_bytes_are_refused_with_findings(data):
    refused(data)


PATHS = [
    ("schema_version",), ("name",), ("version",), ("model",), ("model", "name"), ("model", "languages"), ("port",),
    ("model", "weights"), ("model", "weights", 0), ("model", "weights", 0, "path"), ("model", "weights", 1, "source"),
    ("model", "weights", 1, "source", 0), ("app",), ("app", "options"), ("app", "options", "psm"), ("app", "workers"),
    ("endpoints",), ("endpoints", 0, "path"), ("endpoints", 1, "method"), ("env",), ("env", "X"), ("secrets",),
    ("host",), ("secrets", 0), ("resources", "memory_mb"), ("samples",), ("samples", 0), ("samples", 1, "text"),
    ("python",), ("samples", 0, "text_file"), ("samples", 0, "max_cer"), ("files",), ("files", 0), ("requirements",),
    ("license",), ("app", "entrypoint"), ("resources", "cpus"), ("summary",), ("system_packages", 0, "library"),
    ("env", "a\n"),
]  # fmt: skip

ODD = st.sampled_from(
    ["", "a\n", "..", "/", "a:b", "a:b\n", ">=3,<2", "1.0", 0, -1, 1.0, 10**30, [], {}, [""], None, "\ud800"]
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.tuples(st.sampled_from(PATHS), VALUES | ODD), min_size=1, max_size=3))
def test_any_change_of_a_sound_descriptor_is_read_or_refused(folder, changes):
    """No value in any place leads to a traceback; what is read through reads back the same."""
    data = json.loads(json.dumps(folder.data))
    for path, value in changes:
        part = data
        try:
            for token in path[:-1]:
                part = part[token]
            part[path[-1]] = value
        except (KeyError, IndexError, TypeError):
            continue
    raw = json.dumps(data).encode()
    try:
        descriptor = parse(raw, "d.json")
    except DescriptorError:
        refused(raw)
    else:
        assert parse(descriptor.as_json().encode(), "again") == descriptor
    (folder.path / "descriptor.json").write_bytes(raw)
    try:
        load_source(folder.path)
    except DescriptorError as error:
        assert any(finding.severity == "error" for finding in error.findings)
        assert all(finding.where for finding in error.findings)
