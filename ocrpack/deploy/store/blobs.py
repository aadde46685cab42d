"""Keep weights and wheels once for all releases: by digest in the root, and hard-linked into each release."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from ocrpack.bundle import Entry, Hasher, Manifest
from ocrpack.deploy.store.layout import STAGING, Root
from ocrpack.deploy.system.files import fsync

_SHARED = ("weights", "wheel", "tool")


def is_shared(entry: Entry) -> bool:
    """Tell whether a file of a bundle is kept once for all releases."""
    return entry.role in _SHARED


def shared(manifest: Manifest) -> list[Entry]:
    """Return the files of a bundle that are kept once for all releases."""
    return [entry for entry in manifest.files if is_shared(entry)]


def link(root: Root, name: str, entry: Entry, target: Path, write: Callable[[Path], None]) -> bool:
    """Link a release's file to the blob of its digest, and return whether the blob was there already.

    Where there is none, `write` writes it to the place that it is given, which bears the deployment's `name` until it
    is whole. The link comes before the blob's name, so that no other command can take the blob for unused.
    """
    blob = root.blobs / entry.sha256
    with contextlib.suppress(FileNotFoundError):
        if blob.stat().st_size == entry.size:
            os.link(blob, target)
            return True
    root.blobs.mkdir(parents=True, exist_ok=True)
    partial = root.blobs / f"{STAGING}{name}-{entry.sha256}"
    partial.unlink(missing_ok=True)
    try:
        write(partial)
        try:
            os.link(partial, target)
        except OSError:  # a file system without hard links, or one that allows no more of them
            partial.replace(target)
            return False
        partial.replace(blob)
    finally:
        partial.unlink(missing_ok=True)
    fsync(root.blobs)
    return False


def leftovers(root: Root, name: str) -> list[Path]:
    """Return the blobs that a killed deploy of this name did not write to the end."""
    return sorted(root.blobs.glob(f"{STAGING}{name}-{'[0-9a-f]' * 64}")) if root.blobs.is_dir() else []


def remove_damaged(root: Root, manifest: Manifest) -> None:
    """Remove the blobs of a bundle's files that are not what their names say, so that they are written anew."""
    with Hasher() as hasher:
        for entry in shared(manifest):
            blob = root.blobs / entry.sha256
            with contextlib.suppress(FileNotFoundError):
                with blob.open("rb", buffering=0) as file:
                    found = hasher.copy(file, None, entry.size + 1)
                if found.sha256 != entry.sha256:
                    blob.unlink()


def remove_unused(root: Root) -> None:
    """Remove the blobs that no release links to."""
    if root.blobs.is_dir():
        for blob in root.blobs.iterdir():
            if blob.stat().st_nlink == 1 and not blob.name.startswith(STAGING):
                blob.unlink()
