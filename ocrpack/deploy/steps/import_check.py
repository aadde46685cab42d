"""Import in its environment what the app imports, so that a missing package or library is found before the boot."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

from ocrpack.deploy.store.environments import Environment
from ocrpack.errors import EnvironmentSetupError, Finding, Where
from ocrpack.shell import CommandError, run

_IMPORT = """
import importlib, importlib.util, json, os, sys
answer = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
sys.path.insert(0, sys.argv[1])
for name in json.loads(sys.argv[2]):
    try:
        if importlib.util.find_spec(name) is None:
            print(json.dumps([name, ""]), file=answer, flush=True)
        else:
            importlib.import_module(name)
    except ImportError as error:
        print(json.dumps([name, str(error) or "ImportError"]), file=answer, flush=True)
    except BaseException as error:
        print(f"{name}: {type(error).__name__}: {error}", file=sys.stderr)
"""
_CHECKED = "ocrpack-imports.json"
_LIBRARY = re.compile(r"(lib[\w+.-]+\.so[\w.]*): cannot open shared object file")
_PACKAGES = {
    "libGL.so.1": "libgl1", "libEGL.so.1": "libegl1", "libgthread-2.0.so.0": "libglib2.0-0",
    "libglib-2.0.so.0": "libglib2.0-0", "libgomp.so.1": "libgomp1", "libSM.so.6": "libsm6", "libICE.so.6": "libice6",
    "libX11.so.6": "libx11-6", "libXext.so.6": "libxext6", "libXrender.so.1": "libxrender1", "libxcb.so.1": "libxcb1",
    "libtesseract.so.5": "libtesseract5", "liblept.so.5": "liblept5", "libjpeg.so.62": "libjpeg62-turbo",
    "libpng16.so.16": "libpng16-16", "libtiff.so.6": "libtiff6", "libwebp.so.7": "libwebp7",
    "libopenjp2.so.7": "libopenjp2-7", "libstdc++.so.6": "libstdc++6", "libopenblas.so.0": "libopenblas0",
    "libgfortran.so.5": "libgfortran5", "libpoppler-cpp.so.0": "libpoppler-cpp0v5", "libzbar.so.0": "libzbar0",
    "libmagic.so.1": "libmagic1", "libmupdf.so": "libmupdf-dev", "libsndfile.so.1": "libsndfile1",
    "libxml2.so.2": "libxml2", "libvips.so.42": "libvips42", "libatomic.so.1": "libatomic1", "libuuid.so.1": "libuuid1",
}  # fmt: skip
"""Debian's packages of native libraries that wheels of this field expect on the machine."""


def failing_imports(
    environment: Environment, release: Path, modules: list[str], variables: Mapping[str, str], deadline_s: float
) -> list[Finding]:
    """Import modules in an environment, once for each, and return a finding for each that cannot be imported.

    What fails in another way than a missing module or library is left to the app's own start.

    Raises:
        EnvironmentSetupError: the imports did not end within the deadline.
    """
    done = _imported_before(environment)
    wanted = [name for name in modules if name not in done]
    if not wanted:
        return []
    cache = ["-X", f"pycache_prefix={environment.pycache}"]
    argv = [environment.python, "-I", *cache, "-c", _IMPORT, release, json.dumps(wanted)]
    try:
        lines = run(argv, cwd=release, env=variables, deadline_s=deadline_s).stdout.splitlines()
    except CommandError as error:
        if error.exit_status is None:
            text = f"importing {', '.join(wanted)} did not end: {error.message}"
            raise EnvironmentSetupError(
                text, "raise `app.boot_seconds` in the descriptor, or --boot-deadline"
            ) from None
        return []  # the interpreter died of an import: the app's start will tell it in its own log
    findings = [_finding(name, reason, release) for name, reason in map(json.loads, lines)]
    if not findings:
        (environment.folder / _CHECKED).write_text(json.dumps(sorted(done | set(wanted))), encoding="utf-8")
    return findings


def _imported_before(environment: Environment) -> set[str]:
    """Return the modules that were imported without a finding since the environment was made."""
    try:
        return set(json.loads((environment.folder / _CHECKED).read_text("utf-8")))
    except (OSError, ValueError):
        return set()


def _finding(name: str, reason: str, release: Path) -> Finding:
    library = _LIBRARY.search(reason)
    if library:
        text = f"the app imports {name}, which needs the library {library[1]}, and this machine has none"
        package = _PACKAGES.get(library[1])
        remedy = f"Debian, Ubuntu: `apt-get install {package}`" if package else "install the package that has it"
        return Finding("library-missing", text, remedy, Where(str(release)))
    text = f"the app imports {name}, and " + (f"that fails: {reason}" if reason else "no requirement brought it")
    return Finding(
        "module-missing", text, "add the package that has it to requirements.txt and build again", Where(str(release))
    )
