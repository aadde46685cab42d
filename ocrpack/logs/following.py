"""Follow logs while they grow, over rotations, without losing an event."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from ocrpack.logs.journal import Event
from ocrpack.logs.reading import Mark, Parser, Query, by_time, identity, read


def follow(
    logs: list[tuple[Path, Parser]], query: Query, poll_s: float = 0.2
) -> tuple[Iterator[Event], Iterator[Event]]:
    """Return the events so far, in the order of time, and those that are written from this call on, for ever.

    No event is lost between the two, and none is in both; rotation is survived.
    """
    tails = [_Tail(path, parse) for path, parse in logs]
    past = by_time([read(path, parse, tail.mark) for (path, parse), tail in zip(logs, tails, strict=True)], query)

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
        self.mark: Mark | None = None
        if self._file is not None:
            self.mark = Mark(identity(self._file), self._file.seek(0, os.SEEK_END))

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
