"""The floors of the house: imports go down only, and no room grows too large."""

from __future__ import annotations

import ast
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

PACKAGE = REPOSITORY / "ocrpack"
FILES = sorted(PACKAGE.rglob("*.py"))
MAX_LINES = 400
FLOORS = {
    "__init__": set(),
    "errors": set(),
    "journal": {"errors"},
    "shell": {"errors"},
    "compare": set(),
    "client": {"compare", "errors", "journal", "__init__"},
    "descriptor": {"errors", "journal", "shell"},
    "bundle": {"descriptor", "errors", "journal", "shell"},
    "deploy": {"bundle", "compare", "descriptor", "errors", "journal", "shell", "__init__"},
    "export": {"bundle", "descriptor", "errors", "journal", "shell", "__init__"},
    "cli": {"deploy", "export", "client", "bundle", "descriptor", "errors", "journal", "shell", "__init__"},
    "__main__": {"cli"},
    "app": {"__init__"},
}
"""What each part may import of the others; `__init__` stands for the version alone."""
STAGES = [
    "process", "machine", "root", "unit_file", "service", "lock", "instance_log", "gate", "release", "environment",
    "modules", "supply",
    "secret", "generation", "probe", "fleet", "supervisor", "control", "look", "check", "revision", "trial", "switch",
    "recover", "preflight", "hook", "pipeline", "operate", "store", "measure", "reboot",
    "doctor",
]  # fmt: skip
"""The stages of a deploy: each may import those before it."""
APP_MAY = {
    "flask",
    "werkzeug",
    "jinja2",
    "markupsafe",
    "PIL",
    "tesserocr",
    "pytesseract",
    "rapidocr",
    "onnxruntime",
    "cv2",
    "numpy",
    "pypdfium2",
    "prometheus_client",
    "orjson",
    "waitress",
}
RUN_BY_THEMSELVES = {"gate", "supervisor", "instance_log", "launcher"}
LAUNCHER = "ocrpack.bundle.launcher"
GATE_MAY = {"gunicorn", "uvicorn", "uvicorn_worker", "aiohttp"}


def _name(file):
    return ".".join(("ocrpack", *file.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")


def _imports(file):
    """Yield every module that a file imports, wherever it does, with full names."""
    tree = ast.parse(file.read_text("utf-8"))
    package = _name(file) if file.name == "__init__.py" else _name(file).rpartition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *([base] if base else [])])
            for alias in node.names:
                whole = f"{base}.{alias.name}"
                yield whole if _is_module(whole) else base


def _is_module(name):
    path = REPOSITORY.joinpath(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").is_file()


def _part(name):
    parts = name.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def _own(file):
    return {name for name in _imports(file) if name.split(".")[0] == "ocrpack"}


@pytest.mark.parametrize("file", FILES, ids=_name)
def test_imports_go_down(file):
    here = _part(_name(file))
    assert here in FLOORS, f"give {here} its floor"
    for name in _own(file):
        part = _part(name)
        assert part == here or part in FLOORS[here], f"{_name(file)} imports {name}"


def test_every_file_of_deploy_is_a_stage():
    assert {file.stem for file in (PACKAGE / "deploy").glob("*.py")} - {"__init__"} == set(STAGES)
    assert not _own(PACKAGE / "deploy" / "__init__.py"), "the supervisor and the log writer must stay light"


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_uses_earlier_stages(stage):
    earlier = STAGES[: STAGES.index(stage)]
    for name in _own(PACKAGE / "deploy" / f"{stage}.py"):
        if name.startswith("ocrpack.deploy."):
            assert name.split(".")[2] in earlier, f"{stage} imports {name}"


def test_no_circles():
    graph = {_name(file): {name for name in _own(file) if name != _name(file)} for file in FILES}
    doors = {_name(file) for file in FILES if file.name == "__init__.py"}
    inner = {
        name: {other for other in others if not (other in doors and name.startswith(other + "."))}
        for name, others in graph.items()
    }
    tuple(TopologicalSorter(inner).static_order())  # raises CycleError


def test_others_come_in_through_the_door():
    """descriptor, bundle and client are used by their packages, not by their modules."""
    for file in FILES:
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                top, part, *inside = (*name.split("."), "", "")[:3] if "." in name else (name, "", "")
                if top == "ocrpack" and part in {"descriptor", "bundle", "client"} and part != _part(_name(file)):
                    assert inside in ([], [""]), f"{_name(file)} imports {name}: its door is ocrpack.{part}"


def test_the_app_stands_apart():
    for file in (PACKAGE / "app").rglob("*.py"):
        for name in _imports(file):
            top = name.split(".")[0]
            if top == "ocrpack":
                assert name == "ocrpack" or name.startswith("ocrpack.app"), f"{_name(file)} imports {name}"
            else:
                assert top in sys.stdlib_module_names | APP_MAY, f"{_name(file)} imports {name}"
    assert not list(_imports(PACKAGE / "__init__.py")), "it ships inside bundles"


def test_the_gate_needs_the_standard_library_and_its_server():
    for name in _imports(PACKAGE / "deploy" / "gate.py"):
        assert name.split(".")[0] in sys.stdlib_module_names | GATE_MAY, name


def test_the_launcher_needs_the_standard_library():
    for name in _imports(PACKAGE / "bundle" / "launcher.py"):
        assert name.split(".")[0] in sys.stdlib_module_names, name


def test_only_the_shell_starts_processes():
    starters = ("subprocess", "multiprocessing", "pty")
    for file in FILES:
        found = {name for name in _imports(file) if name.split(".")[0] in starters}
        text = file.read_text("utf-8")
        if _name(file) in {"ocrpack.shell", LAUNCHER}:
            continue
        if _name(file) == "ocrpack.deploy.process":
            assert found <= {"subprocess"}
            assert "from subprocess import Popen, TimeoutExpired" in text, "the types alone"
            continue
        if _part(_name(file)) == "app" and file.stem in {"pool", "worker"}:
            continue  # the app stands apart, and has engine processes of its own
        assert not found, f"{_name(file)} imports {found}"
        for call in ("os.system(", "os.popen(", "os.spawn", "os.posix_spawn", "os.fork("):
            assert call not in text, f"{_name(file)} calls {call}"


def test_only_the_console_prints():
    for file in FILES:
        calls = [node for node in ast.walk(ast.parse(file.read_text("utf-8"))) if isinstance(node, ast.Call)]
        prints = [node.lineno for node in calls if isinstance(node.func, ast.Name) and node.func.id == "print"]
        if _name(file) != "ocrpack.cli.console" and not _name(file).startswith("ocrpack.app"):
            assert not prints, f"{file}:{prints}"
        exits = [node.lineno for node in calls if ast.unparse(node.func) in {"sys.exit", "exit", "quit"}]
        if _part(_name(file)) not in {"cli", "app"} and file.stem not in {
            "gate",
            "supervisor",
            "instance_log",
            "launcher",
        }:
            assert not exits, f"{file}:{exits}: raise in the library, exit in cli"


@pytest.mark.parametrize("file", FILES, ids=_name)
def test_no_room_is_too_large(file):
    assert len(file.read_text("utf-8").splitlines()) <= MAX_LINES


def test_the_reader_of_imports_reads_all_forms(tmp_path):
    """The tests above are worth nothing if an import escapes them."""
    file = PACKAGE / "app" / "imaginary.py"
    text = (
        "from . import page\nfrom .engines import hocr\nfrom ..deploy.root import Root\n"
        "def f():\n    import git, os.path\n    from ocrpack import shell\n"
    )
    assert set(_imports(_Text(file, text))) == {
        "ocrpack.app.page", "ocrpack.app.engines.hocr", "ocrpack.deploy.root", "ocrpack.shell", "git", "os.path",
    }  # fmt: skip


class _Text:
    """A file that is not there."""

    def __init__(self, path, text):
        self._path, self._text, self.name = path, text, path.name

    def relative_to(self, other):
        return self._path.relative_to(other)

    def read_text(self, _):
        return self._text


def test_no_path_is_left_out():
    assert len(FILES) > 30
    assert Path(PACKAGE / "cli" / "console.py") in FILES


def test_the_launcher_can_be_read_by_old_pythons():
    """It has to say which Python is needed, to one that is too old."""
    ast.parse((PACKAGE / "bundle" / "launcher.py").read_text("utf-8"), feature_version=(3, 7))
