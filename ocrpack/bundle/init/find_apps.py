"""Find the web apps in a folder of Python files by reading them; nothing is run."""

from __future__ import annotations

import ast
import re
import shlex
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

_INTERFACES = {"Flask": "wsgi", "FastAPI": "asgi", "Starlette": "asgi", "Quart": "asgi", "Application": "aiohttp"}
_METHODS = {"get": "GET", "post": "POST", "put": "PUT"}
_LIMIT = 1 << 20
_FIRST_CHOICES = ("app", "main", "server", "api", "wsgi", "asgi", "service")
_PACKAGES = {
    "PIL": "pillow", "bs4": "beautifulsoup4", "cv2": "opencv-python-headless", "dateutil": "python-dateutil",
    "dotenv": "python-dotenv", "fitz": "pymupdf", "google.protobuf": "protobuf", "jwt": "pyjwt",
    "keras": "keras", "paddle": "paddlepaddle", "skimage": "scikit-image", "sklearn": "scikit-learn",
    "yaml": "pyyaml", "multipart": "python-multipart", "magic": "python-magic", "Levenshtein": "levenshtein",
}  # fmt: skip
"""Packages whose name is not that of the module that they bring."""


@dataclass
class App:
    """A web app that was found; routes are pairs of path and method, `env` are the variables that it is run with."""

    file: Path
    entrypoint: str
    interface: str
    routes: list[tuple[str, str]] = field(default_factory=list)
    port: int | None = None
    env: dict[str, str] = field(default_factory=dict)


def examine(folder: Path) -> list[App]:
    """Return the web apps in a folder, the likeliest one first."""
    found = [app for file in _modules(folder) for app in _apps(folder, file)]
    port, env = _from_dockerfile(folder)
    for app in found:
        app.port = app.port or port
        app.env = env

    def likely(app: App) -> tuple[bool, int, int, str]:
        module = app.entrypoint.partition(":")[0]
        order = _FIRST_CHOICES.index(module) if module in _FIRST_CHOICES else len(_FIRST_CHOICES)
        return (not any(method == "POST" for _, method in app.routes), module.count("."), order, module)

    return sorted(found, key=likely)


def packages_of(folder: Path) -> list[str]:
    """Return the packages that a folder's modules import, by their names on the package index."""
    wanted: set[str] = set()
    local = {file.stem for file in folder.glob("*.py")} | {file.parent.name for file in folder.glob("*/__init__.py")}
    for file in _modules(folder):
        for node in ast.walk(_tree(file)):
            if isinstance(node, ast.Import):
                wanted.update(alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                wanted.add(node.module.partition(".")[0])
                if node.module == "fastapi" and {alias.name for alias in node.names} & {"File", "Form", "UploadFile"}:
                    wanted.add("multipart")
    return sorted(_PACKAGES.get(name, name) for name in wanted - local - sys.stdlib_module_names)


def _modules(folder: Path) -> Iterator[Path]:
    for file in sorted(folder.rglob("*.py")):
        parts = file.relative_to(folder).parts
        if not any(
            part.startswith(".") or part.endswith("venv") or part in {"site-packages", "tests"} for part in parts
        ):
            yield file


def _tree(file: Path) -> ast.Module:
    try:
        if file.stat().st_size > _LIMIT:
            return ast.Module([], [])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(file.read_bytes())
    except (OSError, ValueError, SyntaxError, RecursionError, MemoryError):
        return ast.Module([], [])


def _apps(folder: Path, file: Path) -> Iterator[App]:
    """Yield the apps that a module makes: as variables of the module, or by a function without arguments."""
    tree = _tree(file)
    parts = file.relative_to(folder).with_suffix("").parts
    module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    routes, port = list(_routes(tree)), _port(tree)
    made: set[str] = set()
    for node in tree.body:
        if isinstance(node, (ast.Assign, ast.AnnAssign)):
            interface = _makes(node.value)
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            if interface and isinstance(target, ast.Name):
                made.add(interface)
                yield App(file, f"{module}:{target.id}", interface, routes, port)
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and not _needs_arguments(node):
            inside = [_makes(inner.value) for inner in ast.walk(node) if isinstance(inner, (ast.Assign, ast.Return))]
            interface = next((one for one in inside if one), None)
            returns = any(isinstance(inner, ast.Return) and inner.value is not None for inner in ast.walk(node))
            if interface and returns and interface not in made:
                yield App(file, f"{module}:{node.name}()", interface, routes, port)


def _needs_arguments(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    arguments = function.args
    return len(arguments.posonlyargs) + len(arguments.args) > len(arguments.defaults) or None in arguments.kw_defaults


def _makes(value: ast.expr | None) -> str | None:
    """Return the interface of the app that an expression makes, or None."""
    if not isinstance(value, ast.Call):
        return None
    name = _last(value.func)
    if name == "Application" and not ast.unparse(value.func).startswith(("web.", "aiohttp.", "Application")):
        return None
    return _INTERFACES.get(name)


def _last(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _routes(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Yield path and method of every route that a module states, by decorators or calls."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        paths = [item.value for item in node.args if isinstance(item, ast.Constant) and isinstance(item.value, str)]
        path = next((text for text in paths if text.startswith("/")), None)
        name = _last(node.func)
        if path is None or not name:
            continue
        method = _METHODS.get(name.removeprefix("add_"))
        if method:
            yield path, method
        elif name in {"route", "add_url_rule", "api_route", "add_api_route", "Route", "add_route"}:
            stated = next((item.value for item in node.keywords if item.arg == "methods"), None)
            if stated is None:
                stated_methods = [text for text in paths if text in _METHODS.values()] or ["GET"]
            else:
                stated_methods = [
                    str(item.value).upper() for item in ast.walk(stated) if isinstance(item, ast.Constant)
                ]
            yield from ((path, one) for one in stated_methods if one in _METHODS.values())


def _port(tree: ast.Module) -> int | None:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _last(node.func) in {"run", "run_app", "serve"}:
            for item in node.keywords:
                texts = [str(one.value) for one in ast.walk(item.value) if isinstance(one, ast.Constant)]
                found = [int(text) for text in texts if text.isdecimal() and 0 < int(text) < 65536]
                if item.arg == "port" and found:
                    return found[-1]
    return None


def _from_dockerfile(folder: Path) -> tuple[int | None, dict[str, str]]:
    """Return the port and the variables that a Dockerfile states."""
    try:
        text = (folder / "Dockerfile").read_text("utf-8", "replace")
    except OSError:
        return None, {}
    port = re.search(r"(?mi)^[ \t]*EXPOSE[ \t]+(\d+)", text)
    env: dict[str, str] = {}
    for line in re.findall(r"(?mi)^[ \t]*ENV[ \t]+(\S.*)$", re.sub(r"\\\n", " ", text)):
        try:
            words = shlex.split(line)
        except ValueError:
            continue
        pairs = [word.partition("=") for word in words] if "=" in words[0] else [(words[0], "=", " ".join(words[1:]))]
        env.update(
            {name: value for name, _, value in pairs if re.fullmatch(r"[A-Za-z_]\w*", name) and "$" not in value}
        )
    for name in ("PATH", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE", "DEBIAN_FRONTEND", "PORT"):
        env.pop(name, None)
    return int(port[1]) if port and 0 < int(port[1]) < 65536 else None, env
