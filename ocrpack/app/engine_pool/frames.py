"""Frames on a Unix socket: a text, bytes that need no encoding, and sometimes an open file beside them."""

from __future__ import annotations

import array
import socket
import struct
from typing import NamedTuple

_HEAD = struct.Struct("!II")


class Frame(NamedTuple):
    """Hold one frame; the receiver closes `descriptor`."""

    text: bytes
    blob: bytes = b""
    descriptor: int | None = None


def send(connection: socket.socket, frame: Frame) -> None:
    """Send one frame.

    Raises:
        OSError: the other side is gone.
    """
    head = _HEAD.pack(len(frame.text), len(frame.blob))
    if frame.descriptor is None:
        connection.sendall(head)
    else:
        socket.send_fds(connection, [head], [frame.descriptor])
    connection.sendall(frame.text + frame.blob)


def receive(connection: socket.socket) -> Frame:
    """Return the next frame.

    Raises:
        EOFError: the other side is gone.
        OSError: the connection broke, or timed out.
    """
    head, descriptor = _head(connection)
    text_size, blob_size = _HEAD.unpack(head)
    return Frame(_exactly(connection, text_size), _exactly(connection, blob_size), descriptor)


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
