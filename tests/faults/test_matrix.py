"""Every cell of the matrix: a fault in a phase, under load, and what must hold afterwards."""

from __future__ import annotations

import contextlib
import re
import time

import pytest

from tests.faults.faults import Scene
from tests.faults.invariants import check_failures, check_settled
from tests.faults.load import CLIENTS, Load
from tests.faults.matrix import CELLS


@pytest.mark.faults
@pytest.mark.timeout(180)
@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_cell(cell, benches, record_property):
    row = {"fault": cell.fault, "phase": cell.phase or "idle", "exit": None, "failed": 0, "requests": 0, "serves": ""}
    record_property("cell", row)
    bench = benches.get(cell.place)
    if cell.place != "first":
        _prepare(bench, cell)
    bench.sound = False
    bundle = bench.bundle(**cell.bundle)
    old, new = bench.current, bench.previous if cell.words[0] == "rollback" else _version(bundle)
    load = Load(bench.machine.port)
    begin = time.monotonic()
    try:
        with load if cell.serving else contextlib.nullcontext():
            bench.machine.wait(lambda: load.requests > CLIENTS or not cell.serving)
            ran = cell.do(Scene(bench, bundle, cell.phase, cell.words))
            served = bench.current
            row["exit"], row["serves"] = ran and ran.status, {old: "old", new: "new"}.get(served, "none")
            _check_fault(cell, bench, ran, old, new)
            last = _deploy_next(cell, bench, bundle)
            bench.machine.wait(lambda: load.versions[-1:] == [last] or not cell.serving)
    finally:
        row["failed"], row["requests"] = len(load.failures), load.requests
        row["seconds"] = round(time.monotonic() - begin, 1)
    check_failures(load, cell.lost)
    check_settled(bench, last)
    bench.sound, bench.plain = True, cell.then == "next"


def _prepare(bench, cell):
    """Let a good release serve: the one that serves already, unless it has to differ; there is an earlier one."""
    wanted = 2 if not bench.sound else 1 if cell.base or not bench.plain else 0
    for _ in range(wanted):
        ran = bench.run("deploy", bench.bundle(**cell.base))
        assert ran.status == 0, ran.err
    bench.plain = not cell.base


def _check_fault(cell, bench, ran, old, new):
    """Check what the fault itself may do: how the command ends, what it says, and what serves then."""
    if cell.exit is not None:
        assert ran.status in (cell.exit if isinstance(cell.exit, tuple) else (cell.exit,)), (
            f"{ran.status}\n{ran.out}\n{ran.err}"
        )
        assert re.search(cell.says, ran.err), f"not {cell.says!r} in\n{ran.err}"
    assert bench.current in {"old": {old}, "new": {new}, "either": {old, new}}[cell.serves]
    if (bench.folder / "lock").exists():
        assert not bench.locked(), "the lock is held"
    if cell.place != "first":
        assert bench.status().state in cell.state.split("|")


def _deploy_next(cell, bench, bundle):
    """Deploy with success, which is the next command after the fault, and return the version that serves then."""
    again = bundle if cell.then == "same" else bench.bundle()
    ran = bench.run("deploy", again)
    assert ran.status == 0, f"the next deploy: {ran.status}\n{ran.err}"
    return _version(again)


def _version(bundle):
    return bundle.stem.partition("-")[2]
