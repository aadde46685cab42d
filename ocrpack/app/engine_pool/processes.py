"""The engine processes, and what the pool hands to them."""

from __future__ import annotations

import contextlib
import logging
import os
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from ..core.problem import Problem
from . import messages

if TYPE_CHECKING:
    from ..core.settings import Limits, Settings
    from ..core.shared_file import Held
    from ..engines.base import Engine
    from .messages import Reply

_LOG = logging.getLogger("ocrpack.app")
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
                [sys.executable, "-m", "ocrpack.app.engine_pool.worker", self._settings.folder, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env=self._environment(),
            )
        try:
            message, _, _ = messages.receive(self._control)
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
                    messages.send(self._control, {}, descriptor=theirs.fileno())
                while "forked" not in (message := self._message()):
                    pass
                undo.pop_all()
                return Process(self, ours, message["forked"])

    def kill(self, pid: int) -> None:
        """End one of its processes by force."""
        with self._turn, contextlib.suppress(OSError):
            messages.send(self._control, {"kill": pid})

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
        message, _, _ = messages.receive(self._control)
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
            messages.send(self._connection, task.order, descriptor=task.file.fileno())
            reply, blob, _ = messages.receive(self._connection)
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
