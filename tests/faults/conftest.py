"""The targets that cells run on, and the table of how they ended."""

from __future__ import annotations

import contextlib
import os
import subprocess
from pathlib import Path

import pytest

from tests.conftest import new_machine
from tests.faults import report
from tests.faults.bench import Bench
from tests.faults.index import Index

_DISK = "size=200m"


def pytest_addoption(parser):
    parser.addoption("--reliability", metavar="FILE", help="write how every cell ended to this file")


def pytest_configure(config):
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(report.Report(config.getoption("--reliability", None)))


class Benches:
    """Targets by their kind; cells share one as long as each leaves it sound."""

    def __init__(self, folder, stack):
        self._folder, self._stack = folder, stack
        self._made: dict[str, Bench] = {}

    def get(self, kind):
        if kind not in self._made:
            self._made[kind] = self._make(kind)
        bench = self._made[kind]
        if not bench.sound or kind == "first":
            bench.discard()
        return bench

    def _make(self, kind):
        folder = self._folder / kind
        holds = folder / "holds"
        holds.mkdir(parents=True)
        root = self._mounted(folder) / "root" if kind == "disk" else None
        machine = self._stack.enter_context(new_machine(folder, root))
        if kind == "clock":
            machine.env.update(_faked_clock(folder))
        bench = Bench(machine, self._stack.enter_context(Index(holds)), holds)
        self._stack.callback(bench.discard)
        return bench

    def _mounted(self, folder):
        disk = folder / "disk"
        disk.mkdir()
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", _DISK, "tmpfs", disk], capture_output=True, text=True)
        if mounted.returncode != 0:
            pytest.skip(f"may not mount a small disk: {mounted.stderr}")
        self._stack.callback(subprocess.run, ["umount", disk], check=True)
        return disk


def _faked_clock(folder):
    """Return the variables that let a process see the wall clock shifted by the seconds in the file `clock`."""
    source, library = Path(__file__).with_name("wallclock.c"), folder / "wallclock.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", library, source, "-ldl"], check=True)
    return {"LD_PRELOAD": str(library), "WALLCLOCK": str(folder / "clock")}


@pytest.fixture(scope="session")
def benches(tmp_path_factory):
    with contextlib.ExitStack() as stack:
        yield Benches(tmp_path_factory.mktemp(f"b{os.getpid()}"), stack)
