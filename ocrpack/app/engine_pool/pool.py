"""The queue of pages and the lanes that read them.

A lane is a thread with an engine process of its own. It hands over one page at a time, kills a process that takes too
long, and replaces one that died, so that a hostile image spoils its own request alone. The web process does not import
what decodes and reads: it stays small, and what a decoder's bug can do stays in the engine processes.
"""

from __future__ import annotations

import itertools
import logging
import os
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING

from ..core.problem import Problem, our_fault, slow_page
from .messages import PagePreviewed, PageRead, Refused
from .processes import DiedError, InlineReader, Reader, Task, Template

if TYPE_CHECKING:
    from ..core.settings import Limits, Settings
    from ..engines.base import Engine
    from .messages import Facts

_LOG = logging.getLogger("ocrpack.app")
_GROWTH_MB = 512
"""A process that holds so much more than at its start is replaced, so that its memory goes back to the machine."""
_LONGEST_PAUSE_S = 30.0
"""Between two attempts to start an engine process."""
_FRESH_S = 10.0
"""For so long after its start a pool without engines is not taken for broken."""


class Pool:
    """Engine processes, and the queue of pages before them."""

    def __init__(self, make: Callable[[], Reader], facts: Facts, size: int, recycle_pages: int = 0) -> None:
        """Prepare `size` lanes whose engine processes come from `make`.

        `recycle_pages` is after how many pages a process is replaced; 0: never.
        """
        self.facts = facts
        self.size = size
        self.ended: Counter[str] = Counter()
        """How many engine processes ended, by cause."""
        self._make = make
        self._recycle_pages = recycle_pages
        self._queue: queue.PriorityQueue[tuple[Task, int]] = queue.PriorityQueue()
        self._numbers = itertools.count()
        self._busy_since: dict[int, float] = {}
        self._pids: dict[int, int] = {}
        self._pid = 0
        self._began = 0.0

    def submit(self, task: Task) -> None:
        """Put a page into the queue, start the lanes if need be; pages of one priority keep their order."""
        self.start()
        self._queue.put((task, next(self._numbers)))

    def start(self) -> None:
        """Start the lanes unless they run; threads do not survive a fork, so each web process starts its own."""
        if self._pid != os.getpid():
            self._pid, self._began = os.getpid(), time.monotonic()
            for number in range(self.size):
                threading.Thread(target=self._lane, args=(number,), daemon=True, name=f"lane-{number}").start()

    @property
    def waiting(self) -> int:
        """How many pages wait for an engine."""
        return self._queue.qsize()

    @property
    def pids(self) -> list[int]:
        """The engine processes that are there."""
        return list(self._pids.values())

    @property
    def fresh(self) -> bool:
        """Tell whether the lanes have just started, so that engines may still be on their way."""
        return time.monotonic() - self._began < _FRESH_S

    def stuck(self, seconds: float) -> bool:
        """Tell whether an engine has been reading one page for longer than `seconds`."""
        return any(time.monotonic() - began > seconds for began in list(self._busy_since.values()))

    def _lane(self, number: int) -> None:
        while True:
            reader = self._made()
            self._pids[number] = reader.pid
            try:
                self._serve(reader, number)
            finally:
                del self._pids[number]
                reader.close()

    def _made(self) -> Reader:
        """Return a new reader; try until there is one."""
        pause = 0.1
        while True:
            try:
                return self._make()
            except (OSError, EOFError, RuntimeError) as error:
                _LOG.error("engine cannot be started: %s; trying again in %.1f s", error, pause)
                time.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE_S)

    def _serve(self, reader: Reader, number: int) -> None:
        """Hand pages to a reader until it has to be replaced."""
        for done in itertools.count(1):
            task, _ = self._queue.get()
            if not task.wanted():
                continue
            if not reader.alive():  # it was killed while it had nothing to do: no request need know
                self.ended["idle"] += 1
                self._queue.put((task, -1))
                return
            self._busy_since[number] = time.monotonic()
            outcome, lives_on = self._outcome(reader, task)
            del self._busy_since[number]
            task.done(outcome)
            if not lives_on or done == self._recycle_pages:
                return

    def _outcome(self, reader: Reader, task: Task) -> tuple[PageRead | PagePreviewed | Problem, bool]:
        """Return what became of a task, and whether the reader can take another."""
        try:
            answer = reader.perform(task)
        except TimeoutError:
            self.ended["time"] += 1
            return slow_page(task.order.seconds), False
        except DiedError as died:
            self.ended["died"] += 1
            _LOG.error("engine process ended: %s", died)
            detail = "The engine broke down over this page and was replaced; other requests are not concerned."
            title = "The engine broke down"
            return Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "engine-ended", title, detail), False
        if isinstance(answer, Refused):
            return answer.problem, True
        if not isinstance(answer, PageRead | PagePreviewed):
            return our_fault(), True
        grown = answer.grown_mb > _GROWTH_MB
        self.ended["memory"] += grown
        return answer, not grown


def start(settings: Settings) -> Pool:
    """Return the pool that the settings describe, with the engine loaded and the lanes started.

    Raises:
        RuntimeError: the engine or its weights cannot be loaded.
    """
    if not hasattr(os, "fork"):
        from ..engines import load_engine

        return around(load_engine(settings.engine, settings.model), settings.limits)
    template = Template(settings)
    pool = Pool(template.fork, template.facts, settings.processes, settings.recycle_pages)
    pool.start()
    return pool


def around(engine: Engine, limits: Limits) -> Pool:
    """Return a pool of one lane that reads with `engine` in this process."""
    from .worker import facts

    return Pool(lambda: InlineReader(engine, limits), facts(engine), 1)
