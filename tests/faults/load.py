"""Clients that use the service all the time: half keep their connection, half read text and half ask for its health."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from dataclasses import dataclass

CLIENTS = 16
THINK_S = 0.03
TEXT = "HELLO WORLD"
_BODY = f'--b\r\nContent-Disposition: form-data; name="image"; filename="a.txt"\r\n\r\n{TEXT}\r\n--b--\r\n'.encode()
_HEAD = f"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: {len(_BODY)}\r\n".encode()
_REQUESTS = {
    True: b"POST /ocr HTTP/1.1\r\nHost: localhost\r\n" + _HEAD + b"\r\n" + _BODY,
    False: b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
}
"""What a client sends: an image to read, or a question for the health."""


@dataclass(frozen=True)
class Failure:
    """A request that got no good answer."""

    client: int
    what: str
    after_s: float
    problem: str


class Load:
    """Sends requests from many clients until it is left, and counts what came back."""

    def __init__(self, port):
        self.port = port
        self.answers = 0
        self.failures: list[Failure] = []
        self.versions: list[str] = []
        self._begin = time.monotonic()
        self._guard, self._stop = threading.Lock(), threading.Event()
        self._threads = [threading.Thread(target=self._client, args=(number,)) for number in range(CLIENTS)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join()

    @property
    def requests(self):
        return self.answers + len(self.failures)

    def _client(self, number):
        keeps, reads = number % 2 == 0, number // 2 % 2 == 0
        connection = None
        while not self._stop.wait(THINK_S):
            begin = time.monotonic()
            try:
                connection = connection or socket.create_connection(("127.0.0.1", self.port), timeout=45)
                version, closes = _ask(connection, reads)
            except (OSError, ValueError) as error:
                what = f"{'POST /ocr' if reads else 'GET /healthz'}, {'kept' if keeps else 'new'} connection"
                problem = f"{error!r} after {time.monotonic() - begin:.3f} s"
                with self._guard:
                    self.failures.append(Failure(number, what, round(begin - self._begin, 3), problem))
                closes = True
            else:
                with self._guard:
                    self.answers += 1
                    if self.versions[-1:] != [version]:
                        self.versions.append(version)
            if connection is not None and (closes or not keeps):
                connection.close()
                connection = None
        if connection is not None:
            connection.close()


def _ask(connection, reads):
    """Send one request and return the version that answered, and whether it closes the connection."""
    connection.sendall(_REQUESTS[reads])
    data = b""
    while b"\r\n\r\n" not in data:
        data += _more(connection, data)
    head, _, body = data.partition(b"\r\n\r\n")
    head = head.lower()
    length = int(re.search(rb"content-length: (\d+)", head)[1])
    while len(body) < length:
        body += _more(connection, data)
    answer = json.loads(body)
    if b" 200 " not in head.partition(b"\r\n")[0] or (reads and answer.get("text") != TEXT):
        raise ValueError(f"{head!r} {body!r}")
    return answer.get("version"), b"connection: close" in head


def _more(connection, so_far):
    data = connection.recv(65536)
    if not data:
        raise ConnectionError(f"closed after {so_far!r}")
    return data
