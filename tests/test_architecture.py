"""The floors of the house: imports go down only, and no room grows too large."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path
from types import ModuleType

import pytest

from tests.conftest import REPOSITORY

PACKAGE = REPOSITORY / "ocrpack"
FILES = sorted(PACKAGE.rglob("*.py"))
MAX_LINES = 400
MAX_FILES = 11
"""How many modules a folder may hold, its `__init__.py` not counted."""
GROUND = ["errors", "compare", "contract", "shell", "logs"]
FLOORS = {
    "": [*GROUND, "descriptor", "bundle", "client", "deploy", "exports", "cluster", "hosts", "cli"],
    "descriptor": ["format"],
    "bundle": ["format", "fetching", "packages", "contents", "init"],
    "deploy": [
        "system", "store", "proof", "systemd", "app_server", "supervisor", "tracking", "steps", "operations",
    ],
    "app": ["engines", "core", "preprocess", "images", "outputs", "engine_pool", "work", "web"],
    "cli": ["commands"],
}  # fmt: skip
"""The folders of each wing, the lowest first: each may import those before it."""
ABOVE_ITS_FOLDERS = {"descriptor", "bundle", "cli"}
"""Wings whose own modules stand above their folders; in the others the folders hold everything."""
NEVER = {("client", "descriptor"), ("client", "bundle"), ("deploy", "client"), ("bundle", "compare")}
"""Arrows that would go down, and are none all the same."""
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
LAUNCHER = "ocrpack.bundle.contents.launcher"
RUN_BY_THEMSELVES = {
    "ocrpack.deploy.supervisor.__main__", "ocrpack.deploy.supervisor.log_writer", LAUNCHER,
    "ocrpack.deploy.app_server.asgi_worker",
}  # fmt: skip
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


def _arrows(wing):
    """Yield (from, to, file, import) for every import between two parts of a wing; a part is a folder or a module."""
    prefix = ".".join(part for part in ("ocrpack", wing) if part) + "."
    for file in FILES:
        here = _name(file)
        if not here.startswith(prefix):
            continue
        for name in _own(file):
            if name.startswith(prefix):
                one, other = (path.removeprefix(prefix).split(".")[0] for path in (here, name))
                if one != other:
                    yield one, other, here, name


@pytest.mark.parametrize("wing", FLOORS)
def test_imports_between_folders_go_down(wing):
    floors = FLOORS[wing]
    for one, other, here, name in _arrows(wing):
        if wing == "" and "app" in (one, other):
            raise AssertionError(f"{here} imports {name}: the app stands apart")
        if other not in floors or (wing == "" and one == "__main__"):
            continue  # a module of the wing itself, which is held by the test of circles
        if one in floors:
            assert floors.index(other) < floors.index(one), f"{here} imports {name}"
        else:
            assert wing in ABOVE_ITS_FOLDERS, f"{here} imports {name}: give {one} its floor"
        assert (one, other) not in NEVER, f"{here} imports {name}"


@pytest.mark.parametrize("wing", FLOORS)
def test_folders_do_not_import_the_modules_above_them(wing):
    shared = {"console", "common", "tally", "packager_options", "deploy_options", "service_options"}
    allowed = {"cli": shared | {"deploy_outcome", "deployments", "read_results"}}
    for one, other, here, name in _arrows(wing):
        if one in FLOORS[wing] and other not in FLOORS[wing] and wing:
            assert other in allowed.get(wing, set()), f"{here} imports {name}"


def test_every_folder_has_its_floor():
    for wing, floors in FLOORS.items():
        folder = PACKAGE.joinpath(*wing.split(".")) if wing else PACKAGE
        found = {file.parent.name for file in folder.glob("*/__init__.py")} - ({"app"} if wing == "" else set())
        assert found <= set(floors), f"{wing or 'ocrpack'}: give {found - set(floors)} a floor"


def test_folders_are_small():
    for folder in {file.parent for file in FILES}:
        modules = [file.name for file in folder.glob("*.py") if file.name != "__init__.py"]
        most = 40 if folder.name == "commands" else MAX_FILES
        assert len(modules) <= most, f"{folder} holds {len(modules)}: {sorted(modules)}"


def test_the_processes_that_run_for_months_start_light():
    for part in ("deploy", "deploy/supervisor"):
        assert not _own(PACKAGE / part / "__init__.py"), part


def test_no_circles():
    graph = {_name(file): {name for name in _own(file) if name != _name(file)} for file in FILES}
    doors = {_name(file) for file in FILES if file.name == "__init__.py"}
    inner = {
        name: {other for other in others if not (other in doors and name.startswith(other + "."))}
        for name, others in graph.items()
    }
    tuple(TopologicalSorter(inner).static_order())  # raises CycleError


def test_others_come_in_through_the_door():
    """descriptor, bundle, client and logs are used by their packages, not by their modules."""
    for file in FILES:
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                top, part, *inside = (*name.split("."), "", "")[:3] if "." in name else (name, "", "")
                if (
                    top == "ocrpack"
                    and part in {"descriptor", "bundle", "client", "logs"}
                    and part != _part(_name(file))
                ):
                    assert inside in ([], [""]), f"{_name(file)} imports {name}: its door is ocrpack.{part}"


@pytest.mark.parametrize("wing", ["descriptor", "bundle", "client"])
def test_a_door_gives_what_it_lists_and_imports_nothing_before(wing):
    code = f"import sys, ocrpack.{wing}; print(*sys.modules)"
    at_once = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=REPOSITORY)
    assert [name for name in at_once.stdout.split() if name.startswith(f"ocrpack.{wing}.")] == []
    door = importlib.import_module(f"ocrpack.{wing}")
    stub = ast.parse((PACKAGE / wing / "__init__.pyi").read_text("utf-8"))
    listed = {alias.name for node in ast.walk(stub) if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert listed == set(door.__all__)
    modules = [name for name in door.__all__ if isinstance(getattr(door, name), ModuleType)]
    assert not modules, "a module of the same name hides what the door lists"


def test_the_app_stands_apart():
    for file in (PACKAGE / "app").rglob("*.py"):
        for name in _imports(file):
            top = name.split(".")[0]
            if top == "ocrpack":
                assert name == "ocrpack" or name.startswith("ocrpack.app"), f"{_name(file)} imports {name}"
            else:
                assert top in sys.stdlib_module_names | APP_MAY, f"{_name(file)} imports {name}"
    assert not list(_imports(PACKAGE / "__init__.py")), "it ships inside bundles"


@pytest.mark.parametrize("file", sorted((PACKAGE / "deploy" / "app_server").glob("*.py")), ids=_name)
def test_the_app_server_needs_the_standard_library_and_its_server(file):
    for name in _imports(file):
        own = name.startswith("ocrpack.deploy.app_server")
        assert own or name.split(".")[0] in sys.stdlib_module_names | GATE_MAY, name


def test_the_launcher_needs_the_standard_library():
    for name in _imports(PACKAGE / "bundle" / "contents" / "launcher.py"):
        assert name.split(".")[0] in sys.stdlib_module_names, name


def test_only_the_shell_starts_processes():
    starters = ("subprocess", "multiprocessing", "pty")
    for file in FILES:
        found = {name for name in _imports(file) if name.split(".")[0] in starters}
        text = file.read_text("utf-8")
        if _name(file) in {"ocrpack.shell", LAUNCHER}:
            continue
        if _name(file) == "ocrpack.deploy.system.processes":
            assert found <= {"subprocess"}
            assert "from subprocess import Popen, TimeoutExpired" in text, "the types alone"
            continue
        if _part(_name(file)) == "app" and file.parent.name == "engine_pool":
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
        if _part(_name(file)) not in {"cli", "app"} and _name(file) not in RUN_BY_THEMSELVES:
            assert not exits, f"{file}:{exits}: raise in the library, exit in cli"


@pytest.mark.parametrize("file", FILES, ids=_name)
def test_no_room_is_too_large(file):
    assert len(file.read_text("utf-8").splitlines()) <= MAX_LINES


def test_the_reader_of_imports_reads_all_forms(tmp_path):
    """The tests above are worth nothing if an import escapes them."""
    file = PACKAGE / "app" / "web" / "imaginary.py"
    text = (
        "from . import routes\nfrom ..engines import hocr\nfrom ...deploy.store.layout import Root\n"
        "def f():\n    import git, os.path\n    from ocrpack import shell\n"
    )
    assert set(_imports(_Text(file, text))) == {
        "ocrpack.app.web.routes", "ocrpack.app.engines.hocr", "ocrpack.deploy.store.layout", "ocrpack.shell", "git",
        "os.path",
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
    ast.parse((PACKAGE / "bundle" / "contents" / "launcher.py").read_text("utf-8"), feature_version=(3, 7))
