"""aiohttp's gunicorn worker with a gate, for aiohttp apps."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from aiohttp import web
from aiohttp.worker import GunicornWebWorker

from .async_gate import duplicate, follow_gate, linger


class GatedWebWorker(GunicornWebWorker):
    """aiohttp's gunicorn worker, with a loop of its own that opens and closes the public socket with the gate."""

    async def _run(self) -> None:
        app = self.wsgi if isinstance(self.wsgi, web.Application) else await self.wsgi()
        if not isinstance(app, web.AppRunner):
            # As aiohttp's own worker has it: a little less than after which gunicorn kills the worker.
            keeps, end = self.cfg.keepalive, self.cfg.graceful_timeout * 0.95
            app = web.AppRunner(app, logger=self.log, keepalive_timeout=keeps, access_log=None, shutdown_timeout=end)
        self._runner = app
        self._keeps = True
        self._runner.app.on_response_prepare.append(self._say_close)
        await self._runner.setup()
        private, public = self.sockets[:1], self.sockets[1:]
        servers = await self._listen(private)
        following = asyncio.ensure_future(
            follow_gate(lambda: self._listen(public), self._keep_alive, lambda: self._runner.server.requests_count)
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
        await linger(lambda: not self._runner.server.connections, self.notify)
        await self._runner.cleanup()

    async def _listen(self, listeners: list[Any]) -> list[Any]:
        loop = asyncio.get_running_loop()
        return [await loop.create_server(self._runner.server, sock=duplicate(one.sock)) for one in listeners]

    def _keep_alive(self, keeps: bool) -> None:
        self._keeps = keeps

    async def _say_close(self, request: Any, response: Any) -> None:
        if not self._keeps:
            response.force_close()
            response.headers["Connection"] = "close"
