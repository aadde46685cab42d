from __future__ import annotations

import pytest

from ocrpack.descriptor.check import looks_secret
from tests.patience import processor_seconds


def put(data, path, value):
    for token in path[:-1]:
        data = data[token] if isinstance(data, list) else data.setdefault(token, {})
    data[path[-1]] = value


@pytest.mark.parametrize(
    ("path", "value", "code", "at"),
    [
        (("host",), "127.0.0.1:8000", "bad-host", "/host"),
        (("host",), "[::1]:80", "bad-host", "/host"),
        (("host",), "http://example.org", "bad-host", "/host"),
        (("host",), "a b", "bad-host", "/host"),
        (("env", "PORT"), "9000", "port-twice", "/env/PORT"),
        (("endpoints", 1), {"path": "/ocr", "method": "POST", "purpose": "page"}, "duplicate-endpoint", "/endpoints/1"),
        (("endpoints", 0, "method"), "GET", "endpoint-method", "/endpoints/0/method"),
        (("endpoints", 1, "method"), "POST", "endpoint-method", "/endpoints/1/method"),
        (("endpoints", 0, "purpose"), "page", "no-inference", "/endpoints"),
        (("endpoints", 1, "purpose"), "page", "no-probe", "/endpoints"),
        (("secrets",), ["A", "A"], "duplicate-secret", "/secrets/1"),
        (("secrets",), ["OMP_THREAD_LIMIT"], "secret-in-env", "/secrets/0"),
        (("env", "DB_PASSWORD"), "correct horse", "credential-in-env", "/env/DB_PASSWORD"),
        (("python",), ">=4", "python-unmet", "/python"),
        (("python",), ">=3.13,<3.12", "python-unmet", "/python"),
        (("python",), "<3", "python-unmet", "/python"),
        (("python",), "==3.11", "python-narrow", "/python"),
        (("resources", "memory_recommended_mb"), 100, "memory", "/resources/memory_recommended_mb"),
        (("samples",), [], "no-samples", "/samples"),
        (("samples", 1, "image"), "samples/page.png", "duplicate-sample", "/samples/1/image"),
        (("samples", 1), {"image": "samples/línea dos.png"}, "no-truth", "/samples/1"),
        (("samples", 0, "text"), "x", "truth-twice", "/samples/0/text_file"),
        (("samples", 1, "text"), " \n", "empty-truth", "/samples/1/text"),
        (("samples", 1, "max_cer"), 1, "loose-bound", "/samples/1/max_cer"),
        (("samples", 1, "max_seconds"), 500, "late-bound", "/samples/1/max_seconds"),
        (("system_packages", 0), {"name": "x"}, "no-evidence", "/system_packages/0"),
        (("model", "weights", 1, "path"), "Weights/ENG.traineddata", "duplicate-weight", "/model/weights/1/path"),
        (("model", "weights", 1, "source"), "http://example.org/x", "insecure-source", "/model/weights/1/source"),
        (("model", "weights", 1, "source"), ["ftp://e.org/x"], "insecure-source", "/model/weights/1/source/0"),
        (("model", "weights", 1, "source"), "https:///x", "bad-source", "/model/weights/1/source"),
        (("model", "weights", 1, "source"), "https://[x/y", "bad-source", "/model/weights/1/source"),
        (("model", "weights", 1, "source"), "wheel:rapidocr/a.onnx", "bad-source", "/model/weights/1/source"),
        (("model", "weights", 1, "source"), ["x", "wheel:a==1"], "bad-source", "/model/weights/1/source/1"),
        (("model", "languages"), ["eng", "deu"], "no-language-weight", "/model/languages/1"),
        (("model", "languages"), ["eng+deu"], "no-language-weight", "/model/languages/0"),
    ],
)
def test_what_must_fit_together(folder, path, value, code, at):
    put(folder.data, path, value)
    assert (code, at) in folder.told()
    finding = next(finding for finding in folder.findings() if finding.code == code)
    assert finding.remedy
    assert finding.where.line >= 1


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("host",), "0.0.0.0"),
        (("host",), "::1"),
        (("host",), "localhost"),
        (("host",), "ocr.example.org"),
        (("env", "PORT"), "8000"),
        (("python",), "==3.11.*"),
        (("python",), ">=3.11,!=3.12.1"),
        (("python",), ">=3.15"),
        (("model", "weights", 1, "source"), "C:\\models\\x.onnx"),
        (("endpoints", 1, "purpose"), "ready"),
        (("env", "TOKENIZERS_PARALLELISM"), "false-ish-value"),
        (("env", "SECRET_FILE"), "/run/secrets/x"),
    ],
)
def test_what_is_sound(folder, path, value):
    put(folder.data, path, value)
    assert folder.findings() == []


def test_a_fetched_weight_needs_its_digest(folder):
    del folder.data["model"]["weights"][1]["sha256"]
    finding = folder.only()
    assert (finding.code, finding.where.pointer) == ("no-digest", "/model/weights/1/sha256")
    assert "sha256sum" in finding.remedy


def test_languages_are_tesseract_s_business_alone(folder):
    folder.data["model"]["languages"] = ["latin"]
    folder.data["app"]["engine"] = "rapidocr"
    assert folder.findings() == []


def test_two_probes_of_one_kind(folder):
    folder.data["endpoints"].append({"path": "/health2", "purpose": "health"})
    assert folder.told() == [("duplicate-purpose", "/endpoints/2/purpose")]
    folder.data["endpoints"][2]["purpose"] = "inference"
    folder.data["endpoints"][2]["method"] = "POST"
    assert folder.told() == []


def test_settings_without_effect_are_warnings(folder):
    folder.data["app"].update(interface="asgi", threads=4, workers=2)
    folder.data["resources"]["gpu"] = True
    findings = folder.findings()
    assert {finding.code for finding in findings} == {"threads-unused", "gpu-workers"}
    assert {finding.severity for finding in findings} == {"warning"}


def test_no_python_needed_here_is_said(folder):
    folder.data["python"] = ">=4"
    assert "the one that runs ocrpack does not matter" in folder.only().message


def test_a_credential_is_never_shown(folder):
    folder.data["env"]["X"] = "ghp_" + "a1B2" * 9
    finding = folder.only()
    assert (finding.code, finding.severity) == ("credential-in-env", "warning")
    assert "ghp_" not in f"{finding}"
    folder.data["secrets"] = ["X"]
    assert folder.told() == [("secret-in-env", "/secrets/0")]
    assert "ghp_" not in f"{folder.only()}"


@pytest.mark.parametrize(
    ("name", "value", "secret"),
    [
        ("OCR_API_KEY", "0123456789", True),
        ("X", "postgres://user:hunter22@db/x", True),
        ("X", "AKIAABCDEFGHIJKLMNOP", True),
        ("X", "-----BEGIN RSA PRIVATE KEY-----", True),
        ("OCR_API_KEY", "", False),
        ("OCR_API_KEY", "$KEY_FROM_HOST", False),
        ("MONKEY", "0123456789", False),
        ("X", "https://example.org:80/a@b", False),
        ("TESSDATA_PREFIX", "/usr/share/tessdata", False),
    ],
)
def test_what_looks_like_a_credential(name, value, secret):
    assert looks_secret(name, value) is secret


def test_a_long_value_is_looked_at_in_bounded_time():
    with processor_seconds(1):
        assert not looks_secret("X", "eyJ" * 300_000)


@pytest.mark.parametrize(
    ("broken", "silent"),
    [
        ((("port",), "x"), (("env", "PORT"), "9000")),
        ((("model", "weights", 0, "role"), "x"), (("model", "languages"), ["eng"])),
        ((("resources", "memory_mb"), "x"), (("resources", "memory_recommended_mb"), 1)),
        ((("app", "interface"), "x"), (("app", "threads"), 3)),
    ],
)
def test_a_check_that_rests_on_a_bad_value_is_silent(folder, broken, silent):
    put(folder.data, *broken)
    put(folder.data, *silent)
    assert len(folder.findings()) == 1
