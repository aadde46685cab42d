"""What runs inside a generation: gunicorn's configuration and the gate that keeps the public socket shut.

gunicorn gets this file by its path (`-c gate.py`), in an environment where ocrpack is not installed, so it needs
the standard library and gunicorn alone. Each worker starts with the private listener; while the file `gate-open`
is in the run folder it accepts on the public listener too, and says so with a file `accepting-PID` beside it. The
master gives the public listener to whoever asks on `handover.sock`.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

POLL_SECONDS = 0.02
LINGER_SECONDS = 5.0
"""How long an ending worker keeps idle connections, for the requests that clients may be sending on them."""
HEAD_SECONDS, BODY_SECONDS, BYTES_PER_SECOND = 10.0, 20.0, 8192
"""How long a thread waits for a request's head, and at any moment for its body, which has to come at that rate."""
UNREAD_SECONDS = 30
"""How long an answer waits for a client that takes nothing of it."""

_plan: dict[str, Any] = json.loads(os.environ.pop("OCRPACK_GENERATION"))
_run = Path(_plan["run"])
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
    asked = socket.socket(fileno=_plan["handover_fd"])
    public = server.LISTENERS[1]

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
    """End a candidate whose worker ended before it had loaded the app (called by gunicorn, in the master).

    gunicorn does so for workers that end with its own status for a failed boot, and starts all others again for ever.
    """
    had_loaded = _loaded(worker.pid).exists()
    _loaded(worker.pid).unlink(missing_ok=True)
    (_run / f"accepting-{worker.pid}").unlink(missing_ok=True)
    from gunicorn.errors import HaltServer

    halting = isinstance(sys.exc_info()[1], HaltServer)
    if not had_loaded and not halting and (_run / "gate-new").exists():
        raise HaltServer("a worker ended before it had loaded the app", 3)


def in_background(target: Callable[[], None]) -> None:
    """Run a function in a thread that does not keep its process alive."""
    threading.Thread(target=target, daemon=True, name="ocrpack-gate").start()


if _plan["secrets_fd"] is not None:  # a pipe, so that they never stand in the process's initial environment
    with os.fdopen(_plan["secrets_fd"], "rb") as pipe:
        os.environ.update(json.loads(pipe.read() or b"{}"))


def _patiently(req: Any, unreader: Any) -> Callable[..., bytes]:
    """Return what gives the next part of a request's body, and gives its sender up where it comes too slowly."""
    left, receive = BODY_SECONDS, unreader.chunk

    def chunk(*size: Any) -> bytes:
        nonlocal left
        began = time.monotonic()
        try:
            unreader.sock.settimeout(left)
            part: bytes = receive(*size)
        except TimeoutError as error:
            req.force_close()
            raise ConnectionResetError(errno.ECONNRESET, "the body comes too slowly") from error
        finally:
            unreader.sock.settimeout(None)
        left = min(BODY_SECONDS, max(0.0, left + began - time.monotonic()) + len(part) / BYTES_PER_SECOND)
        return part

    return chunk


class _Plain:
    """gunicorn's settings without TLS: what comes by the private socket comes from this machine's own user."""

    is_ssl = False

    def __init__(self, settings: Any) -> None:
        self._settings = settings

    def __getattr__(self, name: str) -> Any:
        return getattr(self._settings, name)


def _wsgi_worker() -> Any:
    from gunicorn.workers import gthread

    gthread.STOP_KEEPALIVE_LINGER = LINGER_SECONDS

    class GatedThreadWorker(gthread.ThreadWorker):
        """gunicorn's thread worker; the public listener joins and leaves its poller through its own method queue.

        Once its gate is closed it keeps no connection alive, and says so in its answers. As each client has a thread to
        itself, those that send too slowly or read nothing lose their connection.
        """

        def run(self) -> None:
            self.sockets, self._public = self.sockets[:1], self.sockets[1:]
            self._private, self._keeps = self.sockets, self.max_keepalived
            self._private_name, self._plain = self.sockets[0].getsockname(), _Plain(self.cfg)
            self._heads: dict[Any, float] = {}
            in_background(self._follow_gate)
            super().run()

        def enqueue_req(self, conn: Any) -> Any:
            if conn.server == self._private_name:
                conn.cfg = self._plain
            elif conn.sock.family != socket.AF_UNIX and hasattr(socket, "TCP_USER_TIMEOUT"):
                conn.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREAD_SECONDS * 1000)
            return super().enqueue_req(conn)

        def handle(self, conn: Any) -> Any:
            self._heads[conn] = time.monotonic()
            try:
                goes_on = super().handle(conn)
            finally:
                self._heads.pop(conn, None)
                note_progress()
            if not goes_on:  # the main loop would close it once more, and stand still for as long as the client takes
                with contextlib.suppress(OSError):
                    conn.close(graceful=True)
                conn.close = lambda **_: None
            return goes_on

        def handle_request(self, req: Any, conn: Any) -> Any:
            if self._heads.pop(conn, None) is None:
                raise ConnectionResetError(errno.ECONNRESET, "the head came too slowly")
            unreader = conn.parser.unreader
            unreader.chunk = _patiently(req, unreader)
            try:
                return super().handle_request(req, conn)
            finally:
                del unreader.chunk

        def _cut_heads(self) -> None:
            for conn, since in list(self._heads.items()):
                if time.monotonic() - since > HEAD_SECONDS and self._heads.pop(conn, 0.0):
                    with contextlib.suppress(OSError):  # it is gone; an SSLSocket's own method would unwrap it
                        socket.socket.shutdown(conn.sock, socket.SHUT_RD)

        def _follow_gate(self) -> None:
            accepts = False
            while True:
                if is_open() != accepts:
                    accepts = not accepts
                    self.method_queue.defer(self._turn, accepts)
                self._cut_heads()
                time.sleep(POLL_SECONDS)

        def _turn(self, accepts: bool) -> None:
            if not self.alive:
                return
            accepting = self._accepting
            self.set_accept_enabled(False)
            self.sockets = self._private + (self._public if accepts else [])
            self.set_accept_enabled(accepting)
            self.max_keepalived = self._keeps if accepts else 0
            acknowledge(accepts)

    return GatedThreadWorker


def _asgi_worker() -> Any:
    import asyncio

    from uvicorn.server import Server
    from uvicorn_worker import UvicornWorker

    class GatedServer(Server):
        """uvicorn's server; startup opens the private socket, the public one opens and closes with the gate."""

        public: tuple[Any, ...] = ()
        beat: Callable[[], None]

        async def startup(self, sockets: Any = None) -> None:
            self.public = tuple(sockets[1:])
            await super().startup(sockets[:1])
            self._headers = self.config.encoded_headers
            self._following = asyncio.ensure_future(
                _follow_gate(self._open_public, self._keep_alive, lambda: self.server_state.total_requests)
            )

        def _keep_alive(self, keeps: bool) -> None:
            """Say in all answers from now on whether connections stay."""
            self.config.encoded_headers = [*self._headers, *([] if keeps else [(b"connection", b"close")])]
            self.server_state.default_headers = self.config.encoded_headers
            for connection in self.server_state.connections:
                cycle = getattr(connection, "cycle", None)
                if cycle is not None:
                    cycle.default_headers = self.config.encoded_headers

        async def _open_public(self) -> list[Any]:
            config = self.config

            def protocol() -> Any:
                kind: Any = config.http_protocol_class
                return kind(config=config, server_state=self.server_state, app_state=self.lifespan.state)

            loop = asyncio.get_running_loop()
            return [
                await loop.create_server(protocol, sock=_duplicate(listener), ssl=config.ssl, backlog=config.backlog)
                for listener in self.public
            ]

        async def shutdown(self, sockets: Any = None) -> None:
            """End as uvicorn does, after a while in which every answer says `Connection: close`."""
            self._following.cancel()
            await asyncio.wait([self._following])
            for server in self.servers:
                server.close()
            self._keep_alive(False)
            await _linger(lambda: not self.server_state.connections, self.beat)
            await super().shutdown(sockets)

    class GatedUvicornWorker(UvicornWorker):
        """uvicorn's gunicorn worker around the gated server."""

        async def _serve(self) -> None:
            self.config.app = self.wsgi
            server = GatedServer(config=self.config)
            server.beat = self.notify
            self._install_sigquit_handler()
            await server.serve(sockets=self.sockets)
            if not server.started:
                sys.exit(3)

    return GatedUvicornWorker


def _aiohttp_worker() -> Any:
    import asyncio

    from aiohttp import web
    from aiohttp.worker import GunicornWebWorker

    class GatedWebWorker(GunicornWebWorker):
        """aiohttp's gunicorn worker, with a loop of its own that opens and closes the public socket with the gate."""

        async def _run(self) -> None:
            app = self.wsgi if isinstance(self.wsgi, web.Application) else await self.wsgi()
            if not isinstance(app, web.AppRunner):
                keeps, end = self.cfg.keepalive, self.cfg.graceful_timeout * 0.95
                app = web.AppRunner(
                    app, logger=self.log, keepalive_timeout=keeps, access_log=None, shutdown_timeout=end
                )
            self._runner = app
            self._keeps = True
            self._runner.app.on_response_prepare.append(self._say_close)
            await self._runner.setup()
            private, public = self.sockets[:1], self.sockets[1:]
            servers = await self._listen(private)
            following = asyncio.ensure_future(
                _follow_gate(lambda: self._listen(public), self._keep_alive, lambda: self._runner.server.requests_count)
            )
            self.booted = True
            most, server = self.max_requests, self._runner.server
            while self.alive and self.ppid == os.getppid() and not 0 < most < server.requests_count:
                self.notify()
                await self._wait_next_notify()
            self._keep_alive(False)
            following.cancel()
            await asyncio.wait([following])
            for server in servers:
                server.close()
            await _linger(lambda: not self._runner.server.connections, self.notify)
            await self._runner.cleanup()

        async def _listen(self, listeners: list[Any]) -> list[Any]:
            loop = asyncio.get_running_loop()
            return [await loop.create_server(self._runner.server, sock=_duplicate(one.sock)) for one in listeners]

        def _keep_alive(self, keeps: bool) -> None:
            self._keeps = keeps

        async def _say_close(self, request: Any, response: Any) -> None:
            if not self._keeps:
                response.force_close()
                response.headers["Connection"] = "close"

    return GatedWebWorker


async def _follow_gate(
    open_public: Callable[[], Awaitable[list[Any]]], keep_alive: Callable[[bool], None], requests: Callable[[], int]
) -> None:
    """Listen on the public socket while the gate is open; when it closes, connections end with their next answer."""
    import asyncio

    servers: list[Any] = []
    seen = 0
    try:
        while True:
            if requests() != seen:
                seen = requests()
                note_progress()
            if is_open() != bool(servers):
                for server in servers:
                    server.close()
                servers = [] if servers else await open_public()
                keep_alive(bool(servers))
                acknowledge(bool(servers))
            await asyncio.sleep(POLL_SECONDS)
    finally:
        for server in servers:
            server.close()


async def _linger(done: Callable[[], bool], beat: Callable[[], None]) -> None:
    """Wait until no connection is left, but not longer than a client may idle before its next request."""
    import asyncio

    end = time.monotonic() + LINGER_SECONDS
    while time.monotonic() < end and not done():
        beat()
        await asyncio.sleep(POLL_SECONDS)


def _duplicate(listener: Any) -> socket.socket:
    """Return another handle of a listener, since asyncio closes the one that it is given."""
    return socket.fromfd(listener.fileno(), listener.family, listener.type)


# gunicorn reads the names below as its settings.
worker_class = {"wsgi": _wsgi_worker, "asgi": _asgi_worker, "aiohttp": _aiohttp_worker}[_plan["interface"]]()
bind = [f"fd://{descriptor}" for descriptor in _plan["listeners"]]
workers = _plan["workers"]
threads = _plan["threads"] if _plan["interface"] == "wsgi" else 1
timeout = _plan["request_seconds"]
graceful_timeout = _plan["drain_seconds"]
max_requests = _plan["max_requests"]
max_requests_jitter = _plan["max_requests"] // 10
keepalive = 15
worker_tmp_dir = _plan["run"]
control_socket_disable = True
pythonpath = _plan["release"]
errorlog = "-"
accesslog = None
certfile, keyfile = _plan["certificate"] or None, _plan["key"] or None
proc_name = _plan["title"]
