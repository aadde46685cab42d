from __future__ import annotations

import os

import pytest

from ocrpack.descriptor.files import DEFAULT_IGNORES, app_name, survey


def names(folder) -> list[str]:
    return list(survey(folder.path, folder.load().descriptor).files)


def test_the_app_the_files_licences_and_the_readme(folder):
    for name in ("LICENSE", "LICENSE-MIT.txt", "LICENCES/mit.txt", "NOTICE", "COPYING.LESSER", "README.md", "other.md"):
        folder.write(name, "x")
    selected = survey(folder.path, folder.load().descriptor).files
    assert list(selected) == [
        "COPYING.LESSER", "LICENCES/mit.txt", "LICENSE", "LICENSE-MIT.txt", "NOTICE", "README.md", "app.py",
        "helpers/clean.py",
    ]  # fmt: skip
    assert selected["helpers/clean.py"] == folder.path / "helpers" / "clean.py"


@pytest.mark.parametrize(
    ("patterns", "selected"),
    [
        (["data"], ["data/a.css", "data/deep/b.css", "sub/data/c.css"]),
        (["data/"], ["data/a.css", "data/deep/b.css", "sub/data/c.css"]),
        (["/data"], ["data/a.css", "data/deep/b.css"]),
        (["./data/"], ["data/a.css", "data/deep/b.css"]),
        (["data/**/*.css"], ["data/a.css", "data/deep/b.css"]),
        (["data/*.css"], ["data/a.css"]),
        (["b.css"], ["data/deep/b.css"]),
        (["/data", "!deep/"], ["data/a.css"]),
        (["/data", "!*.css", "b.css"], ["data/deep/b.css"]),
        (["ä ö.txt"], ["sub/ä ö.txt"]),
        (["sub/data/c.css", "/data/a.css"], ["data/a.css", "sub/data/c.css"]),
    ],
)
def test_patterns_select_as_gitignore_ignores(folder, patterns, selected):
    for name in ("data/a.css", "data/deep/b.css", "sub/data/c.css", "sub/ä ö.txt"):
        folder.write(name, "x")
    folder.data["files"] = ["/helpers/", *patterns]
    assert names(folder) == ["app.py", *sorted([*selected, "helpers/clean.py"])]


def test_everything(folder):
    folder.data["files"] = ["."]
    everything = names(folder)
    assert "samples/línea dos.png" in everything
    assert "requirements.txt" in everything
    assert "descriptor.json" not in everything


def test_what_is_never_packed(folder):
    for name in (
        ".git/config", "helpers/__pycache__/x.pyc", "helpers/x.pyc", ".venv/x", "helpers/myenv/pyvenv.cfg",
        "helpers/myenv/lib/x.py", "helpers/conda/conda-meta/x", "node_modules/x", "helpers/.DS_Store", "dist/x.zip",
        "build.log", ".env", "helpers/.env", ".env.local", ".mypy_cache/x", ".pytest_cache/x", ".ruff_cache/x",
        "helpers/.ipynb_checkpoints/x",
    ):  # fmt: skip
        folder.write(name, "x")
    folder.write("helpers/env/x.txt", "no environment")
    folder.write("static/dist/app.js", "x")
    folder.data["files"] = ["*"]
    extra = set(names(folder)) - {"requirements.txt"}
    assert {name for name in extra if not name.startswith(("samples", "weights"))} == {
        "app.py", "helpers/clean.py", "helpers/env/x.txt", "static/dist/app.js",
    }  # fmt: skip


def test_ocrpackignore_has_the_last_word(folder):
    folder.write(".ocrpackignore", "# notes\n/helpers/old/\n*.tmp\n!.env.example\n")
    for name in ("helpers/old/x.py", "helpers/x.tmp", "helpers/.env.example", "helpers/.env"):
        folder.write(name, "")
    assert names(folder) == ["app.py", "helpers/.env.example", "helpers/clean.py"]


def test_an_ocrpackignore_that_cannot_be_read(folder):
    folder.write(".ocrpackignore", b"\xff")
    assert [code for code, _ in folder.told()] == ["ignore-file"]
    folder.write(".ocrpackignore", "*.tmp\n!\n")
    finding = folder.only()
    assert (finding.code, str(finding.where)) == ("ignore-file", f"{folder.path / '.ocrpackignore'}:2:1")


def test_ignored_folders_are_never_entered(folder, monkeypatch):
    entered = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: entered.append(str(path)) or scandir(path))
    folder.write(".ocrpackignore", "/helpers/huge/\n")
    folder.write("node_modules/deep/x", "")
    folder.write("helpers/huge/deep/x", "")
    folder.data["files"] = ["**/*.py"]
    names(folder)
    assert any(path.endswith("helpers") for path in entered)
    assert not any("node_modules" in path or "huge" in path for path in entered)


@pytest.mark.parametrize(
    ("pattern", "code", "message"),
    [
        ("nothing/", "no-match", "selects nothing"),
        ("node_modules/", "no-match", "ignored"),
        ("# x", "no-match", "selects nothing"),
        ("../up", "bad-pattern", "leads out"),
        ("a/../../b", "bad-pattern", "leads out"),
        ("C:/x", "bad-pattern", "leads out"),
        ("!", "bad-pattern", "no gitignore pattern"),
    ],
)
def test_a_pattern_that_selects_nothing(folder, pattern, code, message):
    folder.write("node_modules/x", "")
    folder.data["files"].append(pattern)
    finding = folder.only()
    assert (finding.code, finding.where.pointer) == (code, "/files/1")
    assert message in finding.message


def test_a_package_is_packed_whole(folder):
    folder.data["app"]["entrypoint"] = "service.web:app"
    for name in ("service/web.py", "service/deep/__init__.py", "service/page.html", "service/__pycache__/x.pyc"):
        folder.write(name, "")
    folder.data["files"] = []
    assert names(folder) == ["service/deep/__init__.py", "service/page.html", "service/web.py"]


def test_python_s_choice_between_a_module_and_a_package(folder):
    folder.write("app/x.txt", "")
    assert app_name(folder.path, "app:app") == "app.py"
    folder.write("app/__init__.py", "")
    assert app_name(folder.path, "app:app") == "app"
    assert app_name(folder.path, "nothing:app") is None


@pytest.mark.skipif(os.name == "nt", reason="such names cannot exist there")
@pytest.mark.parametrize("name", ["a\\b", "a\nb", "a\udcffb"])
def test_names_that_no_archive_should_hold(folder, name):
    try:
        folder.write(f"helpers/{name}", "")
    except OSError:
        pytest.skip("this file system does not take the name")
    finding = folder.only()
    assert finding.code == "not-packable"
    finding.message.encode()


def test_the_order_is_the_same_on_every_machine(folder):
    for name in ("b", "a", "ä", "C", "a.b", "a/c"):
        folder.write(f"helpers/{name}" if name != "a" else "helpers/a/x", "")
    selected = names(folder)
    assert selected == sorted(selected)


def test_a_survey_says_what_went_wrong_without_raising(folder):
    folder.data["files"] = ["none"]
    folder.save()
    from ocrpack.descriptor import load

    selection = survey(folder.path, load(folder.path))
    assert selection.unmatched == {0: "selects nothing"}
    assert ".git" in DEFAULT_IGNORES


def test_earlier_bundles_are_not_packed(folder):
    descriptor = folder.load().descriptor.model_copy(update={"files": ("*.zip",)})
    for name in (f"{descriptor.name}-1.0.zip", "other.zip"):
        folder.write(name, "PK")
    selected = list(survey(folder.path, descriptor).files)
    assert "other.zip" in selected
    assert f"{descriptor.name}-1.0.zip" not in selected
