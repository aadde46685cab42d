from __future__ import annotations

import ast

import pytest

from ocrpack.descriptor.imports import findings, imports, required_modules


def found(code: str, package: tuple[str, ...] = ()) -> dict[str, bool]:
    return {entry.module: entry.certain for entry in imports(ast.parse(code), package)}


@pytest.mark.parametrize(
    ("code", "modules"),
    [
        ("import a, b.c as d", {"a": True, "b.c": True}),
        ("from a import b, c", {"a.b": True, "a.c": True}),
        ("from a import *", {"a.*": True}),
        ("def f():\n  import a", {"a": True}),
        ("if x:\n  import a\nelse:\n  import b", {"a": True, "b": True}),
        ("if TYPE_CHECKING:\n  import a\nelse:\n  import b", {"b": True}),
        ("if typing.TYPE_CHECKING:\n  import a", {}),
        ("if __name__ == '__main__':\n  import a", {}),
        ("try:\n  import a\nexcept ImportError:\n  import b", {"a": False, "b": False}),
        ("try:\n  import a\nexcept:\n  pass", {"a": False}),
        ("try:\n  import a\nexcept KeyError:\n  pass", {"a": True}),
        ("try:\n  import a\nexcept (KeyError, builtins.x, ModuleNotFoundError):\n  pass", {"a": False}),
    ],
)
def test_what_is_imported(code, modules):
    assert found(code) == modules


def test_relative_imports():
    assert found("from . import b\nfrom .c import d\nfrom ..e import f", ("p", "q")) == {
        "p.q.b": True,
        "p.q.c.d": True,
        "p.e.f": True,
    }


def look(tmp_path, code: str | bytes, python: str = ">=3.11", packed: tuple[str, ...] = ()):
    (tmp_path / "app.py").write_bytes(code.encode() if isinstance(code, str) else code)
    files = {name: tmp_path / name for name in ("app.py", *packed)}
    return list(findings(tmp_path, files, python, "3.11.7"))


def test_the_deepest_module_that_is_there(tmp_path):
    (tmp_path / "p").mkdir()
    for name in ("__init__", "q", "r"):
        (tmp_path / "p" / f"{name}.py").touch()
    [finding] = look(tmp_path, "import p.q", packed=("p/__init__.py",))
    assert "p/q.py is not packed" in finding.message
    assert look(tmp_path, "from p.q import name", packed=("p/__init__.py", "p/q.py")) == []
    assert [finding.message.split()[4] for finding in look(tmp_path, "import p.q")] == ["p/__init__.py"]


def test_each_module_is_told_once(tmp_path):
    (tmp_path / "x.py").touch()
    assert len(look(tmp_path, "import x\nimport x\nfrom x import y")) == 1


def test_what_is_not_in_the_folder_is_not_ours(tmp_path):
    (tmp_path / "data").mkdir()
    assert look(tmp_path, "import flask, data, ocrpack.app, json") == []


@pytest.mark.parametrize(
    "code", ["import (", "x = \0", b"# coding: nonsense\n", b"\xff\xfe", "(" * 3000, "f(" * 50_000]
)
def test_what_is_no_python_is_a_finding(tmp_path, code):
    [finding] = look(tmp_path, code)
    assert (finding.code, finding.severity, finding.where.file) == ("syntax", "error", str(tmp_path / "app.py"))


def test_syntax_of_another_python_is_a_warning(tmp_path):
    [finding] = look(tmp_path, "type X = int", python=">=3.12")
    assert (finding.code, finding.severity, finding.where.line) == ("syntax", "warning", 1)


def test_warnings_of_the_compiler_stay_quiet(tmp_path):
    assert look(tmp_path, "x = '\\d'\nassert (1, 2)\n") == []


def test_what_must_be_installed(tmp_path):
    (tmp_path / "helpers").mkdir()
    code = (
        "import json, flask.views, helpers.x\nfrom PIL import Image\ntry:\n  import cupy\nexcept ImportError:\n  pass\n"
    )
    (tmp_path / "app.py").write_text(code)
    (tmp_path / "bad.py").write_text("import (")
    assert required_modules(tmp_path, ["app.py", "bad.py"]) == ["PIL", "flask"]
