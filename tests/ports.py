"""Ports for what tests start: none that the system hands to others meanwhile, or that another test run takes."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import tempfile
from functools import cache
from itertools import cycle
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_FIRST, _LAST = 20_000, 32_000
"""Below the ports that Linux gives to whoever asks for any (ip_local_port_range)."""
_BLOCK = 200


def free_port() -> int:
    """Return a port of 127.0.0.1 on which nothing listens."""
    for port in _ports():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return port
    raise AssertionError("the ports never end")


@cache
def _ports() -> Iterator[int]:
    """Return the ports of a block that belongs to this process for as long as it runs."""
    for first in range(_FIRST, _LAST, _BLOCK):
        handle = os.open(f"{tempfile.gettempdir()}/ocrpack-tests-{os.getuid()}-{first}.lock", os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
        else:
            return cycle(range(first, first + _BLOCK))
    raise AssertionError("all blocks of ports are taken: other test runs are at work")
