"""The processors that this process may use, and the memory that a process holds."""

from __future__ import annotations

import os
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")


def processors(root: Path = _ROOT, own: Path = Path("/proc/self/cgroup")) -> int:
    """Return how many processors affinity and the control groups leave, 1 at least; a quota of 1.5 counts as 1.

    Quotas are read as the kernel's documents define them: `cpu.max` (cgroup v2), `cpu.cfs_quota_us` (v1).
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quotas = [quota for folder in _groups(root, own) if (quota := _quota(folder)) is not None]
    return max(1, int(min([allowed, *quotas])))


def resident_mb(pid: int | str = "self") -> float:
    """Return the memory that a process holds now, in MiB; 0 where it is gone, or where there is no /proc."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1])
    except (OSError, IndexError, ValueError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


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
