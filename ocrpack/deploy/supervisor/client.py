"""Speak with a deployment's supervisor, start one, and replace one of an older ocrpack."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import socket
import sys
import time
from collections.abc import Mapping

from ocrpack.deploy.store.layout import Deployment
from ocrpack.deploy.store.state import Launch
from ocrpack.deploy.supervisor.generation import end_others, left_running, take_listener
from ocrpack.deploy.supervisor.protocol import (
    FOR_ALL_VERSIONS,
    PROTOCOL,
    SEE_LOG,
    USE_THE_NEWER,
    A,
    Discard,
    Done,
    GetStatus,
    Launched,
    LaunchRelease,
    Poll,
    Polled,
    Promote,
    Request,
    Settle,
    Settled,
    Stop,
    SupervisorError,
    SupervisorStatus,
    decode_answer,
    encode_request,
)
from ocrpack.deploy.system import processes
from ocrpack.deploy.system.sockets import bind, bind_unix, short_address
from ocrpack.deploy.system.variables import inherited
from ocrpack.deploy.systemd import units
from ocrpack.errors import PreflightError
from ocrpack.shell import spawn

_OWN_VARIABLES = ("HOME", "PYTHONPATH", "PYTHONHOME", "PYTHONUSERBASE", "XDG_RUNTIME_DIR")
"""What the supervisor itself needs besides what it passes on."""
_CONNECT_S = 10.0
_ANSWER_S = 30.0
_DRAINED_S = 3700.0
"""More than the longest drain deadline of a descriptor."""


class _EndedError(SupervisorError):
    """The connection broke: the supervisor ended, or is about to."""


class Control:
    """A connection to a supervisor; generations launched over it end with it unless they were promoted."""

    older = False
    """Whether the supervisor is of an older ocrpack; such a one tells its status and stops, and does nothing else."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._file = connection.makefile("rwb")

    def __enter__(self) -> Control:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Hang up."""
        with contextlib.suppress(OSError):  # what the supervisor never read
            self._file.close()
        self._connection.close()

    def status(self) -> SupervisorStatus:
        """Return how the supervisor and its generations stand."""
        return self._ask(GetStatus(protocol=PROTOCOL), SupervisorStatus, _ANSWER_S)

    def launch(self, release: str, launch: Launch, secrets: Mapping[str, str]) -> Launched:
        """Start a release behind its gate.

        Raises:
            BootError: its processes cannot be started.
        """
        return self._ask(LaunchRelease(release=release, launch=launch, secrets=dict(secrets)), Launched, _ANSWER_S)

    def poll(self, number: int) -> int | None:
        """Return the exit status of a generation, or None while it runs; -1 if that is not known."""
        return self._ask(Poll(number=number), Polled, _ANSWER_S).status

    def promote(self, number: int) -> None:
        """Let a generation take the public address from the one that serves.

        Raises:
            BootError: it does not; the one that served goes on.
        """
        self._ask(Promote(number=number), Done, _ANSWER_S)

    def discard(self, number: int) -> None:
        """End a generation; if it serves, the one before it takes over first."""
        self._ask(Discard(number=number), Done, _DRAINED_S)

    def settle(self, number: int | None) -> Settled:
        """Drain and end all generations but one; None spares none."""
        return self._ask(Settle(number=number), Settled, _DRAINED_S)

    def stop(self) -> Settled:
        """Drain and end all generations, then the supervisor."""
        return self._ask(Stop(), Settled, _DRAINED_S)

    def _ask(self, request: Request, kind: type[A], deadline_s: float) -> A:
        if self.older and not isinstance(request, FOR_ALL_VERSIONS):
            raise SupervisorError("the supervisor is of an older ocrpack", "run the command again")
        self._connection.settimeout(deadline_s)
        try:
            self._file.write(encode_request(request))
            self._file.flush()
            line = self._file.readline()
        except TimeoutError:
            raise SupervisorError(f"the supervisor did not answer within {deadline_s:g} s", SEE_LOG) from None
        except OSError as error:
            raise _EndedError(f"the supervisor ended: {error}", SEE_LOG) from error
        if not line.endswith(b"\n"):
            raise _EndedError("the supervisor ended", SEE_LOG)
        return decode_answer(line, kind)


def connect(deployment: Deployment) -> Control | None:
    """Return a connection to the deployment's supervisor, or None when none runs or it is about to end.

    Raises:
        PreflightError: the deployment is another user's.
        SupervisorError: the supervisor is there and does not answer, or is of a newer ocrpack.
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
        raise SupervisorError(
            f"the supervisor of {deployment.name} cannot be asked: {error}", "mend the cause"
        ) from error
    supervisor = Control(connection)
    try:
        protocol = supervisor.status().protocol
    except _EndedError:
        supervisor.close()
        return None
    except SupervisorError:
        supervisor.close()
        raise
    if protocol > PROTOCOL:
        supervisor.close()
        raise SupervisorError(f"{deployment.name} is supervised by a newer ocrpack than this one", USE_THE_NEWER)
    supervisor.older = protocol < PROTOCOL
    return supervisor


def stop_supervisor(deployment: Deployment) -> bool:
    """Drain and end everything that runs, and return whether anything did; the address is free afterwards."""
    supervisor = connect(deployment)
    if supervisor is not None:
        with supervisor:
            identity = processes.identify(supervisor.status().pid)
            supervisor.stop()
        _wait_for_end(identity)
    left = left_running(deployment)
    end_others(deployment, left)
    for generation in left:
        generation.leave()
    return supervisor is not None or bool(left)


def _wait_for_end(identity: processes.Identity | None) -> None:
    deadline = time.monotonic() + _CONNECT_S
    while identity is not None and identity.alive and time.monotonic() < deadline:
        time.sleep(0.02)


def why_another(deployment: Deployment) -> str:
    """Return why what runs needs another supervisor, or nothing where it does not or where nothing runs.

    Raises:
        PreflightError: the deployment is another user's.
        SupervisorError: the supervisor does not answer, or is of a newer ocrpack.
    """
    supervisor = connect(deployment)
    if supervisor is None:
        return "its supervisor was gone" if left_running(deployment) else ""
    with supervisor:
        return "its supervisor was of an older ocrpack" if supervisor.older else ""


def ensure_supervisor(deployment: Deployment, host: str, port: int, *, may_stop: bool = True) -> Control:
    """Connect to the deployment's supervisor, after starting one that owns the public address where none runs.

    Generations that outlived an earlier supervisor give it their listener and go on. It outlives this process and
    gets none of its secrets. Where systemd owns the address, it starts the supervisor. Generations that do not give
    their listener are stopped if that is permitted. A supervisor of an older ocrpack is replaced, and what it
    started goes on; hold the deployment's lock, so that no other command uses it.

    Raises:
        PreflightError: the address is taken.
        SupervisorError: the supervisor did not start, is of a newer ocrpack, may not be replaced, or may not stop
            what holds the address.
    """
    unit = units.owner(deployment)
    if unit is not None:
        unit.write(dataclasses.replace(deployment.load_state(), host=host, port=port))
    supervisor = connect(deployment)
    if supervisor is not None and not supervisor.older:
        return supervisor
    if unit is not None:
        if supervisor is not None:
            _require_same_python(unit)
            _kill(supervisor)
        elif may_stop and not unit.listens():
            stop_supervisor(deployment)
        unit.start()
        return _wait_for_supervisor(deployment)
    listener = _inherited_listener(deployment, port)
    if listener is None and not may_stop and left_running(deployment):
        text = f"{deployment.name} serves, and does not give its address to a new supervisor"
        raise SupervisorError(text, f"`ocrpack restart {deployment.name}` starts it anew")
    if listener is None:
        ended = stop_supervisor(deployment)
        listener = bind(host, port, _CONNECT_S if ended else 0)
    elif supervisor is not None:
        _kill(supervisor)
    return _start_supervisor(deployment, listener)


def _require_same_python(unit: units.Unit) -> None:
    """Refuse to replace an older supervisor by one that systemd starts from an ocrpack that may be as old.

    Raises:
        SupervisorError: the unit's interpreter is another one.
    """
    if unit.setup.python != sys.executable:
        name = unit.deployment.name
        raise SupervisorError(
            f"systemd starts the supervisor of {name} with an older ocrpack, that of {unit.setup.python}",
            f"update that one and use it, or `ocrpack service install {name}` with this one",
        )


def _kill(supervisor: Control) -> None:
    """Kill an older supervisor, and leave its generations running.

    Asked to end it would end them, too. They hold the public listener themselves, and never notice that it is gone.
    It cannot stay: the files that it would start apps with may have been replaced by this version's.
    """
    with supervisor:
        identity = processes.identify(supervisor.status().pid)
    if identity is not None:
        identity.signal(signal.SIGKILL)
    _wait_for_end(identity)


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
    raise SupervisorError("the supervisor did not start", f"see {deployment.supervisor_log}")
