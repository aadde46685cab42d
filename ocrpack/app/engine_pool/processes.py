"""The engine processes, as the web process sees them: a template that holds the engine, and readers forked from it."""

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
from typing import TYPE_CHECKING, Protocol

from ..core.problem import Problem
from . import messages
from .messages import Answer, Ended, Failed, Fault, Fork, Forked, Kill, Message, ProtocolError, Ready

if TYPE_CHECKING:
    from ..core.settings import Limits, Settings
    from ..core.shared_file import SharedFile
    from ..engines.base import Engine
    from .messages import Facts, Order, PagePreviewed, PageRead

_LOG = logging.getLogger("ocrpack.app")
_LIBRARIES = ("OMP_THREAD_LIMIT", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
"""Where the engines' libraries look for their number of threads, when they are loaded."""


@dataclass(order=True, kw_only=True)
class Task:
    """One page to read or to show; tasks of a lower `priority` number come first."""

    priority: int
    file: SharedFile = field(compare=False)
    """The document."""
    order: Order = field(compare=False)
    wanted: Callable[[], bool] = field(compare=False)
    """Called when its turn comes; returns whether anyone still waits for it."""
    done: Callable[[PageRead | PagePreviewed | Problem], None] = field(compare=False)
    """Called with what came of it."""


class DiedError(Exception):
    """Say that an engine process ended, and with which status."""


class Reader(Protocol):
    """Perform tasks, one at a time, in the process `pid`."""

    pid: int

    def perform(self, task: Task) -> Answer:
        """Return the answer to the task's order.

        Raises:
            DiedError: the engine's process ended.
            TimeoutError: the task took too long, and the process was killed.
        """
        ...

    def alive(self) -> bool:
        """Tell whether it can take a task."""
        ...

    def close(self) -> None:
        """End it."""
        ...


class InlineReader:
    """Read in this process, where it cannot fork (Windows), and in tests."""

    def __init__(self, engine: Engine, limits: Limits) -> None:
        self._engine = engine
        self._limits = limits
        self.pid = os.getpid()

    def perform(self, task: Task) -> Answer:
        """Return the answer to the task's order; log whatever the engine raises."""
        from .worker import perform

        try:
            return perform(self._engine, self._limits, task.order, task.file.content())
        except Exception:
            _LOG.exception("fault")
            return Fault()

    def alive(self) -> bool:
        """Return True."""
        return True

    def close(self) -> None:
        """Do nothing."""


class Template:
    """Own the process that has the engine loaded, and let it fork the processes that read."""

    def __init__(self, settings: Settings) -> None:
        """Start it, and wait until the engine is loaded.

        Raises:
            RuntimeError: the engine or its weights cannot be loaded.
        """
        self._settings = settings
        self._turn = threading.Lock()
        self._statuses: dict[int, int] = {}
        self.facts = self._start()

    def _start(self) -> Facts:
        self._control, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "ocrpack.app.engine_pool.worker", self._settings.folder, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env=self._environment(),
            )
        try:
            return self._greeting()
        except RuntimeError:
            self._control.close()
            self._process.wait()
            raise

    def _greeting(self) -> Facts:
        try:
            match messages.receive(self._control)[0]:
                case Ready(facts=facts):
                    return facts
                case Failed(reason=reason):
                    raise RuntimeError(reason)
                case other:
                    raise ProtocolError(f"it greeted with {type(other).__name__}")
        except (EOFError, OSError):
            raise RuntimeError(f"the engine's process ended with status {self._process.wait()}") from None
        except ProtocolError as error:
            self._process.kill()  # it need not understand that a closed connection ends it
            raise RuntimeError(
                f"the engine's process does not fit this one: {error}; the files of ocrpack.app have changed since the "
                "app was started: start it again"
            ) from error

    def _environment(self) -> dict[str, str]:
        """Return this process's environment with the engine's number of threads and without the tokens."""
        kept = {name: value for name, value in os.environ.items() if name not in self._settings.token_names}
        threads = str(self._settings.engine_threads)
        paths = [str(self._settings.folder), *(path for path in sys.path if path)]
        return {**kept, **dict.fromkeys(_LIBRARIES, threads), "PYTHONPATH": os.pathsep.join(paths)}

    def fork(self) -> ForkedReader:
        """Return a new engine process; start the template again if it is gone.

        Raises:
            OSError, EOFError, RuntimeError: the template cannot be started, or does not fork.
        """
        with self._turn:
            if self._process.poll() is not None:
                self._control.close()
                self.facts = self._start()
            self._statuses.clear()
            with contextlib.ExitStack() as undo:
                ours, theirs = socket.socketpair()
                undo.enter_context(ours)
                with theirs:
                    messages.send(self._control, Fork(), descriptor=theirs.fileno())
                while not isinstance(message := self._message(), Forked):
                    pass  # others have ended meanwhile
                undo.pop_all()
                return ForkedReader(self, ours, message.pid)

    def kill(self, pid: int) -> None:
        """Let the template kill one of its processes: it knows whether the number is still that process's."""
        with self._turn, contextlib.suppress(OSError):
            messages.send(self._control, Kill(pid=pid))

    def status(self, pid: int, seconds: float = 2.0) -> int | None:
        """Return the exit status of one of its processes, None if the template does not report it in time."""
        end = time.monotonic() + seconds
        with self._turn, contextlib.suppress(OSError, EOFError, ProtocolError):
            while (
                pid not in self._statuses and select.select([self._control], [], [], max(0, end - time.monotonic()))[0]
            ):
                self._message()
        return self._statuses.pop(pid, None)

    def _message(self) -> Message:
        message, _ = messages.receive(self._control)
        if isinstance(message, Ended):
            self._statuses[message.pid] = message.status
        return message


class ForkedReader:
    """Read in an engine process."""

    def __init__(self, template: Template, connection: socket.socket, pid: int) -> None:
        self._template = template
        self._connection = connection
        self.pid = pid

    def perform(self, task: Task) -> Answer:
        """Return the answer to the task's order.

        Raises:
            DiedError: the process ended.
            TimeoutError: the task took too long, and the process was killed.
        """
        # The process stops by itself after the order's seconds; this is for one that cannot.
        self._connection.settimeout(task.order.seconds * 1.1 + 2)
        try:
            messages.send(self._connection, task.order, descriptor=task.file.fileno())
            answer, _ = messages.receive(self._connection)
            if not isinstance(answer, Answer):
                raise ProtocolError(f"it answered with {type(answer).__name__}")
        except TimeoutError:
            self._template.kill(self.pid)
            raise
        except (OSError, EOFError, ProtocolError) as error:
            self._template.kill(self.pid)
            shown = f": {error}" if isinstance(error, ProtocolError) else ""
            raise DiedError(f"pid {self.pid}, status {self._template.status(self.pid)}{shown}") from None
        return answer

    def alive(self) -> bool:
        """Tell whether it still holds its end of the connection."""
        # It says nothing unasked: what can be read is the end.
        readable, _, _ = select.select([self._connection], [], [], 0)
        return not readable

    def close(self) -> None:
        """Close the connection; the process then ends."""
        self._connection.close()
