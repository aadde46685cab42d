"""A systemd of its own, in namespaces: the machine that is booted, loses its power, and boots again."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from tests.patience import PATIENCE

_CGROUPS = Path("/sys/fs/cgroup/unified") if Path("/sys/fs/cgroup/unified").is_dir() else Path("/sys/fs/cgroup")
_TARGETS = ("sysinit", "sockets", "network", "shutdown", "umount", "slices", "timers", "paths", "network-online")
_BOOT = """
set -eu
echo $$ > "$1/cgroup.procs"
shift
exec unshare --fork --kill-child --pid --mount --uts --ipc --cgroup --propagation private sh -euc '
mount -t proc proc /proc
umount -R /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t tmpfs tmpfs /run
mkdir -p /etc/systemd/system
mount --bind "$2" /etc/systemd/system
export SYSTEMD_UNIT_PATH="$1:/etc/systemd/system" container=ocrpack-test
exec /lib/systemd/systemd --system --unit=multi-user.target --log-target=console --show-status=no' sh "$@"
"""


class Booted:
    """A booted machine that has no units but the few targets, and those that are installed on it."""

    def __init__(self, folder: Path) -> None:
        self.units, self.installed = folder / "targets", folder / "installed"
        self._log, self._process = folder / "systemd.log", None
        self.installed.mkdir(parents=True)
        self.units.mkdir()
        for name in _TARGETS:
            (self.units / f"{name}.target").write_text("[Unit]\nDefaultDependencies=no\n")
        wants = {"basic": "sysinit.target sockets.target", "multi-user": "basic.target"}
        for name, others in wants.items():
            text = f"[Unit]\nDefaultDependencies=no\nRequires={others}\nAfter={others}\n"
            (self.units / f"{name}.target").write_text(text)
        self._cgroup = _CGROUPS / f"ocrpack-test-{os.getpid()}"

    def boot(self) -> tuple[str, ...]:
        """Boot, and return what a command is to be called through."""
        try:
            self._cgroup.mkdir(exist_ok=True)
        except OSError:
            pytest.skip("may not make a cgroup")
        with self._log.open("ab") as log:
            argv = ["sh", "-c", _BOOT, "sh", self._cgroup, self.units, self.installed]
            self._process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
            first = children.read_text().split()[:1] if children.exists() else []
            if first:
                within = ("nsenter", "-t", first[0], "-m", "-p", "-C", "-i", "-u")
                asked = subprocess.run([*within, "systemctl", "is-system-running"], capture_output=True, text=True)
                if asked.stdout.strip() in {"running", "degraded"}:
                    return within
            if self._process.poll() is not None:
                break
            time.sleep(0.05)
        said = self._log.read_text()
        self.power_off()
        if "not permitted" in said or "denied" in said:
            pytest.skip(f"may not mount: {said}")
        raise AssertionError(f"systemd does not boot: {said}")

    def power_off(self) -> None:
        """End everything at once, as when the power fails."""
        if self._process is not None:
            self._process.kill()  # unshare kills the init with it, and the kernel all that ran under that
            self._process.wait()
            self._process = None
        deadline = time.monotonic() + PATIENCE
        while self._cgroup.exists():
            try:
                for folder in sorted(self._cgroup.rglob("*"), reverse=True):
                    if folder.is_dir():
                        folder.rmdir()
                self._cgroup.rmdir()
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
