"""The bundle's file while it is made: without a name where that can be, and moved into place whole."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from ocrpack.bundle.format.archive_reader import Archive
from ocrpack.bundle.format.manifest import Manifest
from ocrpack.descriptor import Descriptor
from ocrpack.errors import BundleError, ConflictError, PreflightError
from ocrpack.shell import WINDOWS

_SPARE_BYTES = 16 << 20


class Output:
    """A file beside `target` that takes its place with `publish`."""

    def __init__(self, target: Path, file: BinaryIO, named: Path, anonymous: bool) -> None:
        self.file = file
        self._target = target
        self._named = named
        self._anonymous = anonymous

    def name(self) -> Path:
        """Give the file a name for the time being, and return it."""
        if self._anonymous:
            handle = self.file.fileno()
            # Only with a folder's descriptor does os.link follow the link to the unnamed file.
            os.link(f"/proc/self/fd/{handle}", self._named, src_dir_fd=handle)
            self._anonymous = False
        return self._named

    def publish(self) -> None:
        """Bring the file to disk and move it into place."""
        self.file.flush()
        os.fsync(self.file.fileno())
        self.name().replace(self._target)


@contextlib.contextmanager
def output(target: Path) -> Iterator[Output]:
    """Yield a file beside `target`.

    On Linux it has no name until it needs one, so that even a killed build leaves nothing.
    """
    try:
        handle = os.open(target.parent, getattr(os, "O_TMPFILE", -1) | os.O_RDWR, 0o644) if _has_tmpfile() else -1
    except OSError:
        handle = -1
    anonymous = handle >= 0
    if anonymous:
        named = target.with_name(f".{target.name}.{os.getpid()}.partial")
    else:
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".partial")
        named = Path(name)
        if not WINDOWS:
            os.fchmod(handle, 0o644)
    try:
        with os.fdopen(handle, "w+b", buffering=1 << 16) as file:
            yield Output(target, file, named, anonymous)
    finally:
        named.unlink(missing_ok=True)


def _has_tmpfile() -> bool:
    return sys.platform == "linux" and hasattr(os, "O_TMPFILE")


def place(descriptor: Descriptor, wanted: Path | None) -> Path:
    """Return where the bundle goes: a file (`*.zip`), or NAME-VERSION.zip in a folder."""
    name = f"{descriptor.name}-{descriptor.version}.zip"
    if wanted is None:
        return Path("dist") / name
    return wanted if wanted.suffix.lower() == ".zip" and not wanted.is_dir() else wanted / name


def stands_already(target: Path, manifest: Manifest, signature: bytes, absent: int, *, force: bool) -> bool:
    """Tell whether the same bundle stands at `target`: with these files, this signature, and as many left out.

    Raises:
        ConflictError: another one of that version stands there, and `force` is not given.
    """
    if not target.exists():
        return False
    try:
        with Archive(target) as existing:
            digest = existing.manifest.digest
            if digest == manifest.digest:
                same = existing.signature() == signature and len(existing.absent) == absent
                return same and not existing.check()
    except BundleError:
        digest = "something that is no sound bundle"
    if force:
        return False
    raise ConflictError(
        f"{target} exists with other content (there: {digest[:12]}, built now: {manifest.digest[:12]})"
        if len(digest) == 64
        else f"{target} exists, and is {digest}",
        "raise `version` in the descriptor, or pass --force to replace it",
    )


def require_space(folder: Path, size: int) -> None:
    """Refuse to begin what the disk has no room for; `size` in bytes.

    Raises:
        PreflightError: it has not.
    """
    free = shutil.disk_usage(folder).free
    if free < size + _SPARE_BYTES:
        raise PreflightError(
            f"{folder} has {free >> 20} MiB free, the bundle needs {(size + _SPARE_BYTES) >> 20} MiB",
            "free some space, or write elsewhere with -o",
        )
