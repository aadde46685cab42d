"""Listen on the public address, and on Unix sockets whose paths may be long."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from ocrpack.errors import PreflightError

_LONGEST_SOCKET_PATH = 100
_BACKLOG = 2048


@contextlib.contextmanager
def short_address(path: Path) -> Iterator[str]:
    """Yield an address for a Unix socket at `path`, which may be longer than the system's limit of about 107 bytes."""
    if len(os.fsencode(path)) <= _LONGEST_SOCKET_PATH:
        yield str(path)
        return
    folder = Path(tempfile.mkdtemp(prefix="ocrpack-", dir="/tmp"))
    link = folder / "d"
    link.symlink_to(path.parent)
    try:
        yield str(link / path.name)
    finally:
        shutil.rmtree(folder)


def bind_unix(address: str) -> socket.socket:
    """Listen on a Unix socket that only this user can reach, replacing a stale one."""
    Path(address).unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(address)
    Path(address).chmod(0o600)
    listener.listen(128)
    return listener


class PortTakenError(PreflightError):
    """Another process listens on the address."""


def bind(host: str, port: int, wait_s: float = 0) -> socket.socket:
    """Listen on the public address, which those that hold it may take `wait_s` seconds to leave.

    Raises:
        PreflightError: the address is taken, by whom if that can be known, or is not this machine's.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as error:
        raise PreflightError(f"cannot listen on {host}: {error}", "correct `host`, or pass --host") from None
    listener = socket.socket(family, kind, protocol)
    deadline = time.monotonic() + wait_s
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        while True:
            try:
                listener.bind(address)
                break
            except OSError as error:
                if error.errno != errno.EADDRINUSE or time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        if error.errno != errno.EADDRINUSE:
            text = f"cannot listen on {host}, port {port}: {error.strerror}"
            raise PreflightError(text, "correct `host` and `port`, or pass --host and --port") from None
        holder = holder_of(port)
        taken = f"port {port} on {host} is taken" + (f" by {holder}" if holder else "")
        raise PortTakenError(taken, "stop the other, or deploy with --port N or --any-port") from None
    return listener


def holder_of(port: int) -> str:
    """Name the process that listens on a TCP port, as far as this user may know."""
    import psutil

    try:
        for connection in psutil.net_connections("tcp"):
            if connection.laddr and connection.laddr.port == port and connection.status == psutil.CONN_LISTEN:
                if connection.pid is None:
                    return "a process of another user"
                return f"pid {connection.pid} ({psutil.Process(connection.pid).name()})"
    except psutil.Error:
        return ""
    return ""
