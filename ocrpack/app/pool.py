"""The processes that read, as the web process sees them: pages go in by priority, and every page comes back.

A lane is a thread with an engine process of its own. It hands over one page at a time, ends a process that takes too
long, and replaces one that died, so that whatever an image does costs that image alone. The web process has no use for
what decodes and reads, and does not import it.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import queue
import select
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Protocol

from . import wire
from .problem import Problem, our_fault, slow_page

if TYPE_CHECKING:
    from .engines import Engine
    from .held import Held
    from .settings import Limits, Settings
    from .wire import Reply

_LOG = logging.getLogger("ocrpack.app")
_GROWTH_MB = 512
"""A process that holds so much more than at its start is replaced, so that its memory goes back to the machine."""
_LONGEST_PAUSE_S = 30.0
_FRESH_S = 10.0
_LIBRARIES = ("OMP_THREAD_LIMIT", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
"""Where the engines' libraries look for their number of threads, when they are loaded."""


@dataclass(order=True)
class Task:
    """One page to do; `done` gets the reply or the problem, `wanted` tells whether anyone still waits for it."""

    priority: int
    file: Held = field(compare=False)
    order: dict[str, Any] = field(compare=False)
    wanted: Callable[[], bool] = field(compare=False)
    done: Callable[[Reply | Problem], None] = field(compare=False)


class DiedError(Exception):
    """Say that the process that read ended, and with which status."""


class Hand(Protocol):
    """Whatever does a task; `pid` is the process that it runs in."""

    pid: int

    def perform(self, task: Task) -> Reply:
        """Do it.

        Raises:
            DiedError: the engine ended.
            TimeoutError: it took too long, and was ended.
        """
        ...

    def alive(self) -> bool:
        """Tell whether it can take a task."""
        ...

    def close(self) -> None:
        """End it."""
        ...


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


class Here:
    """An engine inside this process, where there are no others to be had (Windows), and in tests."""

    def __init__(self, engine: Engine, limits: Limits) -> None:
        self._engine = engine
        self._limits = limits
        self.pid = os.getpid()

    def perform(self, task: Task) -> Reply:
        """Do a task; whatever goes wrong in the engine is a fault to log."""
        from .worker import perform

        try:
            return perform(self._engine, self._limits, task.order, task.file.content())
        except Exception:
            _LOG.exception("fault")
            return {"fault": True}, b""

    def alive(self) -> bool:
        """Tell that it can take a task."""
        return True

    def close(self) -> None:
        """Do nothing."""


class Template:
    """The process that has the engine loaded; the processes that read are its forks."""

    def __init__(self, settings: Settings) -> None:
        """Start it, and wait until the engine is loaded.

        Raises:
            RuntimeError: the engine or its weights cannot be loaded.
        """
        self._settings = settings
        self._turn = threading.Lock()
        self._statuses: dict[int, int] = {}
        self._start()

    def _start(self) -> None:
        self._control, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "ocrpack.app.worker", self._settings.folder, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env=self._environment(),
            )
        try:
            message, _, _ = wire.receive(self._control)
        except (EOFError, OSError):
            message = {"failed": f"the engine's process ended with status {self._process.wait()}"}
        if "failed" in message:
            self._control.close()
            self._process.wait()
            raise RuntimeError(message["failed"])
        self.facts: dict[str, Any] = message["ready"]

    def _environment(self) -> dict[str, str]:
        """Return the environment of the processes that read: with their number of threads, without the tokens."""
        kept = {name: value for name, value in os.environ.items() if name not in self._settings.token_names}
        threads = str(self._settings.engine_threads)
        paths = [str(self._settings.folder), *(path for path in sys.path if path)]
        return {**kept, **dict.fromkeys(_LIBRARIES, threads), "PYTHONPATH": os.pathsep.join(paths)}

    def fork(self) -> Process:
        """Return a new engine process; the template is started again where it is gone.

        Raises:
            OSError, EOFError, RuntimeError: there is none to be had now.
        """
        with self._turn:
            if self._process.poll() is not None:
                self._control.close()
                self._start()
            self._statuses.clear()
            with contextlib.ExitStack() as undo:
                ours, theirs = socket.socketpair()
                undo.enter_context(ours)
                with theirs:
                    wire.send(self._control, {}, descriptor=theirs.fileno())
                while "forked" not in (message := self._message()):
                    pass
                undo.pop_all()
                return Process(self, ours, message["forked"])

    def kill(self, pid: int) -> None:
        """End one of its processes by force."""
        with self._turn, contextlib.suppress(OSError):
            wire.send(self._control, {"kill": pid})

    def status(self, pid: int, seconds: float = 2.0) -> int | None:
        """Return what one of its processes ended with, None where that does not come to light in time."""
        end = time.monotonic() + seconds
        with self._turn, contextlib.suppress(OSError, EOFError):
            while (
                pid not in self._statuses and select.select([self._control], [], [], max(0, end - time.monotonic()))[0]
            ):
                self._message()
        return self._statuses.pop(pid, None)

    def _message(self) -> dict[str, Any]:
        message, _, _ = wire.receive(self._control)
        if "ended" in message:
            self._statuses[message["ended"]] = message["status"]
        return message


class Process:
    """One engine process."""

    def __init__(self, template: Template, connection: socket.socket, pid: int) -> None:
        self._template = template
        self._connection = connection
        self.pid = pid

    def perform(self, task: Task) -> Reply:
        """Do a task.

        Raises:
            DiedError: the process ended.
            TimeoutError: it took too long, and was killed.
        """
        self._connection.settimeout(task.order["seconds"] * 1.1 + 2)
        try:
            wire.send(self._connection, task.order, descriptor=task.file.fileno())
            reply, blob, _ = wire.receive(self._connection)
        except TimeoutError:
            self._template.kill(self.pid)
            raise
        except (OSError, EOFError):
            self._template.kill(self.pid)
            raise DiedError(f"pid {self.pid}, status {self._template.status(self.pid)}") from None
        return reply, blob

    def alive(self) -> bool:
        """Tell whether it still holds its end of the connection."""
        readable, _, _ = select.select([self._connection], [], [], 0)
        return not readable

    def close(self) -> None:
        """Let it end: it does when its connection is closed."""
        self._connection.close()


def start(settings: Settings) -> Pool:
    """Return the pool that the settings ask for, with the engine loaded.

    Raises:
        RuntimeError: the engine or its weights cannot be loaded.
    """
    if not hasattr(os, "fork"):
        from .engines import load_engine

        return around(load_engine(settings.engine, settings.model), settings.limits)
    template = Template(settings)
    pool = Pool(template.fork, template.facts, settings.processes, settings.recycle_pages)
    pool.start()
    return pool


def around(engine: Engine, limits: Limits) -> Pool:
    """Return a pool of one lane around an engine in this process."""
    from .worker import facts

    return Pool(lambda: Here(engine, limits), facts(engine), 1)
