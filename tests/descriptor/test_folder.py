from __future__ import annotations

import os

import pytest

links = pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")


@pytest.mark.parametrize(
    ("name", "at"),
    [
        ("app.py", "/app/entrypoint"),
        ("requirements.txt", "/requirements"),
        ("weights/eng.traineddata", "/model/weights/0"),
        ("samples/page.png", "/samples/0/image"),
        ("samples/page.txt", "/samples/0/text_file"),
    ],
)
def test_a_missing_file(folder, name, at):
    (folder.path / name).unlink()
    assert folder.told() == [("missing-file", at)]


def test_a_missing_file_has_a_near_name(folder):
    folder.data["samples"][0]["image"] = "samples/pgae.png"
    assert folder.only().remedy == 'did you mean "page.png"?'
    folder.data["samples"][0]["image"] = "samples/Page.png"
    assert folder.only().code == "missing-file"


def test_a_folder_or_an_empty_file_in_place_of_an_image(folder):
    (folder.path / "samples/page.png").unlink()
    (folder.path / "samples/page.png").mkdir()
    folder.write("samples/línea dos.png", "")
    assert folder.told() == [("missing-file", "/samples/0/image"), ("empty-file", "/samples/1/image")]


def test_truths_that_cannot_be_compared(folder):
    folder.write("samples/page.txt", " \n")
    assert folder.told() == [("empty-truth", "/samples/0/text_file")]
    folder.write("samples/page.txt", b"\xe4")
    assert folder.told() == [("not-utf-8", "/samples/0/text_file")]
    folder.write("samples/page.txt", "x" * 1_100_000)
    assert folder.told() == [("truth-too-big", "/samples/0/text_file")]


def test_a_name_too_long_for_the_system(folder):
    folder.data["samples"][0]["image"] = "x" * 900
    assert folder.told() == [("missing-file", "/samples/0/image")]


@pytest.mark.parametrize(
    ("entrypoint", "file", "told"),
    [
        ("service:app", None, [("missing-file", "/app/entrypoint")]),
        ("service:app", "service/__init__.py", []),
        ("service.web:app", "service/__init__.py", [("missing-file", "/app/entrypoint")]),
        ("service.web:app", "service/web.py", []),
        ("service.web:app", "service/web/__init__.py", []),
        ("ocrpack.app:create_app()", None, []),
    ],
)
def test_the_app_s_module(folder, entrypoint, file, told):
    folder.data["app"]["entrypoint"] = entrypoint
    if file:
        folder.write(file, "app = 1\n")
    assert folder.told() == told


def test_a_build_command_may_yet_make_what_is_missing(folder):
    (folder.path / "weights/eng.traineddata").unlink()
    folder.data["files"].append("made/")
    folder.data["build_commands"] = ["make"]
    assert folder.load().descriptor.build_commands == ("make",)
    assert [code for code, _ in folder.told()] == ["missing-file", "no-match"]


@links
def test_links_stay_in_the_folder(folder):
    outside = folder.path.parent / "secret.txt"
    outside.write_text("secret")
    (folder.path / "samples/page.txt").unlink()
    (folder.path / "samples/page.txt").symlink_to("../requirements.txt")
    (folder.path / "helpers/inside.py").symlink_to("clean.py")
    source = folder.load()
    assert "helpers/inside.py" in source.files
    (folder.path / "samples/page.txt").unlink()
    (folder.path / "samples/page.txt").symlink_to(outside)
    (folder.path / "helpers/outside.py").symlink_to(outside)
    (folder.path / "helpers/broken.py").symlink_to("nowhere")
    assert sorted(folder.told()) == [
        ("leaves-folder", "/samples/0/text_file"),
        ("not-packable", "/files"),
        ("not-packable", "/files"),
    ]


@links
def test_a_whole_folder_that_is_linked_from_outside(folder):
    outside = folder.path.parent / "outside"
    outside.mkdir()
    (outside / "x.py").touch()
    (folder.path / "helpers/more").symlink_to(outside)
    assert folder.told() == [("not-packable", "/files")]


@links
def test_links_in_a_circle_end(folder):
    (folder.path / "helpers/up").symlink_to("..")
    (folder.path / "helpers/self").symlink_to(".")
    assert folder.findings() == []


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_not_packed(folder):
    os.mkfifo(folder.path / "helpers/pipe")
    assert folder.told() == [("not-packable", "/files")]


@pytest.mark.parametrize(
    ("weight", "other"),
    [
        ("descriptor.json", "descriptor.json"),
        ("Manifest.json", "manifest.json"),
        ("setup.md", "SETUP.md"),
        ("requirements.txt", "requirements.txt"),
        ("APP.py", "app.py"),
        ("helpers", "helpers/clean.py"),
        ("app.py/x", "app.py"),
        ("ocrpack/app/x", "ocrpack"),
        ("samples/PAGE.png", "samples/page.png"),
    ],
)
def test_a_weight_meets_another_file(folder, weight, other):
    folder.data["model"]["weights"][1]["path"] = weight
    finding = folder.only()
    assert (finding.code, finding.where.pointer) == ("collision", "/model/weights/1/path")
    assert f'"{other}"' in finding.message


def test_one_file_under_one_name_is_no_collision(folder):
    folder.data["files"] = ["*"]
    assert folder.findings() == []


def test_a_sample_that_is_a_weight_s_source(folder):
    folder.data["model"]["weights"][0]["source"] = "/elsewhere"
    folder.data["files"].append("weights/")
    assert folder.told() == [("collision", "/model/weights/0/path")]


def test_names_that_differ_in_case_alone(folder):
    folder.write("helpers/A.txt", "")
    folder.write("helpers/a.txt", "")
    if len(list((folder.path / "helpers").glob("[Aa].txt"))) == 2:
        assert folder.told() == [("collision", "/files")]


def test_generated_names_are_not_to_be_selected(folder):
    folder.write("manifest.json", "{}")
    folder.data["files"].append("*.json")
    assert folder.told() == [("collision", "/files")]


def test_imports_that_are_not_packed(folder):
    folder.data["files"] = []
    folder.write("lexicon.py", "")
    folder.write("app.py", "import os\nimport json, lexicon\nfrom helpers import clean\nfrom flask import Flask\n")
    findings = folder.findings()
    assert [(finding.code, str(finding.where)) for finding in findings] == [
        ("not-packed", f"{folder.path / 'app.py'}:2:1"),
        ("not-packed", f"{folder.path / 'app.py'}:3:1"),
    ]
    assert [finding.remedy for finding in findings] == [
        'add "/lexicon.py" to files in the descriptor',
        'add "/helpers/" to files in the descriptor',
    ]
    folder.data["files"] = ["/lexicon.py", "/helpers/"]
    assert folder.findings() == []


def test_packed_modules_are_followed(folder):
    folder.write("helpers/clean.py", "def clean():\n    import deskew\n    from . import more\n")
    folder.write("helpers/more.py", "")
    folder.write("deskew.py", "")
    assert str(folder.only().where) == f"{folder.path / 'helpers/clean.py'}:2:5"


def test_requirement_lines_are_told_with_their_place(folder):
    folder.write("requirements.txt", "flask\n\nnumpy=2\n")
    finding = folder.only()
    assert (finding.code, str(finding.where)) == ("bad-requirement", f"{folder.path / 'requirements.txt'}:3:1")
    assert finding.remedy == "write numpy==2"
