"""Speak with a deployment's supervisor, and start one: one JSON object a line, over a Unix socket."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import socket
import sys
import time
from typing import Any

from ocrpack.deploy.store.layout import Deployment
from ocrpack.deploy.supervisor.generation import adopt, left_running, take_listener
from ocrpack.deploy.system import processes
from ocrpack.deploy.system.sockets import bind, bind_unix, short_address
from ocrpack.deploy.system.variables import inherited
from ocrpack.deploy.systemd import units
from ocrpack.errors import BootError, PreflightError
from ocrpack.shell import spawn

_OWN_VARIABLES = ("HOME", "PYTHONPATH", "PYTHONHOME", "PYTHONUSERBASE", "XDG_RUNTIME_DIR")
"""What the supervisor itself needs besides what it passes on."""
_CONNECT_S = 10.0
_ANSWER_S = 30.0
_LONG, _LONGEST_S = {"settle", "stop", "discard"}, 3700.0
"""Requests that wait for generations to drain, and more than the longest drain deadline of a descriptor."""


class Control:
    """A connection to a supervisor; generations launched over it end with it unless they were promoted."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._file = connection.makefile("rwb")

    def __enter__(self) -> Control:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):  # what the supervisor never read
            self._file.close()
        self._connection.close()

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Send one request and return its answer.

        Raises:
            BootError: the supervisor refused, or is gone.
        """
        self._connection.settimeout(_LONGEST_S if do in _LONG else _ANSWER_S)
        try:
            self._file.write(json.dumps({"do": do, **arguments}).encode() + b"\n")
            self._file.flush()
            line = self._file.readline()
        except OSError as error:
            raise BootError(f"the supervisor did not answer: {error}", "see logs/supervisor.log") from error
        if not line:
            raise BootError("the supervisor ended", "see logs/supervisor.log below the deployment's folder")
        try:
            answer: dict[str, Any] = json.loads(line)
        except ValueError as error:
            raise BootError("the supervisor ended while it answered", "see logs/supervisor.log") from error
        if "error" in answer:
            raise BootError(answer["error"], "`ocrpack logs --instance` shows the app's output")
        return answer


def connect(deployment: Deployment) -> Control | None:
    """Return a connection to the deployment's supervisor, or None when none runs or it is about to end.

    Raises:
        PreflightError: the deployment is another user's.
        BootError: the supervisor is there and does not answer.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(_CONNECT_S)
    try:
        with short_address(deployment.control) as address:
            connection.connect(address)
    except PermissionError:
        connection.close()
        raise PreflightError(
            f"{deployment.name} was deployed by another user", "run the command as that user"
        ) from None
    except (FileNotFoundError, ConnectionRefusedError):
        connection.close()
        return None
    except OSError as error:  # it may well be there: nobody may take its place
        connection.close()
        raise BootError(f"the supervisor of {deployment.name} cannot be asked: {error}", "mend the cause") from error
    supervisor = Control(connection)
    try:
        supervisor.ask("status")
    except BootError as error:
        supervisor.__exit__()
        if isinstance(error.__cause__, TimeoutError):
            raise
        return None
    return supervisor


def stop_supervisor(deployment: Deployment) -> bool:
    """Drain and end everything that runs, and return whether anything did; the address is free afterwards."""
    supervisor = connect(deployment)
    if supervisor is not None:
        with supervisor:
            identity = processes.identify(supervisor.ask("status")["pid"])
            supervisor.ask("stop")
        deadline = time.monotonic() + _CONNECT_S
        while identity is not None and identity.alive and time.monotonic() < deadline:
            time.sleep(0.02)
    left = adopt(deployment)
    for generation in left:
        generation.leave()
    return supervisor is not None or bool(left)


def runs(deployment: Deployment) -> bool:
    """Tell whether the deployment's supervisor runs."""
    supervisor = connect(deployment)
    if supervisor is None:
        return False
    with supervisor:
        return True


def serving(status: dict[str, Any]) -> dict[str, Any] | None:
    """Return the generation that serves, of a supervisor's status, or None."""
    return next((one for one in status["generations"] if one["number"] == status["serving"]), None)


def ensure_supervisor(deployment: Deployment, host: str, port: int, *, may_stop: bool = True) -> Control:
    """Connect to the deployment's supervisor, after starting one that owns the public address where none runs.

    Generations that outlived an earlier supervisor give it their listener and go on. It outlives this process and
    gets none of its secrets. Where systemd owns the address, it starts the supervisor. Generations that do not give
    their listener are stopped if that is permitted.

    Raises:
        PreflightError: the address is taken.
        BootError: the supervisor did not start, or may not stop what holds the address.
    """
    unit = units.owner(deployment)
    if unit is not None:
        unit.write(dataclasses.replace(deployment.load_state(), host=host, port=port))
    supervisor = connect(deployment)
    if supervisor is not None:
        return supervisor
    if unit is not None:
        if may_stop and not unit.listens():
            stop_supervisor(deployment)
        unit.start()
        return _wait_for_supervisor(deployment)
    listener = _inherited_listener(deployment, port)
    if listener is None and not may_stop and left_running(deployment):
        text = f"{deployment.name} serves without a supervisor, and does not give its address to a new one"
        raise BootError(text, f"`ocrpack restart {deployment.name}` starts it anew")
    if listener is None:
        ended = stop_supervisor(deployment)
        listener = bind(host, port, _CONNECT_S if ended else 0)
    return _start_supervisor(deployment, listener)


def _inherited_listener(deployment: Deployment, port: int) -> socket.socket | None:
    """Return the public listener from a generation that outlived its supervisor."""
    for generation in left_running(deployment):
        listener = take_listener(generation)
        if listener is not None:
            if listener.getsockname()[1] == port:
                return listener
            listener.close()
    return None


def _start_supervisor(deployment: Deployment, listener: socket.socket) -> Control:
    with short_address(deployment.control) as address:
        control = bind_unix(address)
    own = {name: os.environ[name] for name in _OWN_VARIABLES if name in os.environ}
    argv = [sys.executable, "-m", "ocrpack.deploy.supervisor", deployment.root, deployment.name]
    descriptors = (listener.fileno(), control.fileno())
    log = os.open(deployment.supervisor_log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
    try:
        with contextlib.closing(control), contextlib.closing(listener):
            spawn(
                [*argv, str(descriptors[0]), str(descriptors[1])],
                cwd=deployment.folder,
                env={**inherited(), **own},
                output=log,
                pass_fds=descriptors,
            )
    finally:
        os.close(log)
    return _wait_for_supervisor(deployment)


def _wait_for_supervisor(deployment: Deployment) -> Control:
    deadline = time.monotonic() + _CONNECT_S
    while time.monotonic() < deadline:
        found = connect(deployment)
        if found is not None:
            return found
        time.sleep(0.05)
    raise BootError("the supervisor did not start", f"see {deployment.supervisor_log}")
