"""How a worker with an event loop follows its gate."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable
from typing import Any

from . import gate


async def follow_gate(
    open_public: Callable[[], Awaitable[list[Any]]], keep_alive: Callable[[bool], None], requests: Callable[[], int]
) -> None:
    """Listen on the public socket while the gate is open; when it closes, connections end with their next answer."""
    servers: list[Any] = []
    seen = 0
    try:
        while True:
            if requests() != seen:
                seen = requests()
                gate.note_progress()
            if gate.is_open() != bool(servers):
                for server in servers:
                    server.close()
                servers = [] if servers else await open_public()
                keep_alive(bool(servers))
                gate.acknowledge(bool(servers))
            await asyncio.sleep(gate.POLL_SECONDS)
    finally:
        for server in servers:
            server.close()


async def linger(done: Callable[[], bool], beat: Callable[[], None]) -> None:
    """Wait until no connection is left, for LINGER_SECONDS at most.

    An idle connection that closes at once loses the request that its client may be sending on it.
    """
    end = time.monotonic() + gate.LINGER_SECONDS
    while time.monotonic() < end and not done():
        beat()
        await asyncio.sleep(gate.POLL_SECONDS)


def duplicate(listener: Any) -> socket.socket:
    """Return another handle of a listener, since asyncio closes the one that it is given."""
    return socket.fromfd(listener.fileno(), listener.family, listener.type)
