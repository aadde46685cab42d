"""The only place that prints: results on stdout, progress and prose on stderr, one JSON document with `--json`."""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from functools import cache
from typing import TYPE_CHECKING, Any, TextIO

from ocrpack.errors import Finding, OcrpackError
from ocrpack.logs import Event

if TYPE_CHECKING:
    from rich.console import Console

_HEARTBEAT_S = 10.0
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_STYLES = {"error": "bold red", "warning": "yellow", "info": "blue", "debug": "dim"}


class ReaderGoneError(Exception):
    """Nobody reads the results any more, as in `ocrpack logs | head`.

    It is no OSError, since Typer takes a broken pipe for a failure.
    """


@cache
def stderr() -> Console:
    """Return the console for prose; plain where stderr is no terminal, without colour where NO_COLOR is set.

    Prose that nobody reads any more is dropped; what the command does goes on.
    """
    from rich.console import Console

    class Prose(Console):
        def on_broken_pipe(self) -> None:
            self.quiet = True

    return Prose(stderr=True, highlight=False, soft_wrap=True)


@cache
def stdout() -> Console:
    """Return the console for results; where nobody reads them any more, printing raises ReaderGoneError."""
    from rich.console import Console

    class Results(Console):
        def on_broken_pipe(self) -> None:
            raise ReaderGoneError

    return Results(highlight=False, soft_wrap=True)


def print_json(document: Any, *, lines: bool = False) -> None:
    """Print one JSON document, or one line of JSON lines."""
    text = json.dumps(document, ensure_ascii=False, indent=None if lines else 2)
    try:
        sys.stdout.write(text.encode("utf-8", "backslashreplace").decode() + "\n")
        if lines:
            sys.stdout.flush()
    except BrokenPipeError:
        raise ReaderGoneError from None


def visible(text: str) -> str:
    """Return a text whose control characters can be seen and do nothing: it may be a stranger's."""
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def is_plain(stream: TextIO) -> bool:
    """Tell whether a stream shows no colours; then rich is not needed, whose import takes 0.06 s."""
    forced = os.environ.get("FORCE_COLOR") or os.environ.get("TTY_COMPATIBLE") == "1"
    return not forced and not stream.isatty()


def say(text: str, *, quiet: bool = False, style: str = "") -> None:
    """Print prose for a person."""
    if quiet:
        return
    if is_plain(sys.stderr):
        with contextlib.suppress(BrokenPipeError):
            sys.stderr.write(visible(text) + "\n")
            sys.stderr.flush()
    else:
        stderr().print(visible(text), style=style, markup=False)


def result(text: str) -> None:
    """Print a result."""
    try:
        sys.stdout.write(visible(text) + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        raise ReaderGoneError from None


def write(data: bytes) -> None:
    """Print a result's own bytes: exactly as they are into a file or pipe, with nothing that acts on a terminal."""
    try:
        if sys.stdout.isatty():
            result(data.decode("utf-8", "replace").removesuffix("\n"))
        else:
            sys.stdout.flush()
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise ReaderGoneError from None


def table(columns: list[str], rows: Iterable[Iterable[str]]) -> None:
    """Print results as a table; plain aligned columns, so that it can be cut and grepped."""
    cells = [columns, *[list(row) for row in rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(columns))]
    for row in cells:
        result("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def findings(found: Iterable[Finding]) -> None:
    """Print findings for a person, with place, what was expected and got, and the remedy."""
    found = list(found)
    if not found:
        return
    console = stderr()
    from rich.text import Text

    for finding in found:
        line = Text()
        if finding.where is not None:
            line.append(visible(f"{finding.where}: "))
        line.append(finding.severity, _STYLES[finding.severity])
        line.append(visible(f"[{finding.code}] {finding.message}"))
        if finding.where is not None and finding.where.pointer:
            line.append(f" (at {finding.where.pointer})", "dim")
        console.print(line)
        for label, text in (("expected", finding.expected), ("got", finding.got), ("remedy", finding.remedy)):
            if text:
                shown = text if len(text) <= 400 else text[:400] + "…"
                console.print(Text(visible(f"    {label}: {shown}"), "" if label == "remedy" else "dim"))


def fail(error: OcrpackError, *, as_json: bool) -> int:
    """Print an error and return its exit status."""
    if as_json:
        with contextlib.suppress(OSError):  # else where results cannot be written, it is said on stderr
            print_json({**error.answer, "error": error.as_dict()})
            return error.exit_code
    with contextlib.suppress(OSError):
        findings(finding for finding in error.findings if finding.where or finding.message != error.message)
        say(f"error: {error.message}", style=_STYLES["error"])
        if error.remedy:
            say(f"  {error.remedy}")
    return error.exit_code


def size(count: int) -> str:
    """Return a number of bytes for a person."""
    from rich.filesize import decimal

    return decimal(count)


def counted(count: int, noun: str) -> str:
    """Return a number of things for a person."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def duration(seconds: float | None) -> str:
    """Return a span of seconds for a person."""
    if seconds is None:
        return "-"
    whole = int(seconds)
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if whole >= length:
            return f"{whole // length} {unit}"
    return f"{whole} s"


class Progress:
    """Shows how a build or a deploy goes on: an animation on a terminal, plain lines elsewhere, nothing if quiet."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._console = stderr()
        self._live = self._console.is_terminal and not quiet
        self._phase = ""
        self._begin = time.monotonic()
        self._stop = threading.Event()

    @contextlib.contextmanager
    def shown(self) -> Iterator[Progress]:
        """Show progress while the block runs."""
        from rich import progress

        class Bytes(progress.ProgressColumn):
            """A bar and the bytes so far, where bytes are counted."""

            def render(self, task: progress.Task) -> str:
                if not task.total:
                    return ""
                speed = f", {size(int(task.speed))}/s" if task.speed else ""
                return f"{task.percentage:3.0f}% of {size(int(task.total))}{speed}"

        self._bar = progress.Progress(
            progress.SpinnerColumn(),
            progress.TextColumn("{task.description}"),
            Bytes(),
            progress.TimeElapsedColumn(),
            console=self._console,
            transient=True,
            disable=not self._live,
        )
        beat = threading.Thread(target=self._heartbeat, daemon=True)
        if not self._quiet and not self._live:
            beat.start()
        try:
            with self._bar:
                self._task = self._bar.add_task("", total=None, visible=False)
                yield self
        finally:
            self._stop.set()

    def _heartbeat(self) -> None:
        while not self._stop.wait(_HEARTBEAT_S):
            if self._phase and time.monotonic() - self._begin >= _HEARTBEAT_S:
                say(f"  {self._phase} … {time.monotonic() - self._begin:.0f} s")

    def total(self, count: int) -> None:
        """Begin to count bytes."""
        self._bar.update(self._task, total=count, completed=0)

    def advance(self, count: int) -> None:
        """Count bytes."""
        self._bar.advance(self._task, count)

    def doing(self, what: str) -> None:
        """Name what is being done."""
        self._phase, self._begin = what, time.monotonic()
        self._bar.remove_task(self._task)
        self._task = self._bar.add_task(what, total=None)

    def line(self, text: str) -> None:
        """Show one line of a child process's output."""
        if self._live:
            self._bar.update(self._task, description=f"{self._phase}  {text.strip()[:60]}")

    def event(self, event: Event) -> None:
        """Show an event of the journal."""
        if event.event == "start":
            self.doing(event.phase)
        elif event.event == "done" and not self._quiet:
            say(f"  {event.phase:<12} {event.seconds:6.2f} s")
        elif event.event == "output":
            self.line(event.message)
        elif event.event == "note" and event.level != "debug" and not self._quiet:
            say(f"  {event.phase:<12} {event.message}", style=_STYLES[event.level] if event.level != "info" else "dim")
