"""uvicorn's gunicorn worker with a gate, for ASGI apps."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Any

from uvicorn.server import Server
from uvicorn_worker import UvicornWorker

from .async_gate import duplicate, follow_gate, linger


class GatedServer(Server):
    """uvicorn's server; startup opens the private socket, the public one opens and closes with the gate."""

    public: tuple[Any, ...] = ()
    beat: Callable[[], None]

    async def startup(self, sockets: Any = None) -> None:
        """Listen on the private socket, and follow the gate with the public one."""
        self.public = tuple(sockets[1:])
        await super().startup(sockets[:1])
        self._headers = self.config.encoded_headers
        self._following = asyncio.ensure_future(
            follow_gate(self._open_public, self._keep_alive, lambda: self.server_state.total_requests)
        )

    def _keep_alive(self, keeps: bool) -> None:
        """Say in all answers from now on whether connections stay, those included that are being made."""
        self.config.encoded_headers = [*self._headers, *([] if keeps else [(b"connection", b"close")])]
        self.server_state.default_headers = self.config.encoded_headers
        for connection in self.server_state.connections:
            cycle = getattr(connection, "cycle", None)
            if cycle is not None:
                cycle.default_headers = self.config.encoded_headers

    async def _open_public(self) -> list[Any]:
        config = self.config

        # As uvicorn makes them in `startup`, which can be called once only.
        def protocol() -> Any:
            kind: Any = config.http_protocol_class
            return kind(config=config, server_state=self.server_state, app_state=self.lifespan.state)

        loop = asyncio.get_running_loop()
        return [
            await loop.create_server(protocol, sock=duplicate(listener), ssl=config.ssl, backlog=config.backlog)
            for listener in self.public
        ]

    async def shutdown(self, sockets: Any = None) -> None:
        """End as uvicorn does, after a while in which every answer says `Connection: close`."""
        self._following.cancel()
        await asyncio.wait([self._following])
        for server in self.servers:
            server.close()
        self._keep_alive(False)
        await linger(lambda: not self.server_state.connections, self.beat)
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
            sys.exit(3)  # gunicorn's status of a worker that did not boot
