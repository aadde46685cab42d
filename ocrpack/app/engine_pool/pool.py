"""The processes that read, as the web process sees them: pages go in by priority, and every page comes back.

A lane is a thread with an engine process of its own. It hands over one page at a time, ends a process that takes too
long, and replaces one that died, so that whatever an image does costs that image alone. The web process has no use for
what decodes and reads, and does not import it.
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
from typing import TYPE_CHECKING, Any

from ..core.problem import Problem, our_fault, slow_page
from .processes import DiedError, Hand, Here, Task, Template

if TYPE_CHECKING:
    from ..core.settings import Limits, Settings
    from ..engines.base import Engine
    from .messages import Reply

_LOG = logging.getLogger("ocrpack.app")
_GROWTH_MB = 512
"""A process that holds so much more than at its start is replaced, so that its memory goes back to the machine."""
_LONGEST_PAUSE_S = 30.0
_FRESH_S = 10.0


class Pool:
    """Engine processes, and the queue of pages before them."""

    def __init__(self, make: Callable[[], Hand], about: dict[str, Any], size: int, recycle_pages: int = 0) -> None:
        """Start `size` lanes whose processes come from `make`."""
        self.facts = about
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
        """Put a page into the queue; pages of one priority are done in their order."""
        self.start()
        self._queue.put((task, next(self._numbers)))

    def start(self) -> None:
        """Start the lanes, once in every process that the app lives in: threads do not survive a fork."""
        if self._pid != os.getpid():
            self._pid, self._began = os.getpid(), time.monotonic()
            for number in range(self.size):
                threading.Thread(target=self._lane, args=(number,), daemon=True, name=f"lane-{number}").start()

    @property
    def waiting(self) -> int:
        """How many pages wait."""
        return self._queue.qsize()

    @property
    def pids(self) -> list[int]:
        """The processes that the engines there are live in."""
        return list(self._pids.values())

    @property
    def fresh(self) -> bool:
        """Tell whether its lanes have just begun, so that engines may still be on their way."""
        return time.monotonic() - self._began < _FRESH_S

    def stuck(self, seconds: float) -> bool:
        """Tell whether an engine has been on one page for longer than that."""
        return any(time.monotonic() - began > seconds for began in list(self._busy_since.values()))

    def _lane(self, number: int) -> None:
        while True:
            hand = self._made()
            self._pids[number] = hand.pid
            try:
                self._serve(hand, number)
            finally:
                del self._pids[number]
                hand.close()

    def _made(self) -> Hand:
        pause = 0.1
        while True:
            try:
                return self._make()
            except (OSError, EOFError, RuntimeError) as error:
                _LOG.error("engine cannot be started: %s; trying again in %.1f s", error, pause)
                time.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE_S)

    def _serve(self, hand: Hand, number: int) -> None:
        """Do pages until the process has to be replaced."""
        for done in itertools.count(1):
            task, _ = self._queue.get()
            if not task.wanted():
                continue
            if not hand.alive():  # it was killed while it had nothing to do: no request need know
                self.ended["idle"] += 1
                self._queue.put((task, -1))
                return
            self._busy_since[number] = time.monotonic()
            outcome, goes_on = self._outcome(hand, task)
            del self._busy_since[number]
            task.done(outcome)
            if not goes_on or done == self._recycle_pages:
                return

    def _outcome(self, hand: Hand, task: Task) -> tuple[Reply | Problem, bool]:
        """Return what became of a task, and whether the process can take another."""
        try:
            reply, blob = hand.perform(task)
        except TimeoutError:
            self.ended["time"] += 1
            return slow_page(task.order["seconds"]), False
        except DiedError as died:
            self.ended["died"] += 1
            _LOG.error("engine process ended: %s", died)
            detail = "The engine broke down over this page and was replaced; other requests are not concerned."
            title = "The engine broke down"
            return Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "engine-ended", title, detail), False
        if "problem" in reply:
            return Problem.from_dict(reply["problem"]), True
        if "fault" in reply:
            return our_fault(), True
        grown = reply.get("grown_mb", 0.0) > _GROWTH_MB
        self.ended["memory"] += grown
        return (reply, blob), not grown


def start(settings: Settings) -> Pool:
    """Return the pool that the settings ask for, with the engine loaded.

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
    """Return a pool of one lane around an engine in this process."""
    from .worker import facts

    return Pool(lambda: Here(engine, limits), facts(engine), 1)
