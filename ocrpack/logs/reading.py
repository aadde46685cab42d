"""Read logs back: the journal and the app's output, merged by time, and followed while they grow."""

from __future__ import annotations

import contextlib
import heapq
import json
import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

from ocrpack.logs.journal import LEVELS, Event, Level
from ocrpack.logs.rotation import rotated_files

_LEVEL_WORD = re.compile(r"\b(DEBUG|INFO|WARNING|WARN|ERROR|CRITICAL|Traceback)\b")

_LEVEL_OF: dict[str, Level] = {
    "DEBUG": "debug", "INFO": "info", "WARN": "warning", "WARNING": "warning",
    "ERROR": "error", "CRITICAL": "error", "Traceback": "error",
}  # fmt: skip


@dataclass(frozen=True)
class Query:
    """Which events to read; an empty field selects everything."""

    since: str = ""
    until: str = ""
    level: Level = "debug"
    phase: str = ""
    grep: str = ""

    def admits(self, event: Event) -> bool:
        """Tell whether the event is asked for."""
        return (
            (not self.since or event.time >= self.since)
            and (not self.until or event.time <= self.until)
            and LEVELS.index(event.level) >= LEVELS.index(self.level)
            and (not self.phase or event.phase == self.phase)
            and (not self.grep or re.search(self.grep, event.message) is not None)
        )


def parse_journal_line(line: str) -> Event | None:
    """Read one line of deploy.jsonl; a line that a crash cut short becomes a warning that holds its text."""
    if not line.strip():
        return None
    try:
        return _event(json.loads(line))
    except (ValueError, TypeError, RecursionError):
        found = re.search(r'"time":"([^"]{24})"', line)
        return Event(
            found[1] if found else "", event="cut", level="warning", message=f"unreadable line: {line.strip()}"
        )


def _event(values: dict[str, Any]) -> Event:
    event = Event(**values)
    texts = (event.time, event.deploy, event.phase, event.event, event.message, event.release)
    if not all(isinstance(text, str) for text in texts) or event.level not in LEVELS:
        raise ValueError("no event")
    if not isinstance(event.seconds, int | float | None) or not isinstance(event.data, dict):
        raise ValueError("no event")
    return event


def parse_instance_line(line: str) -> Event | None:
    """Read one line of instance.log: time, release, text."""
    if not line.strip():
        return None
    moment, _, rest = line.rstrip("\n").partition(" ")
    release, _, text = rest.partition(" ")
    if len(moment) != 24 or not moment.endswith("Z"):
        return Event("", event="output", message=line.rstrip("\n"))
    found = _LEVEL_WORD.search(text[:200])
    level = _LEVEL_OF[found[1]] if found else "info"
    return Event(moment, event="output", level=level, message=text, release=release)


Parser = Callable[[str], Event | None]


@dataclass(frozen=True)
class _Mark:
    """A place in a log: the file, be it rotated since, and the bytes before the place."""

    file: tuple[int, int]
    size: int


def read(path: Path, parse: Parser, mark: _Mark | None = None) -> Iterator[Event]:
    """Yield the events of a log and its rotated predecessors, up to a mark if there is one.

    A line without a time takes the time before it.
    """
    last = ""
    for file in rotated_files(path):
        with contextlib.suppress(FileNotFoundError), file.open("rb") as lines:
            marked = mark is not None and mark.file == _identity(lines)
            left = mark.size if mark is not None and marked else None
            for line in lines:
                if left is not None:
                    if left <= 0:
                        break
                    left -= len(line)
                event = parse(line.decode("utf-8", "replace"))
                if event is None:
                    continue
                last = event.time or last
                yield event if event.time else replace(event, time=last)
            if marked:
                return


def _identity(file: BinaryIO) -> tuple[int, int]:
    status = os.fstat(file.fileno())
    return status.st_dev, status.st_ino


def merged(logs: list[tuple[Path, Parser]], query: Query) -> Iterator[Event]:
    """Yield the events of several logs that the query admits, in the order of time."""
    return _by_time([read(path, parse) for path, parse in logs], query)


def _by_time(streams: list[Iterator[Event]], query: Query) -> Iterator[Event]:
    return filter(query.admits, heapq.merge(*streams, key=lambda event: event.time))


def follow(
    logs: list[tuple[Path, Parser]], query: Query, poll_s: float = 0.2
) -> tuple[Iterator[Event], Iterator[Event]]:
    """Return the events so far, in the order of time, and those that are written from this call on, for ever.

    No event is lost between the two, and none is in both; rotation is survived.
    """
    tails = [_Tail(path, parse) for path, parse in logs]
    past = _by_time([read(path, parse, tail.mark) for (path, parse), tail in zip(logs, tails, strict=True)], query)

    def coming() -> Iterator[Event]:
        try:
            while True:
                for tail in tails:
                    yield from filter(query.admits, tail.news())
                time.sleep(poll_s)
        finally:
            for tail in tails:
                tail.close()

    return past, coming()


class _Tail:
    """Reads what is added to one log; after a rotation it reads the old file to its end before the new one."""

    def __init__(self, path: Path, parse: Parser) -> None:
        self._path = path
        self._parse = parse
        self._file = self._open()
        self._rest = b""
        self._last = ""
        self.mark: _Mark | None = None
        if self._file is not None:
            self.mark = _Mark(_identity(self._file), self._file.seek(0, os.SEEK_END))

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()

    def news(self) -> Iterator[Event]:
        """Yield the events of the whole lines that were added since the last call."""
        newer = self._open()
        if newer is not None and self._file is not None and os.path.sameopenfile(newer.fileno(), self._file.fileno()):
            newer.close()
            newer = None
        yield from self._read()
        if newer is not None:
            if self._file is not None:
                self._file.close()
            self._file, self._rest = newer, b""
            yield from self._read()

    def _open(self) -> BinaryIO | None:
        try:
            return self._path.open("rb")
        except FileNotFoundError:
            return None

    def _read(self) -> Iterator[Event]:
        if self._file is None:
            return
        *lines, self._rest = (self._rest + self._file.read()).split(b"\n")
        for line in lines:
            event = self._parse(line.decode("utf-8", "replace"))
            if event is not None:
                self._last = event.time or self._last
                yield event if event.time else replace(event, time=self._last)
