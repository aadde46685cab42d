"""Ask the package index, through uv: which versions fit together, and where their files are."""

from __future__ import annotations

import re
import tempfile
import tomllib
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ocrpack.bundle.fetching.index_settings import environ, find_uv
from ocrpack.bundle.packages.lockfile import LOCK, Lock, Pin
from ocrpack.descriptor import without_credentials
from ocrpack.errors import PreflightError
from ocrpack.shell import CommandError, run

_DEADLINE_S = 900
_COMPILE = ["pip", "compile", "--quiet", "--no-header", "--no-annotate", "--generate-hashes"]
_UNREACHED = re.compile(
    r"Failed to (fetch|download|clone)|sending request|Git operation|timed out|dns error|HTTP status"
)
"""What uv says when it cannot get at something; all else is the requirements' fault."""


@dataclass(frozen=True)
class File:
    """A wheel or a source archive of an index; `size` in bytes where the index tells it, `sha256` in hex."""

    name: str
    url: str
    sha256: str
    size: int | None = None


@dataclass(frozen=True)
class Located:
    """Where the files of one package are."""

    pin: Pin
    wheels: tuple[File, ...]
    source: File | None


class UnresolvedError(Exception):
    """The requirements contradict one another; the message is the resolver's."""


def resolve(
    files: Sequence[Path],
    folder: Path,
    *,
    known: bytes,
    python: str,
    platform: str | None,
    on_line: Callable[[str], None],
) -> list[str]:
    """Return one line for each package that the requirement files ask for, with its hashes where it has any.

    The versions of the lock `known` are kept where they fit. `python` is the lowest minor version; without `platform`
    (as uv names it), the lines hold everywhere, by markers.

    Raises:
        UnresolvedError: the requirements contradict one another.
        PreflightError: the package index cannot be reached, or uv is missing.
    """
    with tempfile.TemporaryDirectory(prefix="ocrpack-lock-") as name:
        output = Path(name, LOCK)
        output.write_bytes(known)
        scope = ["--python-platform", platform] if platform else ["--universal"]
        _uv([*_COMPILE, *scope, "--python-version", python, "-o", output, *files], folder, on_line)
        text = re.sub(r"[ \t]*\\\n[ \t]*", " ", output.read_text("utf-8"))
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def locate(lock: Lock, python: str, on_line: Callable[[str], None]) -> list[Located]:
    """Return where the files of a lock's packages are; those that the bundle carries are left out.

    Raises:
        PreflightError: the package index cannot be reached, or does not have them any more.
    """
    wanted = [pin for pin in lock.pins if not pin.origin]
    with tempfile.TemporaryDirectory(prefix="ocrpack-lock-") as name:
        folder = Path(name)
        text = "".join(f"{line}\n" for line in [*lock.options, *(pin.text for pin in wanted)])
        (folder / LOCK).write_text(text, encoding="utf-8")
        output = folder / "pylock.toml"
        options = [
            "--no-deps",
            "--universal",
            "--python-version",
            python,
            "--format",
            "pylock.toml",
            "-o",
            output,
            LOCK,
        ]
        try:
            _uv([*_COMPILE, *options], folder, on_line)
        except UnresolvedError as error:
            raise PreflightError(f"the index does not have what {LOCK} names: {error}", "`ocrpack lock`") from None
        document = tomllib.loads(output.read_text("utf-8"))
    found = {}
    for package in document.get("packages", ()):
        archive = package.get("archive")
        files = [_file(item) for item in package.get("wheels", ())]
        source = _file(package["sdist"]) if "sdist" in package else None
        if archive and _file(archive).name.endswith(".whl"):
            files = [_file(archive)]
        elif archive:
            source = _file(archive)
        for file in (*files, *([source] if source else ())):
            found[file.sha256] = (tuple(files), source)
    return [
        Located(pin, *next((found[digest] for digest in pin.hashes if digest in found), ((), None))) for pin in wanted
    ]


def _file(item: Mapping[str, object]) -> File:
    url = str(item["url"])
    name = str(item.get("name") or urllib.parse.unquote(urllib.parse.urlsplit(url).path.rpartition("/")[2]))
    hashes, size = item["hashes"], item.get("size")
    assert isinstance(hashes, dict)
    return File(name, url, str(hashes.get("sha256", "")), size if isinstance(size, int) else None)


def _uv(words: Sequence[object], folder: Path, on_line: Callable[[str], None]) -> None:
    uv = find_uv()
    if uv is None:
        raise PreflightError("uv is not installed", "`pip install uv`")
    try:
        run([uv, *words], cwd=folder, env=environ(), deadline_s=_DEADLINE_S, on_line=on_line)
    except CommandError as error:
        said = re.sub(r"(?m)^(error: (No solution found .*\n)?)?\s*(cause: )?", "", error.tail).strip()
        said = without_credentials(said)
        if "No solution found" in error.tail or (error.exit_status is not None and not _UNREACHED.search(error.tail)):
            raise UnresolvedError(" ".join(said.split()) or error.message) from None
        raise PreflightError(
            f"the package index cannot be asked: {said or error.message}",
            f"check the network and the index; a build needs neither where a {LOCK} lies beside the requirements",
        ) from None
