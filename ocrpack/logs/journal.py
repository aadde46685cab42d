"""Write deployment events: one JSON object a line, appended whole."""

from __future__ import annotations

import contextlib
import json
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from ocrpack.errors import InterruptedByUserError, OcrpackError
from ocrpack.logs.rotation import append

Level = Literal["debug", "info", "warning", "error"]
LEVELS: tuple[Level, ...] = ("debug", "info", "warning", "error")


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
        line = Event(
            time=timestamp(),
            deploy=self.deploy,
            phase=phase,
            event=event,
            level=level,
            message=message,
            seconds=seconds,
            release=release,
            data=data,
        )
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
