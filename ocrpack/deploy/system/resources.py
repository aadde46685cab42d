"""What this machine offers: memory, processors, disk and clock, within the limits that a container sets."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from ocrpack.errors import Finding, Where

MIB = 1 << 20
CGROUPS = Path("/sys/fs/cgroup")
_PUBLISHED = datetime(2025, 11, 1, tzinfo=UTC)
"""No clock that is right shows a time before it; move it on with each release."""
_FUTURE_S = 300.0


def available_memory() -> int:
    """Return the bytes of memory that new processes may take: what is free here and in this process's cgroups."""
    import psutil

    left = [limit - _unreclaimable(group) for group in _groups("memory") if (limit := _memory_limit(group)) is not None]
    return max(0, min([int(psutil.virtual_memory().available), *left]))


def memory_limit() -> int | None:
    """Return the bytes of memory that this process's cgroups permit, or None where they set no limit."""
    return min((limit for group in _groups("memory") if (limit := _memory_limit(group)) is not None), default=None)


def memory_of(pids: Iterable[int]) -> int:
    """Return the bytes of memory that processes take together; what they share counts once where Linux tells.

    Processes that ended meanwhile, or that this user may not look at, count as nothing.
    """
    import psutil

    total = 0
    for pid in pids:
        try:
            process = psutil.Process(pid)
            try:
                used = getattr(process.memory_full_info(), "pss", None)
            except psutil.AccessDenied:
                used = None
            total += process.memory_info().rss if used is None else used
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return total


def processors() -> float:
    """Return how many processors this process may use: of those it is bound to, what its cgroups' quotas leave."""
    bound = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return min([float(bound), *(quota for group in _groups("cpu") if (quota := _quota(group)) is not None)])


def existing(path: Path) -> Path:
    """Return the path, or the nearest folder above it that exists."""
    return next(folder for folder in (path, *path.parents) if folder.exists())


def disk(place: Path, needed: int, remedy: str) -> Iterator[Finding]:
    """Yield an error when less than `needed` bytes are free where `place` is or is going to be."""
    place = existing(place)
    free = shutil.disk_usage(place).free
    if free < needed:
        text = f"{free // MIB} MiB free, {needed // MIB} MiB needed"
        yield Finding("disk", text, remedy, Where(str(place)))


def writable(place: Path) -> Iterator[Finding]:
    """Yield an error when this user may not write where `place` is or is going to be."""
    place = existing(place)
    if not os.access(place, os.W_OK | os.X_OK):
        text = f"{place} cannot be written"
        yield Finding("root", text, "pass --root, or change its permissions", Where(str(place)))


def foreign(folder: Path) -> Iterator[Finding]:
    """Yield a finding when an existing folder belongs to another user: an error, but for root a warning."""
    if not folder.exists() or folder.stat().st_uid == os.geteuid():
        return
    owner = account(folder.stat().st_uid)
    text = f"{folder} belongs to {owner}"
    if os.geteuid() == 0:
        remedy = f"run it as {owner}, who else cannot replace the files that root makes there"
        yield Finding("owner", text, remedy, Where(str(folder)), severity="warning")
    else:
        yield Finding("owner", text, f"run it as {owner}, or pass another --root", Where(str(folder)))


def account(uid: int) -> str:
    """Return a user's name, or the number where it has none."""
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def clock(journals: Iterable[Path], now: float | None = None) -> Iterator[Finding]:
    """Yield a warning when the clock shows a time before ocrpack's release, or before what the journals tell of."""
    now = time.time() if now is None else now
    remedy = "set the clock, for example `timedatectl set-ntp true`; dates in tags and logs come from it"
    shown = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d %H:%M UTC")
    written = [(path.stat().st_mtime, path) for path in journals if path.exists()]
    latest = max(written, default=None)
    if now < _PUBLISHED.timestamp():
        yield Finding("clock", f"the clock shows {shown}, before this ocrpack was made", remedy, severity="warning")
    elif latest is not None and latest[0] > now + _FUTURE_S:
        text = f"the clock shows {shown}, and {latest[1].name} was written {latest[0] - now:.0f} s later"
        yield Finding("clock", text, remedy, Where(str(latest[1])), severity="warning")


def gpu() -> bool:
    """Tell whether a GPU is visible."""
    return any(Path("/dev").glob("nvidia[0-9]*")) or shutil.which("nvidia-smi") is not None


def _groups(controller: str) -> Iterator[Path]:
    """Yield the folders of this process's cgroups that hold a controller's files, in both versions of cgroups."""
    try:
        lines = Path("/proc/self/cgroup").read_text("utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, names, path = line.split(":", 2)
        if names == "":
            base = CGROUPS
        elif controller in names.split(","):
            base = CGROUPS / controller
        else:
            continue
        inner = base / path.lstrip("/")  # in a container it may name a folder that only the host sees
        for folder in (inner, *inner.parents):
            if not folder.is_relative_to(base):
                break
            if folder.is_dir():
                yield folder


def _memory_limit(group: Path) -> int | None:
    for name in ("memory.max", "memory.limit_in_bytes"):
        text = _content(group / name)
        if text.isdigit():
            limit = int(text)
            return limit if limit < 1 << 60 else None  # the first version writes "no limit" as a huge number
    return None


def _unreclaimable(group: Path) -> int:
    """Return the bytes that a cgroup uses, less the cached files that the kernel drops when memory is short."""
    used = _content(group / "memory.current") or _content(group / "memory.usage_in_bytes") or "0"
    fields = dict(line.split(" ", 1) for line in _content(group / "memory.stat").splitlines())
    return int(used) - int(fields.get("total_inactive_file") or fields.get("inactive_file") or 0)


def _quota(group: Path) -> float | None:
    words = _content(group / "cpu.max").split()
    if not words:
        words = [_content(group / "cpu.cfs_quota_us"), _content(group / "cpu.cfs_period_us")]
    return int(words[0]) / int(words[1]) if words[0].isdigit() else None


def _content(file: Path) -> str:
    try:
        return file.read_text("ascii").strip()
    except OSError:
        return ""
