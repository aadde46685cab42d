"""List what a root holds: every release of every deployment, and the disk that it takes."""

from __future__ import annotations

import dataclasses
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ocrpack.deploy.store.layout import Deployment, Root

Standing = Literal["current", "last good", "earlier", "failed", "unknown"]


@dataclass(frozen=True, kw_only=True)
class Stored:
    """One release on the disk; `bytes` is what it takes alone, `promoted` when it last began to serve."""

    name: str
    version: str
    digest: str
    release: str
    standing: Standing
    promoted: str | None
    signer: str | None
    bytes: int

    def as_dict(self) -> dict[str, Any]:
        """Return the release as JSON-ready values."""
        return dataclasses.asdict(self)


def releases(root: Root, names: list[str]) -> list[Stored]:
    """Return the releases of some deployments, the newest first, then the failed ones; nothing is changed."""
    return [stored for name in names for stored in _of(root.deployment(name))]


def _of(deployment: Deployment) -> list[Stored]:
    state, current = deployment.load_state(), deployment.current
    found = []
    folders = (folder for folder in deployment.releases.glob("[!.]*") if folder.is_dir())
    for folder in folders:
        record = state.releases.get(folder.name)
        version, _, digest = folder.name.rpartition("-")
        standing: Standing = "earlier" if record else "unknown"
        if folder.name == current:
            standing = "current"
        elif folder.name == state.last_good:
            standing = "last good"
        found.append(
            Stored(
                name=deployment.name,
                version=record.version if record else version,
                digest=record.digest if record else digest,
                release=folder.name,
                standing=standing,
                promoted=record.promoted if record else None,
                signer=record.signer if record else None,
                bytes=_own_bytes(folder),
            )
        )
    found.sort(key=lambda stored: (stored.standing == "current", stored.promoted or ""), reverse=True)
    for folder in sorted(deployment.failed.glob("[!.]*"), reverse=True):
        _, _, release = folder.name.partition("-")
        version, _, digest = release.rpartition("-")[0].rpartition("-")
        found.append(
            Stored(
                name=deployment.name,
                version=version,
                digest=digest,
                release=folder.name,
                standing="failed",
                promoted=None,
                signer=None,
                bytes=_own_bytes(folder),
            )
        )
    return found


def _own_bytes(folder: Path) -> int:
    """Return the bytes of a folder's files, but for those that have another name elsewhere."""
    statuses = (path.lstat() for path in folder.rglob("*"))
    # A blob has a name of its own besides the one in the release.
    return sum(status.st_size for status in statuses if stat.S_ISREG(status.st_mode) and status.st_nlink <= 2)
