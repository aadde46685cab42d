"""The gate: what keeps a generation from the public socket until it is promoted.

While the file `gate-open` is in the run folder, the workers accept on the public listener too, and each says so with
a file `accepting-PID` beside it. A file needs no process to stay alive: the gate stays as it is when a supervisor dies.
The master gives the public listener to whoever asks on `handover.sock`.

The functions that gunicorn calls are named as in its settings (`when_ready`, `post_worker_init`, `child_exit`).
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .instructions import VARIABLE, Instructions

POLL_SECONDS = 0.02
LINGER_SECONDS = 5.0
"""How long an ending worker keeps idle connections, for the requests that clients may be sending on them."""

told = Instructions.decode(os.environ.pop(VARIABLE))
"""What this generation was told; taken from the environment, since the app need not see it."""
_run = Path(told.run)
_noted = 0.0


def is_open() -> bool:
    """Tell whether this generation is to take public connections."""
    return (_run / "gate-open").exists()


def acknowledge(accepting: bool) -> None:
    """Tell the supervisor whether this worker accepts public connections."""
    mark = _run / f"accepting-{os.getpid()}"
    with contextlib.suppress(OSError):  # on a full disk the supervisor waits in vain, and the worker serves
        mark.touch() if accepting else mark.unlink(missing_ok=True)


def _loaded(pid: int) -> Path:
    return _run / f"loaded-{pid}"


def note_progress() -> None:
    """Tell the supervisor that this worker finishes requests, once a second at most."""
    global _noted
    now = time.monotonic()
    if now - _noted > 1:
        _noted = now
        with contextlib.suppress(OSError):
            (_run / f"progress-{os.getpid()}").touch()


def when_ready(server: Any) -> None:
    """Begin to give the public listener to whoever asks, so that it outlives the supervisor (called in the master).

    The sockets were made by others: gunicorn is told so, since it would fail to unlink one whose path is gone.
    """
    server.systemd = True
    asked = socket.socket(fileno=told.handover_fd)
    public = server.LISTENERS[1]  # in the order of `bind`: the private one, the public one

    def give() -> None:
        while True:
            connection, _ = asked.accept()
            with connection, contextlib.suppress(OSError, ValueError):  # it closes the listener when it ends
                socket.send_fds(connection, [b"!"], [public.fileno()])

    in_background(give)


def post_worker_init(worker: Any) -> None:
    """Note that this worker has loaded the app (called by gunicorn, in the worker)."""
    with contextlib.suppress(OSError):  # a full disk
        _loaded(os.getpid()).touch()


def child_exit(server: Any, worker: Any) -> None:
    """Forget a worker that ended; end a candidate whose worker did before it had loaded the app (called in the master).

    gunicorn does so for workers that end with its own status for a failed boot, and starts all others again for ever.
    """
    had_loaded = _loaded(worker.pid).exists()
    _loaded(worker.pid).unlink(missing_ok=True)
    (_run / f"accepting-{worker.pid}").unlink(missing_ok=True)
    from gunicorn.errors import HaltServer

    # gunicorn calls this again for each worker while it halts for such an error.
    halting = isinstance(sys.exc_info()[1], HaltServer)
    if not had_loaded and not halting and (_run / "gate-new").exists():
        raise HaltServer("a worker ended before it had loaded the app", 3)


def in_background(target: Callable[[], None]) -> None:
    """Run a function in a thread that does not keep its process alive."""
    threading.Thread(target=target, daemon=True, name="ocrpack-gate").start()


def take_secrets() -> None:
    """Read the secrets into the environment, once, before the app is loaded.

    They come through a pipe, so that they never stand in the process's initial environment, which `ps` shows.
    """
    if told.secrets_fd is not None:
        with os.fdopen(told.secrets_fd, "rb") as pipe:
            os.environ.update(json.loads(pipe.read() or b"{}"))
