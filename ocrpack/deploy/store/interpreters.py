"""Find the Python and the installer that an environment is made with."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import sysconfig
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from packaging.specifiers import SpecifierSet

from ocrpack.bundle import find_uv
from ocrpack.errors import PreflightError
from ocrpack.shell import CommandError, run

Installer = Literal["auto", "uv", "pip"]

_PROBE = (
    "import json,platform,sys,sysconfig;print(json.dumps([platform.python_version(),"
    "sysconfig.get_platform(),sys.implementation.cache_tag,sys._base_executable]))"
)


@dataclass(frozen=True)
class Python:
    """An interpreter of this machine; `version` is full, `platform` as sysconfig names it."""

    executable: Path
    version: str
    platform: str
    tag: str


def find_python(specifier: str, uv: Path | None, suits: Callable[[Python], bool] = lambda python: True) -> Python:
    """Return an interpreter of this machine that meets a PEP 440 specifier, ocrpack's own if it does.

    One that `suits` goes before one that does not.

    Raises:
        PreflightError: there is none; the remedy names how to get one.
    """
    wanted = SpecifierSet(specifier)
    own = Python(
        Path(getattr(sys, "_base_executable", sys.executable)),
        ".".join(str(part) for part in sys.version_info[:3]),
        sysconfig.get_platform(),
        sys.implementation.cache_tag or "python",
    )
    meeting = [own] if wanted.contains(own.version, prereleases=True) else []
    if meeting and suits(own):
        return own
    seen = [own.version]
    for candidate in _candidates(specifier, uv):
        try:
            answer = run([candidate, "-I", "-c", _PROBE], deadline_s=20).stdout
        except CommandError:
            continue
        version, platform, tag, base = json.loads(answer)
        found = Python(Path(base), version, platform, tag)
        if wanted.contains(version, prereleases=True):
            if suits(found):
                return found
            meeting.append(found)
        seen.append(version)
    if meeting:
        return meeting[0]
    minor = next((f"3.{number}" for number in range(20, 7, -1) if wanted.contains(f"3.{number}.5")), specifier)
    raise PreflightError(
        f"no Python {specifier} on this machine (found {', '.join(sorted(set(seen)))})",
        f"install it: `uv python install {minor}`, or your system's package python{minor}",
    )


def _candidates(specifier: str, uv: Path | None) -> Iterator[Path]:
    if uv is not None:
        with contextlib.suppress(CommandError):
            found = run([uv, "python", "find", "--no-python-downloads", "--system", specifier], deadline_s=30)
            yield Path(found.stdout.strip())
    for number in range(20, 7, -1):
        program = shutil.which(f"python3.{number}")
        if program:
            yield Path(program)
    pyenv = Path(os.environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv"))  # noqa: PTH111 - never raises
    yield from sorted(pyenv.glob("versions/3.*/bin/python3"), reverse=True)


def choose_installer(installer: Installer) -> Path | None:
    """Return uv's path, or None for venv and pip.

    Raises:
        PreflightError: uv is asked for and cannot be had.
    """
    uv = None if installer == "pip" else find_uv()
    if installer == "uv" and uv is None:
        raise PreflightError("uv is not installed", "`pip install uv`, or pass --installer pip")
    return uv
