"""Shows how far many inputs are read: a bar on a terminal, a line for each elsewhere, nothing if quiet."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ocrpack.cli import console

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

    from ocrpack.client import Source

_BEAT_S = 10.0
_NAME_CHARACTERS = 26


class Tally:
    """Counts inputs and pages; its methods may be called from any thread."""

    def __init__(self, total: int, *, quiet: bool, live: bool, lines: bool) -> None:
        """Prepare for `total` inputs; `live` asks for a bar where there is a terminal, `lines` for a line each."""
        self._total, self._quiet, self._lines = total, quiet, lines
        terminal = console.stderr()
        self._live = live and not quiet and terminal.is_terminal and not terminal.is_dumb_terminal
        self._begin = self._beat = time.monotonic()
        self._done = self._read = self._pages = 0
        self._said = ""
        self._guard = threading.Lock()
        self._bar: Bar | None = None
        self._task: TaskID | None = None

    @contextlib.contextmanager
    def shown(self) -> Iterator[Tally]:
        """Show it while the block runs."""
        from rich import progress
        from rich.table import Column

        with progress.Progress(
            progress.SpinnerColumn(),
            progress.TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True)),
            progress.BarColumn(bar_width=None, table_column=Column(ratio=1, min_width=6)),
            progress.TextColumn("{task.fields[count]}", table_column=Column(no_wrap=True)),
            console=console.stderr(),
            transient=True,
            expand=True,
            redirect_stdout=False,
            redirect_stderr=False,
            disable=not self._live,
        ) as self._bar:
            self._task = self._bar.add_task("", total=self._total, count=self._count)
            yield self
        self._bar = None

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._begin

    @property
    def pages(self) -> int:
        """Pages that were read."""
        return self._pages

    def waits(self, why: str) -> None:
        """Say why a request has to wait; the same is not said twice in a row."""
        with self._guard:
            told, self._said = self._said == why, why
        if not told:
            console.say(f"  {why}", quiet=self._quiet, style="yellow")

    def page(self, source: Source, done: int, total: int | None) -> None:
        """Show how far a document is read."""
        if not done and total is None:
            return
        text = f"page {done} of {total}" if total else f"page {done}"
        self._describe(f"{_short(source.shown)} {text}")
        with self._guard:
            due = time.monotonic() - self._beat >= _BEAT_S
            self._beat = time.monotonic() if due else self._beat
        if due and not self._live:
            console.say(f"  {source.shown}: {text}", quiet=self._quiet)

    def done(self, source: Source, what: str, pages: int) -> None:
        """Count an input, and say what became of it; nothing is said of one that there was no need to read."""
        with self._guard:
            self._done += 1
            self._read += bool(what)
            self._pages += pages
            self._said = ""
            width = len(str(self._total))
            line = f"  {self._done:>{width}}/{self._total}  {source.shown}  {what}"
        if what and self._lines and not self._live:
            console.say(line, quiet=self._quiet)
        self._describe(_short(source.shown))

    def _describe(self, text: str) -> None:
        if self._bar is not None and self._task is not None:
            shown = console.visible(text)
            self._bar.update(self._task, completed=self._done, description=shown, count=self._count)

    @property
    def _count(self) -> str:
        """Files, pages, rate and the time that is left, as short as they can be."""
        parts = [f"{self._done}/{self._total}"]
        if self._pages != self._done:
            parts.append(f"{self._pages} p")
        if self._read and self.seconds > 0:
            rate = self._read / self.seconds
            parts.append(f"{rate:.1f}/s" if rate >= 1 else f"{1 / rate:.1f} s each")
            parts.append(f"{console.duration((self._total - self._done) / rate)} left")
        return "  ".join(parts)


def _short(name: str) -> str:
    return name if len(name) <= _NAME_CHARACTERS else "…" + name[1 - _NAME_CHARACTERS :]
