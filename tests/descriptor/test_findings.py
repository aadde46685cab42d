from __future__ import annotations

import pytest


def put(data, path, value):
    for token in path[:-1]:
        data = data[token]
    data[path[-1]] = value


@pytest.mark.parametrize(
    ("path", "value", "code", "message", "remedy"),
    [
        (("port",), "8000", "wrong-type", 'expected a whole number, got "8000"', "8000 without quotes"),
        (("port",), True, "wrong-type", "a whole number, got true", "whole number"),
        (("port",), 8000.5, "wrong-type", "a whole number, got 8000.5", ""),
        (("port",), 0, "too-small", "1 or more, got 0", "1 or more"),
        (("port",), 99999, "too-large", "65535 or less, got 99999", ""),
        (("schema_version",), 2, "not-allowed", "expected 1, got 2", "write 1"),
        (("schema_version",), True, "wrong-type", "got true", ""),
        (("schema_version",), "1", "wrong-type", 'got "1"', "without quotes"),
        (("name",), "My App", "pattern", "lower-case letters, digits and single hyphens", "my-ocr"),
        (("name",), "a" * 64, "too-long", "at most 63 characters", ""),
        (("name",), "demo\n", "pattern", "lower-case", "my-ocr"),
        (("name",), "ü", "pattern", "lower-case", ""),
        (("version",), "banana", "bad-version", "not a version by PEP 440", "1.0.0"),
        (("version",), "9" * 100, None, "", ""),
        (("version",), "1.0\n", None, "", ""),
        (("version",), "", "too-short", "at least 1 character", ""),
        (("python",), "3.11", "bad-specifier", "not a version specifier", ">=3.11"),
        (("license",), None, "wrong-type", "expected text, got null", "leave the key out"),
        (("model", "languages"), "eng", "wrong-type", 'expected a list, got "eng"', '["eng"]'),
        (("model", "version"), 4, "wrong-type", "expected text, got 4", '"4"'),
        (("model", "weights", 0, "role"), "langage", "not-allowed", '"processor", got "langage"', 'mean "language"?'),
        (("model", "weights", 0, "role"), "Language", "not-allowed", "", 'did you mean "language"?'),
        (("model", "weights", 0, "role"), "zzz", "not-allowed", "", "write "),
        (("model", "weights", 1, "sha256"), "ABC", "pattern", "64 lower-case hexadecimal", "sha256sum"),
        (("model", "weights", 1, "source"), 3, "wrong-type", "text or a list of text, got 3", ""),
        (("model", "weights", 1, "source"), [], "too-short", "at least 1 entry", ""),
        (("model", "weights", 1, "source"), "", "too-short", "at least 1 character", ""),
        (("app", "workers"), 0, "too-small", "1 or more", ""),
        (("app", "entrypoint"), "app", "pattern", "module:attribute", "app:app"),
        (("app", "boot_seconds"), 0, "too-small", "more than 0", ""),
        (("app", "options", "x"), None, "wrong-type", "text, a number, true or false or a list of text", "leave"),
        (("app", "options", "x"), {}, "wrong-type", "got {}", ""),
        (("endpoints", 1, "path"), "healthz", "pattern", "starts with /", ""),
        (("endpoints", 1, "method"), "get", "not-allowed", "", 'did you mean "GET"?'),
        (("env", "1X"), "1", "bad-name", '"1X"', "OCR_API_TOKEN"),
        (("env", "X"), 1, "wrong-type", "expected text, got 1", '"1"'),
        (("secrets", 0), "no-dash", "pattern", "letters, digits and underscores", ""),
        (("samples", 0, "max_cer"), 1.01, "too-large", "1 or less", ""),
        (("resources", "gpu"), "false", "wrong-type", "true or false", "false without quotes"),
        (("requirements",), "a\\b.txt", "pattern", "forward slashes", ""),
        (("requirements",), "/etc/passwd", "unsafe-path", "is absolute", "relative path"),
        (("requirements",), "C:/x.txt", "unsafe-path", "is absolute", ""),
        (("requirements",), "a/../../x.txt", "unsafe-path", "'..'", ""),
        (("requirements",), "./x.txt", "unsafe-path", "'.'", ""),
        (("requirements",), "a//x.txt", "unsafe-path", "empty", ""),
        (("requirements",), "x\u0000.txt", "nul-character", "NUL", ""),
    ],
)
def test_each_fault_has_one_finding_with_its_place(folder, path, value, code, message, remedy):
    put(folder.data, path, value)
    if code is None:
        folder.load()
        return
    finding = folder.only()
    assert finding.code == code
    assert message in finding.message
    assert remedy in finding.remedy
    assert finding.where.pointer == "/" + "/".join(str(token) for token in path)
    assert finding.where.line > 1


@pytest.mark.parametrize("value", [8000.0, 8e3])
def test_a_whole_number_may_be_written_with_a_point(folder, value):
    folder.save()
    file = folder.path / "descriptor.json"
    text = file.read_text("utf-8").replace('"files"', f'"port": {value!r}, "files"')
    text = text.replace('"schema_version": 1', '"schema_version": 1.0')
    file.write_text(text, "utf-8")
    from ocrpack.descriptor import load

    assert load(file).port == 8000


def test_versions_are_kept_in_their_normal_form(folder):
    folder.data["version"] = "V1.0-RC1+CU128"
    assert folder.load().descriptor.version == "1.0rc1+cu128"


def test_an_unknown_key_is_told_at_the_key_with_a_guess(folder):
    folder.data["model"]["wieghts"] = []
    finding = folder.only()
    assert (finding.code, finding.where.pointer) == ("unknown-key", "/model/wieghts")
    assert finding.remedy == 'did you mean "weights"?'
    line = (folder.path / "descriptor.json").read_text("utf-8").split("\n")[finding.where.line - 1]
    assert line[finding.where.column - 1 :].startswith('"wieghts"')


def test_an_unknown_key_like_no_other_lists_those_there_are(folder):
    folder.data["endpoints"][0]["zzzzzz"] = 1
    assert "path, method, purpose" in folder.only().remedy


def test_a_misspelt_required_key_is_one_finding(folder):
    folder.data["samples"][0]["imgae"] = folder.data["samples"][0].pop("image")
    assert folder.told() == [("unknown-key", "/samples/0/imgae")]


def test_missing_keys_are_told_each_with_an_example(folder):
    del folder.data["name"], folder.data["version"]
    findings = folder.findings()
    assert [(finding.code, finding.where.pointer) for finding in findings] == [
        ("missing-key", "/name"),
        ("missing-key", "/version"),
    ]
    assert '"name": "tesseract"' in findings[0].remedy
    assert str(findings[0].where).endswith("descriptor.json:1:1")


def test_huge_values_are_never_dumped(folder):
    folder.data["name"] = "A" * 500_000
    folder.data["summary"] = ["x" * 100_000]
    for finding in folder.findings():
        assert len(finding.message) < 300
        assert len(finding.got) < 100


def test_more_than_a_hundred_findings_are_cut(folder):
    folder.data["samples"] = [{"image": i} for i in range(500)]
    findings = folder.findings()
    assert len(findings) == 101
    assert "too-many-findings" in {finding.code for finding in findings}
