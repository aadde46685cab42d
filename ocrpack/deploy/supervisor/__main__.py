"""The one process of a deployment that owns the listening socket and answers the commands about its generations.

It is started with two listening sockets, the public one and its control socket, and lives on when whoever started
it is gone; or by a service manager, which hands it the public socket by the socket-activation convention
(`LISTEN_FDS`, sd_listen_fds(3)) and is told when it is ready (`NOTIFY_SOCKET`, sd_notify(3)). What an earlier
supervisor left running it takes over. A candidate ends with the connection that launched it, so a killed deploy
leaves nothing behind. SIGTERM lets everything finish its requests and end.

Usage: python -m ocrpack.deploy.supervisor ROOT NAME [PUBLIC_FD CONTROL_FD]
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path

from ocrpack.deploy.store.layout import Deployment
from ocrpack.deploy.supervisor.generations import Generations
from ocrpack.deploy.supervisor.protocol import (
    FOR_ALL_VERSIONS,
    PROTOCOL,
    USE_THE_NEWER,
    Answer,
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
    Stop,
    SupervisorError,
    SupervisorStatus,
    decode_request,
    encode_answer,
    refusal,
)
from ocrpack.deploy.system.sockets import bind_unix, short_address
from ocrpack.errors import OcrpackError
from ocrpack.logs import Journal, Level

IDLE_S = 2.0
TICK_S = 1.0
_FIRST_PASSED_FD = 3
_PR_SET_CHILD_SUBREAPER = 36


class Supervisor:
    """Answers commands and looks after the generations."""

    def __init__(self, deployment: Deployment, public: socket.socket, *, managed: bool) -> None:
        self._address = public.getsockname()[:2]
        self._journal = Journal(deployment.deploy_log, "supervisor")
        self._generations = Generations(deployment, public, self._note)
        self._managed = managed
        self._guard = threading.Lock()
        self._connections = 0
        self._idle_since = time.monotonic()
        self._stop = threading.Event()

    def serve(self, control: socket.socket) -> None:
        """Take over what runs, then answer clients until everything has ended."""
        signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=self._end).start())
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        _adopt_orphans()
        self._generations.take_over()
        for task in (lambda: self._accept(control), self._generations.watch_health):
            threading.Thread(target=task, daemon=True).start()
        ready = False
        while not self._stop.wait(0 if not ready and self._managed else TICK_S):
            try:
                self._generations.keep_logs()
            except (OcrpackError, OSError) as error:
                self._note(f"a log writer cannot be started: {error}", "error")
            self._reap_orphans()
            if self._is_idle() and not self._generations.bring_up_current() and self._may_end():
                break
            if not ready:
                ready = True
                _notify("READY=1")

    def _is_idle(self) -> bool:
        with self._guard:
            return not self._connections and not self._generations.describe()

    def _may_end(self) -> bool:
        return not self._managed and time.monotonic() - self._idle_since > IDLE_S

    def _reap_orphans(self) -> None:
        """Take the exit status of processes that came to this one when their parents died."""
        if not hasattr(os, "waitid"):
            return
        own = self._generations.children()
        with contextlib.suppress(ChildProcessError):
            while True:
                found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
                if found is None or found.si_pid in own:
                    return
                os.waitpid(found.si_pid, 0)

    def _end(self) -> None:
        self._generations.close()
        self._stop.set()

    def _note(self, message: str, level: Level) -> None:
        try:
            self._journal.write("note", message, phase="supervise", level=level)
        except OSError as error:
            sys.stderr.write(f"{message} (the journal cannot be written: {error})\n")

    # --- connections

    def _accept(self, control: socket.socket) -> None:
        while True:
            try:
                connection, _ = control.accept()
            except OSError as error:
                self._note(f"cannot answer a command: {error}", "error")
                time.sleep(1)
                continue
            threading.Thread(target=self._converse, args=(connection,), daemon=True).start()

    def _converse(self, connection: socket.socket) -> None:
        launched: list[int] = []
        protocol = GetStatus().protocol
        with self._guard:
            self._connections += 1
        try:
            with connection, connection.makefile("rwb") as lines:
                for line in lines:
                    request: Request | None = None
                    try:
                        request = decode_request(line)
                        if isinstance(request, GetStatus):
                            protocol = request.protocol
                        answer = self._answer(request, protocol)
                    except Exception as error:  # whatever it is, the command gets an answer
                        answer = refusal(error)
                    try:
                        if isinstance(answer, Launched):
                            launched.append(answer.number)
                        lines.write(encode_answer(answer))
                        lines.flush()
                    finally:
                        if isinstance(request, Stop):
                            self._stop.set()
        except OSError:
            pass  # the client is gone; what it launched is cleared below
        finally:
            self._generations.clear_after(launched)
            with self._guard:
                self._connections -= 1
                self._idle_since = time.monotonic()

    def _answer(self, request: Request, protocol: int) -> Answer:
        """Do what a command of a protocol asks for.

        Raises:
            SupervisorError: the command is of another version of ocrpack, and asks for more than those may.
            OcrpackError, OSError: it cannot be done.
        """
        if protocol != PROTOCOL and not isinstance(request, FOR_ALL_VERSIONS):
            newer, older = ("command", "supervisor") if protocol > PROTOCOL else ("supervisor", "command")
            raise SupervisorError(f"the {newer} is of a newer ocrpack than the {older}", USE_THE_NEWER)
        match request:
            case GetStatus():
                return self._status()
            case LaunchRelease():
                generation = self._generations.launch(request.release, request.launch, request.secrets)
                pid, private = generation.master.identity.pid, str(generation.private)
                return Launched(number=generation.number, pid=pid, private=private)
            case Poll():
                return Polled(status=self._generations.ended(request.number))
            case Promote():
                self._generations.promote(request.number)
            case Discard():
                self._generations.discard(request.number)
            case Settle():
                return self._generations.settle(request.number)
            case Stop():
                return self._generations.close()
        return Done()

    def _status(self) -> SupervisorStatus:
        host, port = self._address
        return SupervisorStatus(
            pid=os.getpid(),
            host=host,
            port=port,
            managed=self._managed,
            serving=self._generations.serving,
            restarts=self._generations.restarts,
            generations=self._generations.describe(),
            protocol=PROTOCOL,
        )


def _adopt_orphans() -> None:
    """Become the parent of processes below this one whose own parents die, where the system can do that (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _notify(message: str) -> None:
    """Tell the service manager, where there is one."""
    address = os.environ.get("NOTIFY_SOCKET")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager, contextlib.suppress(OSError):
            manager.sendto(message.encode(), "\0" + address[1:] if address.startswith("@") else address)


def main(root: str, name: str, public: str = "", control: str = "") -> None:
    """Supervise a deployment until it is stopped."""
    deployment = Deployment(Path(root), name)
    if public:
        listeners = socket.socket(fileno=int(public)), socket.socket(fileno=int(control))
    elif os.environ.get("LISTEN_PID") == str(os.getpid()) and os.environ.get("LISTEN_FDS") == "1":
        with short_address(deployment.control) as address:
            listeners = socket.socket(fileno=_FIRST_PASSED_FD), bind_unix(address)
    else:
        sys.exit("the supervisor needs a listening socket: `ocrpack start` gives it one, and so does a service manager")
    Supervisor(deployment, listeners[0], managed=not public).serve(listeners[1])


if __name__ == "__main__":
    main(*sys.argv[1:])
