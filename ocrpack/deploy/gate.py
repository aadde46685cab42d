"""What runs inside a generation: gunicorn's configuration and the gate that keeps the public socket shut.

gunicorn gets this file by its path (`-c gate.py`), in an environment where ocrpack is not installed, so it needs
the standard library and gunicorn alone. Each worker starts with the private listener; once the file `gate-open`
is in the run folder it accepts on the public listener too, and says so with a file `accepting-PID` beside it.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

POLL_SECONDS = 0.02

_plan: dict[str, Any] = json.loads(os.environ.pop("OCRPACK_GENERATION"))
_run = Path(_plan["run"])


def _read_secrets(descriptor: int) -> None:
    """Take the app's secrets from a pipe, so that they never stand in the process's initial environment."""
    with os.fdopen(descriptor, "rb") as pipe:
        os.environ.update(json.loads(pipe.read() or b"{}"))


def is_open() -> bool:
    """Tell whether this generation is promoted."""
    return (_run / "gate-open").exists()


def acknowledge() -> None:
    """Tell the supervisor that this worker accepts public connections."""
    (_run / f"accepting-{os.getpid()}").touch()


def _loaded(pid: int) -> Path:
    return _run / f"loaded-{pid}"


def post_worker_init(worker: Any) -> None:
    """Note that this worker has loaded the app (called by gunicorn, in the worker)."""
    _loaded(os.getpid()).touch()


def child_exit(server: Any, worker: Any) -> None:
    """End a candidate whose worker ended before it had loaded the app (called by gunicorn, in the master).

    gunicorn does so for workers that end with its own status for a failed boot, and starts all others again for ever.
    """
    if not _loaded(worker.pid).exists() and not is_open():
        from gunicorn.errors import HaltServer

        raise HaltServer("a worker ended before it had loaded the app", 3)


def in_background(target: Callable[[], None]) -> None:
    """Run a function in a thread that does not keep the worker alive."""
    threading.Thread(target=target, daemon=True, name="ocrpack-gate").start()


if _plan["secrets_fd"] is not None:
    _read_secrets(_plan["secrets_fd"])


def _wsgi_worker() -> Any:
    from gunicorn.workers.gthread import ThreadWorker

    class GatedThreadWorker(ThreadWorker):
        """gunicorn's thread worker; the public listener joins its poller through its own method queue."""

        def run(self) -> None:
            self.sockets, self._public = self.sockets[:1], self.sockets[1:]
            in_background(self._join_when_open)
            super().run()

        def _join_when_open(self) -> None:
            while not is_open():
                time.sleep(POLL_SECONDS)
            self.method_queue.defer(self._join)

        def _join(self) -> None:
            if not self.alive:
                return
            accepting = self._accepting
            self.set_accept_enabled(False)
            self.sockets = self.sockets + self._public
            self.set_accept_enabled(accepting)
            acknowledge()

    return GatedThreadWorker


def _asgi_worker() -> Any:
    import asyncio

    from uvicorn.server import Server
    from uvicorn_worker import UvicornWorker

    class GatedServer(Server):
        """uvicorn's server; startup opens the private socket, the public one follows when the gate opens."""

        public: tuple[Any, ...] = ()

        async def startup(self, sockets: Any = None) -> None:
            self.public = tuple(sockets[1:])
            await super().startup(sockets[:1])
            self._joining = asyncio.ensure_future(self._join_when_open())

        async def _join_when_open(self) -> None:
            while not is_open():
                await asyncio.sleep(POLL_SECONDS)
            config = self.config

            def protocol() -> Any:
                kind: Any = config.http_protocol_class
                return kind(config=config, server_state=self.server_state, app_state=self.lifespan.state)

            for listener in self.public:
                duplicate = socket.fromfd(listener.fileno(), listener.family, listener.type)
                server = await asyncio.get_running_loop().create_server(
                    protocol, sock=duplicate, ssl=config.ssl, backlog=config.backlog
                )
                self.servers.append(server)
            acknowledge()

    class GatedUvicornWorker(UvicornWorker):
        """uvicorn's gunicorn worker around the gated server."""

        async def _serve(self) -> None:
            self.config.app = self.wsgi
            server = GatedServer(config=self.config)
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
        """aiohttp's gunicorn worker; a second site on the same runner opens with the gate."""

        async def _run(self) -> None:
            self.sockets, public = self.sockets[:1], self.sockets[1:]
            app = self.wsgi if isinstance(self.wsgi, web.Application) else await self.wsgi()
            runner = app if isinstance(app, web.AppRunner) else self._runner(app)

            async def same_runner() -> Any:
                return runner

            self.wsgi = same_runner
            joining = asyncio.ensure_future(self._join_when_open(runner, public))
            try:
                await super()._run()
            finally:
                joining.cancel()

        def _runner(self, app: Any) -> Any:
            return web.AppRunner(
                app,
                logger=self.log,
                keepalive_timeout=self.cfg.keepalive,
                access_log=None,
                shutdown_timeout=self.cfg.graceful_timeout * 0.95,
            )

        async def _join_when_open(self, runner: Any, public: Any) -> None:
            while not is_open():
                await asyncio.sleep(POLL_SECONDS)
            while runner.server is None:
                await asyncio.sleep(POLL_SECONDS)
            for listener in public:
                await web.SockSite(runner, listener.sock).start()
            acknowledge()

    return GatedWebWorker


# gunicorn reads the names below as its settings.
worker_class = {"wsgi": _wsgi_worker, "asgi": _asgi_worker, "aiohttp": _aiohttp_worker}[_plan["interface"]]()
bind = [f"fd://{descriptor}" for descriptor in _plan["listeners"]]
workers = _plan["workers"]
threads = _plan["threads"] if _plan["interface"] == "wsgi" else 1
timeout = _plan["request_seconds"]
graceful_timeout = _plan["drain_seconds"]
keepalive = 15
worker_tmp_dir = _plan["run"]
control_socket_disable = True
pythonpath = _plan["release"]
errorlog = "-"
accesslog = None
proc_name = _plan["title"]
