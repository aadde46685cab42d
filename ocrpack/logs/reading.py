"""Read logs back: the journal and the app's output, merged by time."""

from __future__ import annotations

import contextlib
import heapq
import json
import os
import re
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
class Mark:
    """A place in a log: the file, be it rotated since, and the bytes before the place."""

    file: tuple[int, int]
    size: int


def read(path: Path, parse: Parser, mark: Mark | None = None) -> Iterator[Event]:
    """Yield the events of a log and its rotated predecessors, up to a mark if there is one.

    A line without a time takes the time before it.
    """
    last = ""
    for file in rotated_files(path):
        with contextlib.suppress(FileNotFoundError), file.open("rb") as lines:
            marked = mark is not None and mark.file == identity(lines)
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


def identity(file: BinaryIO) -> tuple[int, int]:
    """Return what tells an open file from all others, whatever it is called by now."""
    status = os.fstat(file.fileno())
    return status.st_dev, status.st_ino


def merged(logs: list[tuple[Path, Parser]], query: Query) -> Iterator[Event]:
    """Yield the events of several logs that the query admits, in the order of time."""
    return by_time([read(path, parse) for path, parse in logs], query)


def by_time(streams: list[Iterator[Event]], query: Query) -> Iterator[Event]:
    """Yield the events of several streams that the query admits, in the order of time."""
    return filter(query.admits, heapq.merge(*streams, key=lambda event: event.time))
