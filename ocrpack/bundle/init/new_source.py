"""Write a bundle source to start from: a working one, or the descriptor of an app that is there already."""

from __future__ import annotations

import json
import re
import shutil
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from ocrpack.bundle.init.find_apps import App, examine, packages_of
from ocrpack.descriptor import DESCRIPTOR, FETCHED, json_schema, looks_secret
from ocrpack.errors import ConflictError, Finding, NotFoundError, UsageError, Where

ENGINES = ("tesseract", "rapidocr")
_SCHEMA = "descriptor.schema.json"
_ROLES = {
    ".traineddata": "language", ".onnx": "recognition", ".pt": "recognition", ".pth": "recognition",
    ".safetensors": "recognition", ".gguf": "recognition", ".tflite": "recognition", ".keras": "classification",
    ".h5": "classification", ".pdiparams": "recognition", ".pdmodel": "recognition", ".joblib": "classification",
}  # fmt: skip
_ROLE_WORDS = (("detection", r"(^|[_.-])det"), ("classification", r"(^|[_.-])cls|classif"))
_DICTIONARY = re.compile(r"(dict|keys|vocab|charset)[^/]*\.txt$", re.IGNORECASE)
_IMAGES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp")
_NOT_LOOKED_AT = {"node_modules", "dist", "build", "__pycache__", "site-packages"}
_DATA_FOLDERS = ("templates", "static", "assets", "config")
_TEST_FILES = re.compile(r"(^|/)(tests?|setup\.py|conftest\.py|test_[^/]*\.py)(/|$)")
_MOST_SAMPLES = 3


@dataclass(frozen=True)
class Draft:
    """What was written: the folder, the files in it, and what a person should look at."""

    folder: Path
    written: tuple[str, ...]
    findings: tuple[Finding, ...] = ()


def new_source(folder: Path, engine: str) -> Draft:
    """Write a bundle source that validates, builds and deploys as it is.

    Raises:
        ConflictError: the folder holds something already.
        UsageError: there is no such engine, or the folder's name gives no name for a bundle.
    """
    if engine not in ENGINES:
        raise UsageError(f"there is no engine {engine!r}", f"there is: {', '.join(ENGINES)}")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConflictError(
            f"{folder} holds something already", "name a new folder, or `ocrpack init --from` to describe the app in it"
        )
    template = _templates() / engine
    name = _slug(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for file in sorted(template.rglob("*")):
        relative = file.relative_to(template)
        if file.is_file() and "__pycache__" not in relative.parts:
            (folder / relative).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, folder / relative)
    document = json.loads((folder / DESCRIPTOR).read_text("utf-8"))
    document.update({"$schema": f"./{_SCHEMA}", "name": name, "version": "0.1.0", "authors": []})
    for weight in document["model"]["weights"]:
        if not any(place.startswith(FETCHED) for place in weight["source"]):  # each machine may have its own
            weight.pop("sha256", None)
            weight.pop("size", None)
    _write(folder, document)
    (folder / "README.md").write_text(_readme(name, document["summary"]), encoding="utf-8")
    return Draft(
        folder, tuple(file.relative_to(folder).as_posix() for file in sorted(folder.rglob("*")) if file.is_file())
    )


def describe_app(folder: Path, *, force: bool) -> Draft:
    """Look at an app that is there and write its descriptor; where it has no requirements file, that too.

    Nothing of the app is run or changed.

    Raises:
        NotFoundError: there is no such folder, or no Flask, FastAPI, Starlette or aiohttp app in it.
        ConflictError: it has a descriptor already, and `force` is not given.
    """
    if not folder.is_dir():
        raise NotFoundError(f"there is no folder {folder}", "name the folder of an app")
    if (folder / DESCRIPTOR).exists() and not force:
        raise ConflictError(f"{folder / DESCRIPTOR} exists", "pass --force to replace it")
    name, apps = _slug(folder), examine(folder)
    if not apps:
        raise NotFoundError(
            f"no Flask, FastAPI, Starlette or aiohttp app was found in {folder}",
            "write the descriptor by hand: `ocrpack init DIR` shows one",
        )
    app = apps[0]
    findings = [
        _advice(f"there is another app, {other.entrypoint}", "name it as app.entrypoint if it is meant", other.file)
        for other in apps[1:]
    ]
    written = [DESCRIPTOR, _SCHEMA]
    requirements, made = _requirements(folder)
    if made:
        written.append(requirements)
        text, remedy = f"{requirements} was made from the app's imports", "look whether names and versions are right"
        findings.append(_advice(text, remedy, folder / requirements))
    project = _project(folder)
    weights = list(_weights(folder))
    samples = list(_samples(folder))
    model = Path(weights[0]["path"]).stem if weights else name
    document: dict[str, Any] = {
        "$schema": f"./{_SCHEMA}",
        "schema_version": 1,
        "name": name,
        "version": _version(project),
        "summary": str(project.get("description", ""))[:512],
        "model": {"name": model, "version": "1", "weights": weights},
        "app": {"entrypoint": app.entrypoint, "interface": app.interface},
        "endpoints": _endpoints(app),
        "requirements": requirements,
        "python": _python(project),
        "files": _files(folder, app),
        "samples": samples,
    }
    if app.port:
        document["port"] = app.port
    hidden = sorted(key for key, value in app.env.items() if looks_secret(key, value))
    if hidden:
        document["secrets"] = hidden
        text = f"{', '.join(hidden)} looked like credentials: their values were left out"
        findings.append(_advice(text, "`deploy --secrets FILE` brings them", folder / "Dockerfile"))
    document["env"] = {key: value for key, value in app.env.items() if key not in hidden}
    if not samples:
        text = "no image with its true text beside it (X.png and X.txt) was found: nothing proves the text"
        findings.append(_advice(text, "add an image with its true text to `samples`", folder / DESCRIPTOR))
    _write(folder, {key: value for key, value in document.items() if value not in ("", [], {})})
    return Draft(folder, tuple(written), tuple(findings))


def _advice(message: str, remedy: str, file: Path) -> Finding:
    return Finding("draft", message, remedy, Where(str(file)), severity="warning")


def _templates() -> Path:
    package = Path(__file__).parents[2]
    installed = package / "templates"
    return installed if installed.is_dir() else package.parent / "bundles"


def _write(folder: Path, document: dict[str, Any]) -> None:
    (folder / DESCRIPTOR).write_text(json.dumps(document, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    (folder / _SCHEMA).write_text(json.dumps(json_schema(), indent=2) + "\n", encoding="utf-8")


def _readme(name: str, summary: str) -> str:
    return f"# {name}\n\n{summary}.\n\n    ocrpack build\n    ocrpack deploy dist/{name}-0.1.0.zip\n"


def _slug(folder: Path) -> str:
    slug = re.sub(r"[^a-z0-9]+", "-", folder.resolve().name.lower()).strip("-")[:63].strip("-")
    if not slug:
        raise UsageError(f"{folder} gives no name for a bundle", "use a folder whose name has letters or digits")
    return slug


def _project(folder: Path) -> dict[str, Any]:
    try:
        found = tomllib.loads((folder / "pyproject.toml").read_text("utf-8")).get("project", {})
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _version(project: dict[str, Any]) -> str:
    try:
        return str(Version(str(project.get("version", "0.1.0"))))
    except InvalidVersion:
        return "0.1.0"


def _python(project: dict[str, Any]) -> str:
    try:
        stated = str(SpecifierSet(str(project.get("requires-python", ""))))
    except InvalidSpecifier:
        stated = ""
    return stated or ">=3.11"


def _requirements(folder: Path) -> tuple[str, bool]:
    """Return the requirements file, and whether it was written now."""
    for name in ("requirements.txt", "requirements/prod.txt", "requirements/base.txt", "requirements.in"):
        if (folder / name).is_file():
            return name, False
    project = _project(folder).get("dependencies")
    wanted = [str(one) for one in project] if isinstance(project, list) else packages_of(folder)
    (folder / "requirements.txt").write_text("".join(f"{line}\n" for line in wanted), encoding="utf-8")
    return "requirements.txt", True


def _walk(folder: Path, wanted: Callable[[Path], bool]) -> Iterator[str]:
    for file in sorted(folder.rglob("*")):
        parts = file.relative_to(folder).parts
        hidden = any(part.startswith(".") or part in _NOT_LOOKED_AT or part.endswith("venv") for part in parts)
        if not hidden and file.is_file() and wanted(file):
            yield "/".join(parts)


def _weights(folder: Path) -> Iterator[dict[str, str]]:
    for name in _walk(folder, lambda file: file.suffix.lower() in _ROLES or bool(_DICTIONARY.search(file.name))):
        stem = Path(name).stem.lower()
        if _DICTIONARY.search(name):
            role = "dictionary"
        else:
            guess = next((role for role, words in _ROLE_WORDS if re.search(words, stem)), None)
            role = guess or _ROLES[Path(name).suffix.lower()]
        yield {"path": name, "role": role}


def _samples(folder: Path) -> Iterator[dict[str, Any]]:
    images = _walk(folder, lambda file: file.suffix.lower() in _IMAGES and file.with_suffix(".txt").is_file())
    for _, name in zip(range(_MOST_SAMPLES), images, strict=False):
        yield {"image": name, "text_file": str(Path(name).with_suffix(".txt").as_posix()), "max_cer": 0.1}


def _endpoints(app: App) -> list[dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for path, method in app.routes:
        purpose = _purpose(path, method)
        if purpose and purpose not in found:
            found[purpose] = {"path": path, "method": method, "purpose": purpose}
    if not found.keys() & {"health", "ready"}:
        page = found.get("page", {"path": "/"})
        found["health"] = {"path": page["path"], "method": "GET", "purpose": "health"}
        found.pop("page", None)
    return list(found.values())


def _purpose(path: str, method: str) -> str | None:
    if method in {"POST", "PUT"}:
        return "inference" if "<" not in path and "{" not in path else None
    for purpose, words in (("ready", "ready"), ("health", r"health|ping|alive|status"), ("metrics", "metrics")):
        if re.search(words, path):
            return purpose
    return "page" if path == "/" else None


def _files(folder: Path, app: App) -> list[str]:
    """Return patterns for what the app needs beside its own module: other modules, packages, templates."""
    own = app.entrypoint.partition(":")[0].partition(".")[0]
    names = []
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith(".") or _TEST_FILES.search(entry.name) or entry.stem == own:
            continue
        if entry.suffix == ".py" or entry.name in {"config.json", "config.yaml", "config.yml", "config.toml"}:
            names.append(f"/{entry.name}")
        elif entry.is_dir() and ((entry / "__init__.py").is_file() or entry.name in _DATA_FOLDERS):
            names.append(f"/{entry.name}/")
    return names
