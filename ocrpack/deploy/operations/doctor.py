"""Look whether this machine is able to build and to deploy, before there is a bundle; nothing is left behind."""

from __future__ import annotations

import glob
import os
import platform
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ocrpack import __version__
from ocrpack.bundle import find_uv
from ocrpack.deploy.store.layout import Root
from ocrpack.deploy.system import resources
from ocrpack.deploy.system.resources import MIB
from ocrpack.deploy.systemd import units
from ocrpack.errors import Finding, Severity, Where
from ocrpack.shell import CommandError, run

_OLDEST = (3, 11)
_ROOM_BYTES = 1024 * MIB
_MEMORY_BYTES = 1024 * MIB
_OPEN_FILES = 1024
_LONGEST_ROOT = 150
"""A program in an environment names its Python in its first line, which Linux reads to 255 bytes."""
_TESSDATA = (
    "/usr/share/tesseract-ocr/*/tessdata",
    "/usr/share/tessdata",
    "/usr/local/share/tessdata",
    "/opt/homebrew/share/tessdata",
)


@dataclass(frozen=True)
class Part:
    """One thing that was looked at: its name, how it is in a few words, and what was found; `facts` are for JSON."""

    name: str
    summary: str
    findings: tuple[Finding, ...]
    facts: dict[str, Any]

    @property
    def severity(self) -> Severity | None:
        """The worst that was found, or None when all is well."""
        return next((rank for rank in ("error", "warning", "info") if self._holds(rank)), None)

    def _holds(self, rank: str) -> bool:
        return any(finding.severity == rank for finding in self.findings)


def examine(root: Root) -> list[Part]:
    """Return what each part of this machine is like."""
    looks: list[Callable[[Root], Part]] = [
        _python,
        _installer,
        _git,
        _root,
        _file_system,
        _memory,
        _processors,
        _open_files,
        _clock,
        _gpu,
        _systemd,
        _tesseract,
    ]
    return [look(root) for look in looks]


def _part(name: str, summary: str, findings: Iterator[Finding] | list[Finding], **facts: Any) -> Part:
    return Part(name, summary, tuple(findings), facts)


def _python(_: Root) -> Part:
    found = []
    if sys.version_info[:2] < _OLDEST:
        found.append(Finding("python", "ocrpack needs Python 3.11 or later", "install it, and ocrpack with it"))
    try:
        run([getattr(sys, "_base_executable", sys.executable), "-I", "-c", "import venv, ensurepip"])
    except CommandError:
        text = "this Python cannot make environments without uv: it lacks venv or ensurepip"
        remedy = "Debian, Ubuntu: `apt-get install python3-venv`; with uv it is not needed"
        severity: Severity = "warning" if find_uv() else "error"
        found.append(Finding("venv", text, remedy, severity=severity))
    version = platform.python_version()
    return _part("python", f"{version} ({sys.executable})", found, python=version, ocrpack=__version__)


def _installer(_: Root) -> Part:
    uv = find_uv()
    try:
        version = run([uv, "--version"]).stdout.split()[1] if uv else None
        text, remedy = "uv is not installed: pip is used, which is slower", "`pip install uv`"
    except CommandError as error:
        version, text, remedy = None, f"uv does not run: {error.message}", "`pip install --force-reinstall uv`"
    found = [] if version else [Finding("uv", text, remedy, severity="warning")]
    return _part("installer", f"uv {version}" if version else "pip", found, uv=version)


def _git(_: Root) -> Part:
    try:
        version = run(["git", "--version"]).stdout.split()[2]
    except CommandError:
        text, remedy = "git is not installed, or does not run", "install git, or deploy with --no-tag"
        return _part("git", "none", [Finding("git", text, remedy, severity="warning")], git=None)
    return _part("git", version, [], git=version)


def _root(root: Root) -> Part:
    free = shutil.disk_usage(resources.existing(root.path)).free
    found = [*resources.writable(root.path)]
    for one in resources.disk(root.path, _ROOM_BYTES, "free some space: an environment with a model takes about that"):
        found.append(one.as_warning() if free > _ROOM_BYTES // 4 else one)
    if len(os.fsencode(root.path)) > _LONGEST_ROOT:
        text = f"the root's path is {len(os.fsencode(root.path))} bytes long; programs in environments may not start"
        found.append(Finding("path-length", text, "pass a shorter --root", Where(str(root.path)), severity="warning"))
    for name in root.names():
        found += resources.foreign(root.deployment(name).folder)
    return _part("root", f"{root.path}, {free // MIB} MiB free", found, root=str(root.path), disk_free_bytes=free)


def _file_system(root: Root) -> Part:
    """Try in a folder of its own, beside where deployments go, all that they need of a file system."""
    place = resources.existing(root.path)
    trials: list[tuple[str, Callable[[Path], None], Severity, str]] = [
        ("symlinks", _try_symlink, "error", "`current` is one"),
        ("flock", _try_flock, "error", "it keeps commands from each other"),
        ("unix-sockets", _try_unix_socket, "error", "the supervisor answers on one"),
        ("programs", _try_program, "error", "the file system is mounted noexec"),
        ("hard-links", _try_hard_link, "warning", "weights are then copied for each release"),
        ("case-sensitivity", _try_case, "info", "two files of a bundle may not differ in case alone"),
    ]
    found = []
    try:
        with tempfile.TemporaryDirectory(prefix=".doctor-", dir=place) as name:
            for code, attempt, severity, why in trials:
                try:
                    attempt(Path(name))
                except (OSError, CommandError) as error:
                    text = f"{place} has no working {code.replace('-', ' ')}: {error}; {why}"
                    remedy = "" if severity == "info" else "pass a --root on a local file system such as ext4 or xfs"
                    found.append(Finding(f"fs-{code}", text, remedy, Where(str(place)), severity=severity))
    except OSError as error:
        text = f"no file can be written in {place}: {error.strerror}"
        found.append(Finding("fs-write", text, "pass --root, or mend the disk", Where(str(place))))
    failed = {finding.code.removeprefix("fs-") for finding in found}
    able = [code for code, *_ in trials if code not in failed]
    return _part("file system", ", ".join(able) if "write" not in failed else "not tried", found)


def _try_symlink(folder: Path) -> None:
    (folder / "link").symlink_to("target")
    (folder / "link").replace(folder / "link-2")


def _try_hard_link(folder: Path) -> None:
    (folder / "one").touch()
    (folder / "two").hardlink_to(folder / "one")


def _try_flock(folder: Path) -> None:
    import fcntl

    with (folder / "lock").open("w") as file, (folder / "lock").open("w") as other:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        try:
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
    raise OSError("two may hold one lock")


def _try_unix_socket(folder: Path) -> None:
    from ocrpack.deploy.system.sockets import bind_unix, short_address

    with short_address(folder / "socket") as address, socket.socket(socket.AF_UNIX) as client, bind_unix(address):
        client.connect(address)


def _try_program(folder: Path) -> None:
    program = folder / "program"
    program.write_text("#!/bin/sh\nexit 0\n", encoding="ascii")
    program.chmod(0o700)
    run([program])


def _try_case(folder: Path) -> None:
    (folder / "case").touch()
    if (folder / "CASE").exists():
        raise OSError("it takes two names that differ in case for one")


def _memory(_: Root) -> Part:
    import psutil

    available, limit, swap = resources.available_memory(), resources.memory_limit(), psutil.swap_memory().total
    total = int(psutil.virtual_memory().total)
    found = []
    if available < _MEMORY_BYTES:
        text = f"{available // MIB} MiB of memory are free; two releases live side by side while one takes over"
        remedy = "stop other programs, or raise the container's limit" if limit else "stop other programs, or add swap"
        found.append(Finding("memory", text, remedy, severity="warning"))
    within = f", limited to {limit // MIB} MiB" if limit is not None and limit < total else ""
    facts = {
        "memory_total_bytes": total,
        "memory_available_bytes": available,
        "memory_limit_bytes": limit,
        "swap_bytes": int(swap),
    }
    return _part("memory", f"{available // MIB} of {total // MIB} MiB free{within}", found, **facts)


def _processors(_: Root) -> Part:
    count = resources.processors()
    text, remedy = f"{count:g} processors may be used; OCR is slow with less than one", "raise the container's limit"
    found = [Finding("cpus", text, remedy, severity="warning")] if count < 1 else []
    return _part("processors", f"{count:g} of {os.cpu_count()}", found, cpus=count, cpus_total=os.cpu_count())


def _open_files(_: Root) -> Part:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    found = []
    if soft != resource.RLIM_INFINITY and soft < _OPEN_FILES:
        text = f"a process may open {soft} files, each client takes one"
        found.append(Finding("open-files", text, "raise it: `ulimit -n 4096`", severity="warning"))
    return _part("open files", f"{soft} (at most {hard})", found, open_files=soft, open_files_hard=hard)


def _clock(root: Root) -> Part:
    from ocrpack.logs import timestamp

    journals = [root.deployment(name).deploy_log for name in root.names()]
    return _part("clock", timestamp(), resources.clock(journals))


def _gpu(_: Root) -> Part:
    visible = resources.gpu()
    return _part("gpu", "visible" if visible else "none, which few bundles need", [], gpu=visible)


def _systemd(_: Root) -> Part:
    runs = units.manager_runs()
    user = resources.account(os.geteuid())
    found = []
    if not runs:
        text = "systemd does not run here: nothing starts deployments after a boot"
        found.append(Finding("systemd", text, "`ocrpack service install` tells what to do instead", severity="info"))
    elif os.geteuid() != 0 and not units.lingers(user):
        text = f"units of {user} end with the last logout"
        found.append(Finding("linger", text, f"loginctl enable-linger {user}", severity="info"))
    return _part("systemd", "runs" if runs else "none", found, systemd=runs, lingering=units.lingers(user))


def _tesseract(_: Root) -> Part:
    places = [os.environ.get("TESSDATA_PREFIX", ""), *_TESSDATA]
    data = next((file for place in places if place for file in glob.glob(f"{place}/eng.traineddata")), None)  # noqa: PTH207 - absolute patterns
    found = []
    if data is None:
        text = "no eng.traineddata: the default bundle cannot be built here"
        found.append(Finding("tessdata", text, "Debian, Ubuntu: `apt-get install tesseract-ocr-eng`", severity="info"))
    return _part("tesseract", data or "no English data", found, tessdata=data)
