"""Keep releases that did not make it, with why and their last output, and let the oldest of them go."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from ocrpack.deploy.store.layout import Deployment
from ocrpack.deploy.system.files import remove_tree

_KEPT = 3


def keep(deployment: Deployment, release: str, instance_tail: str, reason: str) -> None:
    """Move a release to `failed/`, with why it failed and its last output; those beyond the newest few go."""
    folder = deployment.releases / release
    if not folder.exists():
        return
    moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    evidence = Path(tempfile.mkdtemp(prefix=f"{moment}-{release}-", dir=deployment.failed))
    (evidence / "reason.txt").write_text(reason + "\n", encoding="utf-8", errors="backslashreplace")
    (evidence / "instance.log").write_text(instance_tail, encoding="utf-8", errors="backslashreplace")
    folder.chmod(0o755)  # a release is read-only, and only a folder that can be written can be moved
    folder.replace(evidence / "release")
    deployment.unproven_mark(release).unlink(missing_ok=True)
    for old in too_many(deployment):
        remove_tree(old)


def too_many(deployment: Deployment) -> list[Path]:
    """Return the failed releases beyond the newest few."""
    return sorted(deployment.failed.iterdir(), key=lambda folder: folder.name, reverse=True)[_KEPT:]
