"""Messages between the web process and an engine process: JSON, with bytes or an open file beside it."""

from __future__ import annotations

import array
import socket
import struct
from typing import Any

from ..core import fastjson

Reply = tuple[dict[str, Any], bytes]
"""What comes back of a task: a message, and the bytes of a picture where one was asked for."""

_HEAD = struct.Struct("!II")


def send(connection: socket.socket, message: dict[str, Any], blob: bytes = b"", descriptor: int | None = None) -> None:
    """Send one message.

    Raises:
        OSError: nobody is there any more.
    """
    text = fastjson.dumps(message)
    head = _HEAD.pack(len(text), len(blob))
    if descriptor is None:
        connection.sendall(head)
    else:
        socket.send_fds(connection, [head], [descriptor])
    connection.sendall(text + blob)


def receive(connection: socket.socket) -> tuple[dict[str, Any], bytes, int | None]:
    """Return the next message, its bytes, and the open file that came with it, which is the caller's to close.

    Raises:
        EOFError: the other side is gone.
        OSError: the connection broke, or its timeout is up.
    """
    head, descriptor = _head(connection)
    sizes = _HEAD.unpack(head)
    text, blob = (_exactly(connection, size) for size in sizes)
    message: dict[str, Any] = fastjson.loads(text)
    return message, blob, descriptor


def _head(connection: socket.socket) -> tuple[bytes, int | None]:
    handles = array.array("i")
    data, ancillary, _, _ = connection.recvmsg(_HEAD.size, socket.CMSG_SPACE(handles.itemsize))
    for level, kind, content in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            handles.frombytes(content[: len(content) - len(content) % handles.itemsize])
    if not data:
        raise EOFError
    return data + _exactly(connection, _HEAD.size - len(data)), handles[0] if handles else None


def _exactly(connection: socket.socket, size: int) -> bytes:
    parts = bytearray(size)
    view = memoryview(parts)
    while view:
        got = connection.recv_into(view)
        if not got:
            raise EOFError
        view = view[got:]
    return bytes(parts)
