"""Send one HTTP request to an app, over TCP or over its private socket."""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ocrpack.deploy.store.state import Launch
from ocrpack.deploy.system.sockets import short_address

_MAX_ANSWER = 64 << 20
"""How many bytes of an answer are read, so that an endless one does not fill the memory."""


@dataclass(frozen=True)
class Address:
    """Where an app answers: a Unix socket, or a host and port."""

    host: str = "localhost"
    port: int = 0
    unix: Path | None = None
    tls: bool = False
    token: str = dataclasses.field(default="", repr=False)
    """What the app asks for; empty: nothing."""

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return "the private socket" if self.unix else f"{'https' if self.tls else 'http'}://{host}:{self.port}"

    @property
    def reachable(self) -> Address:
        """The address to connect to, where an address that listens on all interfaces is none."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)
        return dataclasses.replace(self, host=host)


def public(launch: Launch, secrets: Mapping[str, str], host: str, port: int) -> Address:
    """Return where a release answers everybody, with what it asks for."""
    return Address(host, port, tls=bool(launch.certificate), token=_token(launch, secrets))


def private(launch: Launch, secrets: Mapping[str, str], path: str) -> Address:
    """Return where a generation answers its supervisor alone, which is never with TLS."""
    return Address(unix=Path(path), token=_token(launch, secrets))


def _token(launch: Launch, secrets: Mapping[str, str]) -> str:
    """Return the first token that the app accepts; a secret may hold several, with commas or spaces between them."""
    known = " ".join(secrets.get(name, "") for name in launch.tokens).replace(",", " ").split()
    return known[0] if known else ""


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        with short_address(self._path) as address:
            self.sock.connect(address)


@dataclass(frozen=True)
class Answer:
    """An HTTP answer; `seconds` from the first byte sent to the last one read."""

    status: int
    body: bytes
    content_type: str
    seconds: float


def request(
    address: Address,
    path: str,
    timeout_s: float,
    *,
    method: str = "GET",
    body: bytes = b"",
    content_type: str = "",
) -> Answer:
    """Send one request.

    Raises:
        OSError: no connection, or no whole answer within `timeout_s` seconds, however slowly it trickles.
        http.client.HTTPException: what came back is not HTTP.
    """
    begin = time.monotonic()
    connection = _connection(address, timeout_s)
    try:
        headers = {"Connection": "close", "Accept": "application/json", "User-Agent": "ocrpack"}
        if content_type:
            headers["Content-Type"] = content_type
        if address.token:
            headers["Authorization"] = f"Bearer {address.token}"
        connection.connect()
        with _cut_off(connection.sock, timeout_s):
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it may answer without reading the body
                connection.request(method, path, body or None, headers)
            answer = connection.getresponse()
            data = answer.read(_MAX_ANSWER)
        return Answer(answer.status, data, answer.getheader("Content-Type", ""), time.monotonic() - begin)
    finally:
        connection.close()


def _connection(address: Address, timeout_s: float) -> http.client.HTTPConnection:
    if address.unix:
        return _UnixConnection(address.unix, timeout_s)
    host, port = address.reachable.host, address.port
    if address.tls:
        return http.client.HTTPSConnection(host, port, timeout=timeout_s, context=_own_service())
    return http.client.HTTPConnection(host, port, timeout=timeout_s)


def _own_service() -> ssl.SSLContext:
    """Return a TLS context that checks no name: the certificate is for the public name, and we call this machine."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@contextlib.contextmanager
def _cut_off(connection: socket.socket, seconds: float) -> Iterator[None]:
    """Close the connection when the block takes longer than that; a socket's timeout starts anew with every byte."""
    over = threading.Event()

    def cut() -> None:
        over.set()
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, cut)
    timer.start()
    try:
        yield
    except (OSError, http.client.HTTPException):
        if over.is_set():
            raise TimeoutError(f"no whole answer within {seconds:g} s") from None
        raise
    finally:
        timer.cancel()
    if over.is_set():
        raise TimeoutError(f"no whole answer within {seconds:g} s")
