"""Saturate a service with requests, half of the connections kept alive, and tell how long each one took.

Usage: python -m benchmarks.clients PORT CLIENTS SECONDS; prints one JSON document when it is ended with SIGTERM or the
time is over: {"begin": [seconds since the epoch], "seconds": [...], "failed": [[when, what], ...]}.
"""

from __future__ import annotations

import http.client
import json
import signal
import sys
import threading
import time
from array import array


class Clients:
    """Threads that ask `/healthz` over and over."""

    def __init__(self, port: int, count: int) -> None:
        self.begin, self.seconds = array("d"), array("d")
        self.failed: list[tuple[float, str]] = []
        self.stop = threading.Event()
        self._port, self._guard = port, threading.Lock()
        self._threads = [threading.Thread(target=self._ask, args=(number % 2 == 0,)) for number in range(count)]

    def run(self, seconds: float) -> None:
        """Ask until told to stop, at most that long."""
        for thread in self._threads:
            thread.start()
        self.stop.wait(seconds)
        self.stop.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, keep: bool) -> None:
        connection = None
        while not self.stop.is_set():
            began, begin = time.time(), time.perf_counter()
            problem = ""
            try:
                connection = connection or http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
                connection.request("GET", "/healthz", headers={} if keep else {"Connection": "close"})
                answer = connection.getresponse()
                answer.read()
                if answer.status != 200:
                    problem = str(answer.status)
                gone = answer.will_close
            except (OSError, http.client.HTTPException) as error:
                problem, gone = repr(error), True
            taken = time.perf_counter() - begin
            with self._guard:
                self.begin.append(began)
                self.seconds.append(taken)
                if problem:
                    self.failed.append((began, problem))
            if gone and connection is not None:
                connection.close()
                connection = None


def main(port: str, count: str, seconds: str) -> None:
    """Ask, then print what was measured."""
    clients = Clients(int(port), int(count))
    signal.signal(signal.SIGTERM, lambda *_: clients.stop.set())
    clients.run(float(seconds))
    document = {"begin": list(clients.begin), "seconds": list(clients.seconds), "failed": clients.failed}
    json.dump(document, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
