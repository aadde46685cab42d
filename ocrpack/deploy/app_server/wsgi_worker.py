"""gunicorn's thread worker with a gate, for WSGI apps; clients that are too slow lose their connection.

Each client has a thread to itself here, and gunicorn has no bound for how slowly a request comes: a few clients that
stop in the middle of one would hold all threads for ever.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import time
from collections.abc import Callable
from typing import Any

from gunicorn.workers import gthread

from . import gate

HEAD_SECONDS, BODY_SECONDS, BYTES_PER_SECOND = 10.0, 20.0, 8192
"""How long a thread waits for a request's head, and at any moment for its body, which has to come at that rate."""
UNREAD_SECONDS = 30
"""How long an answer waits for a client that takes nothing of it."""

# gunicorn has a constant and no setting for how long an ending worker keeps idle connections.
gthread.STOP_KEEPALIVE_LINGER = gate.LINGER_SECONDS


class WithoutTls:
    """gunicorn's settings without TLS: what comes by the private socket comes from this machine's own user."""

    is_ssl = False

    def __init__(self, settings: Any) -> None:
        self._settings = settings

    def __getattr__(self, name: str) -> Any:
        return getattr(self._settings, name)


class GatedThreadWorker(gthread.ThreadWorker):
    """gunicorn's thread worker; the public listener joins and leaves its poller through its own method queue.

    Once its gate is closed it keeps no connection alive, and says so in its answers. As each client has a thread to
    itself, those that send too slowly or read nothing lose their connection.
    """

    def run(self) -> None:
        """Start with the private listener alone, and follow the gate."""
        self.sockets, self._public = self.sockets[:1], self.sockets[1:]
        self._private, self._keeps = self.sockets, self.max_keepalived
        self._private_name, self._plain = self.sockets[0].getsockname(), WithoutTls(self.cfg)
        self._heads: dict[Any, float] = {}
        gate.in_background(self._follow_gate)
        super().run()

    def enqueue_req(self, conn: Any) -> Any:
        """Give a connection to a thread: the private one without TLS, others with a bound for unread answers."""
        if conn.server == self._private_name:
            conn.cfg = self._plain
        elif conn.sock.family != socket.AF_UNIX and hasattr(socket, "TCP_USER_TIMEOUT"):
            conn.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREAD_SECONDS * 1000)
        return super().enqueue_req(conn)

    def handle(self, conn: Any) -> Any:
        """Answer one request of a connection, and close it here if it is not kept."""
        self._heads[conn] = time.monotonic()
        try:
            goes_on = super().handle(conn)
        finally:
            self._heads.pop(conn, None)
            gate.note_progress()
        # Close it in this thread: the main loop would stand still for as long as the client takes to close its side.
        if not goes_on:
            with contextlib.suppress(OSError):
                conn.close(graceful=True)
            conn.close = lambda **_: None  # the main loop closes it once more
        return goes_on

    def handle_request(self, req: Any, conn: Any) -> Any:
        """Let the app answer; its reads of the body have a deadline."""
        if self._heads.pop(conn, None) is None:
            raise ConnectionResetError(errno.ECONNRESET, "the head came too slowly")
        unreader = conn.parser.unreader
        unreader.chunk = _with_deadline(req, unreader)
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
            if gate.is_open() != accepts:
                accepts = not accepts
                self.method_queue.defer(self._turn, accepts)
            self._cut_heads()
            time.sleep(gate.POLL_SECONDS)

    def _turn(self, accepts: bool) -> None:
        if not self.alive:
            return
        accepting = self._accepting
        # Only while it accepts nothing may the listeners change: the poller knows them one by one.
        self.set_accept_enabled(False)
        self.sockets = self._private + (self._public if accepts else [])
        self.set_accept_enabled(accepting)
        self.max_keepalived = self._keeps if accepts else 0
        gate.acknowledge(accepts)


def _with_deadline(req: Any, unreader: Any) -> Callable[..., bytes]:
    """Wrap `unreader.chunk` with a read deadline; drop clients slower than BYTES_PER_SECOND."""
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
