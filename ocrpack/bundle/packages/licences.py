"""Read the licences of locked packages from their own metadata."""

from __future__ import annotations

import contextlib
import email.parser
import email.policy
import http.client
import re
import zipfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

from packaging.utils import parse_wheel_filename

from ocrpack.bundle.fetching.download import RemoteFile, cache_folder
from ocrpack.bundle.packages.lockfile import Lock, Pin
from ocrpack.bundle.packages.package_index import File, Located, locate

_AT_ONCE = 8
_LONGEST = 120
_CLASSIFIER = "License :: "


def find(lock: Lock, python: str, carried: Sequence[Path], on_line: Callable[[str], None]) -> dict[Pin, str]:
    """Return the licence of each pin whose metadata states one; small parts of wheels are fetched for that, once.

    Raises:
        PreflightError: the index does not answer.
    """
    cache = cache_folder("licences")
    known = {pin: _cached(cache, pin) for pin in lock.pins}
    found = {pin: text for pin, text in known.items() if text}
    unknown = [pin for pin, text in known.items() if text is None]
    names = {str(parse_wheel_filename(path.name)[0]): path for path in carried}
    for pin in unknown:
        if pin.origin:
            with names[pin.name].open("rb") as file:
                found[pin] = _licence(file)
    fetched = [pin for pin in unknown if not pin.origin]
    if fetched:
        wanted = set(fetched)
        located = [one for one in locate(lock, python, on_line) if one.pin in wanted]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for one, text in zip(located, pool.map(_ask, located), strict=True):
                if text is not None:
                    found[one.pin] = text
                    (cache / _key(one.pin)).write_text(text, encoding="utf-8")
    return found


def _key(pin: Pin) -> str:
    return pin.hashes[0]


def _cached(cache: Path, pin: Pin) -> str | None:
    try:
        return (cache / _key(pin)).read_text("utf-8")
    except OSError:
        return None


def _ask(package: Located) -> str | None:
    """Return what one of the package's wheels states, empty for nothing; None where it cannot be read now."""
    smallest = min(package.wheels, key=lambda file: (file.size or 0, file.name), default=None)
    return "" if smallest is None else _from(smallest)


def _from(file: File) -> str | None:
    with contextlib.suppress(OSError, ValueError, zipfile.BadZipFile, http.client.HTTPException):
        return _licence(RemoteFile(file.url))
    return None


def _licence(file: IO[bytes] | RemoteFile) -> str:
    with zipfile.ZipFile(file) as wheel:
        name = next((name for name in wheel.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", name)), None)
        if name is None:
            return ""
        fields = email.parser.BytesParser(policy=email.policy.compat32).parsebytes(wheel.read(name))
    stated = fields.get("License-Expression") or ""
    classified = [
        text.rpartition(" :: ")[2] for text in fields.get_all("Classifier", []) if text.startswith(_CLASSIFIER)
    ]
    words = str(stated or ", ".join(sorted(classified)) or fields.get("License") or "")
    line = " ".join(words.split())
    return line if len(line) <= _LONGEST and line.upper() != "UNKNOWN" else ""
