"""How many processors this process may use: the machine's, less what affinity and the control group take away."""

from __future__ import annotations

import os
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")


def usable(root: Path = _ROOT, own: Path = Path("/proc/self/cgroup")) -> int:
    """Return the number of processors, 1 at least; a quota of one and a half counts as one.

    Quotas are read as the kernel's documents define them: `cpu.max` (cgroup v2), `cpu.cfs_quota_us` (v1).
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quotas = [quota for folder in _groups(root, own) if (quota := _quota(folder)) is not None]
    return max(1, int(min([allowed, *quotas])))


def _groups(root: Path, own: Path) -> list[Path]:
    """Return the folders of this process's control groups and of all above them."""
    try:
        lines = own.read_text("utf-8").splitlines()
    except OSError:
        return []
    folders = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        top = root / controllers if controllers else root
        here = top / path.strip("/")
        folders += [folder for folder in (here, *here.parents) if folder == top or top in folder.parents]
    return folders


def _quota(folder: Path) -> float | None:
    for names in (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):
        try:
            quota, period = " ".join((folder / name).read_text("utf-8") for name in names).split()
            if quota not in ("max", "-1"):
                return int(quota) / int(period)
        except (OSError, ValueError):
            continue
    return None
