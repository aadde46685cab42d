"""The table of how every cell ended, written by the run itself."""

from __future__ import annotations

import datetime
import os
import platform
from pathlib import Path

_HEAD = """# Reliability

What goes wrong is brought about on purpose, one fault at a time, while {clients} clients use the service: real
processes, real sockets. Each row below was measured by `make faults`, which wrote this table: {count} cells, {passed}
as expected, on {date}, with {cores} cores, {system}, Python {python}.

In every cell, besides what the row tells: no request fails, save that each client may lose the one that it has with a
serving process when that is killed with -9; `current` names the old release or the new one; the lock is free; the next
deploy succeeds; afterwards no process, port, temporary folder or mark of the fault is left, and the journal has one
`begin` and one `end` for every command.

| fault | phase | exit code | failed requests | serves | seconds | |
|---|---|---:|---:|---|---:|---|
"""


class Report:
    """Collects the cells of all processes of a run."""

    def __init__(self, place):
        self._place = place
        self._rows = []

    def pytest_runtest_logreport(self, report):
        """Take a cell's row once its test has ended."""
        row = dict(report.user_properties).get("cell")
        if row is not None and report.when == "call":
            self._rows.append((report.nodeid, {**row, "passed": report.passed}))

    def pytest_terminal_summary(self, terminalreporter):
        """Tell how many cells ran, and write the table."""
        if not self._rows:
            return
        failed = sum(not row["passed"] for _, row in self._rows)
        requests, lost = (sum(row[key] for _, row in self._rows) for key in ("requests", "failed"))
        text = f"{len(self._rows)} cells ran, {failed} failed; {requests} requests, {lost} lost"
        terminalreporter.section("fault matrix")
        terminalreporter.line(text)
        if self._place:
            Path(self._place).write_text(self._table(failed), encoding="utf-8")

    def _table(self, failed):
        from tests.faults.load import CLIENTS
        from tests.faults.matrix import CELLS

        order = {f"[{cell}]": place for place, cell in enumerate(CELLS)}
        rows = sorted(self._rows, key=lambda row: order[row[0][row[0].index("[") :]])
        head = _HEAD.format(
            clients=CLIENTS, count=len(rows), passed=len(rows) - failed, cores=os.cpu_count(),
            date=datetime.datetime.now(datetime.UTC).date(), system=platform.system(),
            python=".".join(platform.python_version_tuple()[:2]),
        )  # fmt: skip
        return head + "".join(_line(row) for _, row in rows)


def _line(row):
    exit = {None: "", -9: "killed"}.get(row["exit"], row["exit"])
    requests = f"{row['failed']} of {row['requests']}" if row["requests"] else ""
    words = "" if row["passed"] else "**not as expected**"
    return f"| {row['fault']} | {row['phase']} | {exit} | {requests} | {row['serves']} | {row['seconds']} | {words} |\n"
