"""Write deployment events and read them back: one JSON object a line, appended whole.

The instance log (the app's own output) is read here too, so that `ocrpack logs` can merge both.
"""

from __future__ import annotations

import contextlib
import heapq
import json
import os
import re
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Literal

from ocrpack.errors import InterruptedByUserError, OcrpackError

Level = Literal["debug", "info", "warning", "error"]
MAX_BYTES, KEEP = 10 << 20, 5
"""How large a log may grow before it is rotated, and how many predecessors are kept."""
LEVELS: tuple[Level, ...] = ("debug", "info", "warning", "error")
_LEVEL_WORD = re.compile(r"\b(DEBUG|INFO|WARNING|WARN|ERROR|CRITICAL|Traceback)\b")
_LEVEL_OF: dict[str, Level] = {
    "DEBUG": "debug", "INFO": "info", "WARN": "warning", "WARNING": "warning",
    "ERROR": "error", "CRITICAL": "error", "Traceback": "error",
}  # fmt: skip


@dataclass(frozen=True)
class Event:
    """One line of the journal, or one line of the instance log with `event` set to `output`."""

    time: str
    """UTC in ISO 8601 with milliseconds; sorts as text."""
    deploy: str = ""
    phase: str = ""
    event: str = "note"
    """`begin` and `end` frame a command, `start`, `done` and `failed` a phase; `note` and `output` are single lines."""
    level: Level = "info"
    message: str = ""
    seconds: float | None = None
    release: str = ""
    data: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return the event as JSON-ready values."""
        return asdict(self)


def timestamp(seconds: float | None = None) -> str:
    """Return a moment (seconds since the epoch, now by default) as the journal writes it."""
    moment = datetime.now(UTC) if seconds is None else datetime.fromtimestamp(seconds, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def new_deploy_id() -> str:
    """Return a fresh deploy id that sorts by time."""
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()) + "-" + secrets.token_hex(3)


class Journal:
    """The events of one command, appended to a file and handed to a listener as they happen."""

    def __init__(self, path: Path | None, deploy: str, listener: Callable[[Event], None] | None = None) -> None:
        self.deploy = deploy
        self._path = path
        self._waiting: list[bytes] = []
        self._listener = listener
        self._forgiving = False

    def forgive(self) -> None:
        """From now on, let a full disk lose events rather than fail the command."""
        self._forgiving = True

    def keep_in(self, path: Path) -> None:
        """Write to a file from now on, beginning with the events so far."""
        if self._path is None:
            self._path = path
            append(path, b"".join(self._waiting))

    def write(
        self,
        event: str,
        message: str = "",
        *,
        phase: str = "",
        level: Level = "info",
        seconds: float | None = None,
        release: str = "",
        **data: Any,
    ) -> None:
        """Append one event; a line cut short by an earlier crash is closed first."""
        line = Event(timestamp(), self.deploy, phase, event, level, message, seconds, release, data)
        text = json.dumps(line.as_dict(), ensure_ascii=False, separators=(",", ":")) + "\n"
        whole = text.encode("utf-8", "backslashreplace")
        if self._path is None:
            self._waiting.append(whole)
        else:
            with contextlib.suppress(*([OSError] if self._forgiving else [])):
                append(self._path, whole)
        if self._listener is not None:
            self._listener(line)

    @contextlib.contextmanager
    def command(self, what: str, release: str, **data: Any) -> Iterator[None]:
        """Frame a command with `begin`, which holds `data`, and exactly one `end`, which tells whether it is done."""
        begin = time.monotonic()
        self.write("begin", what, release=release, **data)
        try:
            yield
        except BaseException as error:
            text = f"{what} failed: {str(error) or type(error).__name__}"
            code = InterruptedByUserError.exit_code if isinstance(error, KeyboardInterrupt) else OcrpackError.exit_code
            code = getattr(error, "exit_code", code)
            with contextlib.suppress(OSError):
                seconds = _since(begin)
                self.write("end", text, level="error", release=release, seconds=seconds, ok=False, exit_code=code)
            raise
        self.write("end", f"{what} done", release=release, seconds=_since(begin), ok=True)

    @contextlib.contextmanager
    def phase(self, name: str, message: str = "") -> Iterator[None]:
        """Frame a phase with `start` and `done` or `failed`, and its seconds."""
        begin = time.monotonic()
        self.write("start", message, phase=name)
        try:
            yield
        except BaseException as error:
            text = str(error) or type(error).__name__
            with contextlib.suppress(OSError):
                self.write("failed", text, phase=name, level="error", seconds=_since(begin))
            raise
        self.write("done", phase=name, seconds=_since(begin))


def _since(begin: float) -> float:
    return round(time.monotonic() - begin, 4)


def append(path: Path, data: bytes) -> None:
    """Append whole lines to a file in one write, after closing a line that a crash cut short; rotate it by size."""
    rotate(path, len(data), MAX_BYTES, KEEP)
    handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o640)
    try:
        size = os.fstat(handle).st_size
        if size and os.pread(handle, 1, size - 1) != b"\n":
            data = b"\n" + data
        os.write(handle, data)
    finally:
        os.close(handle)


def rotate(path: Path, coming: int, max_bytes: int, keep: int) -> None:
    """Move a log aside, and its predecessors along, if `coming` more bytes would make it too large.

    Several processes may do so at once: one of them does.
    """
    if not _too_large(path, coming, max_bytes):
        return
    import fcntl

    guard = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    try:
        fcntl.flock(guard, fcntl.LOCK_EX)
        if _too_large(path, coming, max_bytes):
            for number in range(keep - 1, 0, -1):
                older = path.with_name(f"{path.name}.{number}")
                if older.exists():
                    older.replace(path.with_name(f"{path.name}.{number + 1}"))
            path.replace(path.with_name(f"{path.name}.1"))
    finally:
        os.close(guard)


def _too_large(path: Path, coming: int, max_bytes: int) -> bool:
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        return False
    return size > 0 and size + coming > max_bytes


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


def generations(path: Path) -> list[Path]:
    """Return a log with its rotated predecessors that exist, oldest first (`instance.log.2`, `.1`, then itself)."""
    older = [file for file in path.parent.glob(f"{path.name}.*") if re.fullmatch(r"\.[1-9][0-9]{0,8}", file.suffix)]
    older.sort(key=lambda file: -int(file.suffix[1:]))
    return [*older, path] if path.exists() else older


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
    for file in generations(path):
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
