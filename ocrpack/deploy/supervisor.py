"""The one process of a deployment that owns the listening socket and starts, watches and retires generations.

It is started with two listening sockets, the public one and its control socket, and lives on when whoever started
it is gone. A generation is a candidate until it is promoted; a candidate ends with the connection that launched it,
so a killed deploy leaves nothing behind. What serves is started again when it dies, after a growing pause.

Usage: python -m ocrpack.deploy.supervisor ROOT NAME PUBLIC_FD CONTROL_FD
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ocrpack.deploy import process
from ocrpack.deploy.generation import DRAIN_S, Generation, start
from ocrpack.deploy.root import Deployment, Launch
from ocrpack.errors import OcrpackError
from ocrpack.journal import Journal, Level

FIRST_PAUSE_S, LONGEST_PAUSE_S, STEADY_S = 0.5, 30.0, 60.0
IDLE_S = 2.0
ACCEPT_S = 15.0
KILL_AFTER_S = DRAIN_S + 5

Request = dict[str, Any]


class Supervisor:
    """Keeps one deployment running; every public method may be called from any thread."""

    def __init__(self, deployment: Deployment, public: socket.socket) -> None:
        self._deployment = deployment
        self._public = public
        self._journal = Journal(deployment.deploy_log, "supervisor")
        self._guard = threading.RLock()
        self._generations: dict[int, Generation] = {}
        self._serving: int | None = None
        self._ending: set[int] = set()
        self._restarts = 0
        self._before: dict[int, int | None] = {}
        self._number = 0
        self._connections = 0
        self._idle_since = time.monotonic()
        self._stop = threading.Event()

    # --- what clients ask for

    def status(self, _: Request) -> Request:
        """Answer what runs."""
        with self._guard:
            host, port = self._public.getsockname()[:2]
            return {
                "pid": os.getpid(),
                "host": host,
                "port": port,
                "serving": self._serving,
                "restarts": self._restarts,
                "generations": [
                    {
                        "number": generation.number,
                        "release": generation.release,
                        "pid": generation.process.pid,
                        "started": generation.started,
                        "alive": generation.process.poll() is None,
                        "private": str(generation.private),
                    }
                    for generation in self._generations.values()
                ],
            }

    def launch(self, request: Request) -> Request:
        """Start a candidate; its secrets come with the request and are kept for its restarts."""
        with self._guard:
            self._number += 1
            number = self._number
        generation = self._start(number, request["release"], Launch(**request["launch"]), request["secrets"])
        with self._guard:
            self._generations[number] = generation
        threading.Thread(target=self._watch, args=(generation,), daemon=True).start()
        return {"number": number, "pid": generation.process.pid, "private": str(generation.private)}

    def poll(self, request: Request) -> Request:
        """Answer whether a generation runs, or the status that its master ended with."""
        generation = self._find(request)
        return {"status": generation.process.poll()}

    def promote(self, request: Request) -> Request:
        """Open a candidate's gate and wait until all of its workers accept; it serves from then on."""
        generation = self._find(request)
        generation.open_gate()
        deadline = time.monotonic() + ACCEPT_S
        while not generation.accepting():
            if generation.process.poll() is not None or time.monotonic() > deadline:
                raise OcrpackError("the workers did not take the public address")
            time.sleep(0.01)
        with self._guard:
            self._before[generation.number] = self._serving
            self._serving = generation.number
        return {}

    def withdraw(self, request: Request) -> Request:
        """Take a promotion back: what served before is again what is to serve."""
        with self._guard:
            if self._serving == request["number"]:
                self._serving = self._before.get(request["number"])
        return {}

    def settle(self, request: Request) -> Request:
        """Let one generation serve alone: the others finish their requests and end."""
        generation = self._find(request)
        with self._guard:
            self._serving = generation.number
            others = [number for number in self._generations if number != generation.number]
        return {"drained": others, "forced": self._retire(others)}

    def stop(self, _: Request) -> Request:
        """Finish all requests and end all generations; this process ends once that is answered."""
        with self._guard:
            self._serving = None
            numbers = list(self._generations)
        self._public.close()
        return {"drained": numbers, "forced": self._retire(numbers)}

    # --- the life of generations

    def _find(self, request: Request) -> Generation:
        with self._guard:
            generation = self._generations.get(request["number"])
        if generation is None:
            raise OcrpackError(f"no generation {request['number']}")
        return generation

    def _start(self, number: int, release: str, launch: Launch, secrets: Mapping[str, str]) -> Generation:
        generation = start(self._deployment, number, release, launch, self._public, secrets)
        identity = process.identify(generation.process.pid)
        if identity is not None:
            identity.save(generation.run / "process.json")
        return generation

    def _watch(self, generation: Generation) -> None:
        """Start what serves again when it dies, under its number, after a pause that doubles until it lives on."""
        pause = FIRST_PAUSE_S
        while True:
            begin = time.monotonic()
            status = generation.process.wait()
            if time.monotonic() - begin > STEADY_S:
                pause = FIRST_PAUSE_S
            if not self._is_to_serve(generation):
                return
            self._note(f"{generation.release} ended with status {status}; starting it again in {pause:g} s", "warning")
            generation.kill()
            if self._stop.wait(pause) or not self._is_to_serve(generation):
                return
            pause = min(pause * 2, LONGEST_PAUSE_S)
            try:
                successor = self._start(generation.number, generation.release, generation.launch, generation.secrets)
            except (OcrpackError, OSError) as error:
                self._note(f"{generation.release} could not be started again: {error}", "error")
                continue
            with self._guard:
                wanted = self._is_to_serve(generation)
                if wanted:
                    successor.open_gate()
                    self._generations[generation.number] = successor
                    self._restarts += 1
            if not wanted:
                successor.kill()
                return
            generation = successor

    def _is_to_serve(self, generation: Generation) -> bool:
        with self._guard:
            number = generation.number
            known = self._generations.get(number) is generation
            return known and self._serving == number and number not in self._ending

    def _retire(self, numbers: list[int]) -> list[int]:
        """Drain generations side by side and return those that had to be killed."""
        with self._guard:
            leaving = [self._generations[number] for number in numbers if number in self._generations]
            self._ending.update(numbers)
        for generation in leaving:
            generation.signal(signal.SIGTERM)
        deadline = time.monotonic() + KILL_AFTER_S
        forced = []
        for generation in leaving:
            while generation.process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.01)
            if generation.process.poll() is None:
                forced.append(generation.number)
                self._note(f"{generation.release} did not end within {KILL_AFTER_S:g} s and was killed", "warning")
            self._forget(generation)
        return forced

    def _forget(self, generation: Generation) -> None:
        generation.kill()
        with self._guard:
            self._generations.pop(generation.number, None)
            self._ending.discard(generation.number)
            self._idle_since = time.monotonic()

    def _note(self, message: str, level: Level) -> None:
        try:
            self._journal.write("note", message, phase="supervise", level=level)
        except OSError as error:
            sys.stderr.write(f"{message} (the journal cannot be written: {error})\n")

    # --- connections

    def serve(self, control: socket.socket) -> None:
        """Answer clients until everything has ended."""
        signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=self._end).start())
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        threading.Thread(target=self._accept, args=(control,), daemon=True).start()
        while not self._stop.wait(1):
            with self._guard:
                busy = self._connections or self._generations
                if not busy and time.monotonic() - self._idle_since > IDLE_S:
                    break

    def _end(self) -> None:
        self.stop({})
        self._stop.set()

    def _accept(self, control: socket.socket) -> None:
        while True:
            try:
                connection, _ = control.accept()
            except OSError as error:
                self._note(f"cannot answer a command: {error}", "error")
                time.sleep(1)
                continue
            threading.Thread(target=self._converse, args=(connection,), daemon=True).start()

    def _converse(self, connection: socket.socket) -> None:
        commands: dict[str, Callable[[Request], Request]] = {
            "status": self.status,
            "launch": self.launch,
            "poll": self.poll,
            "promote": self.promote,
            "withdraw": self.withdraw,
            "settle": self.settle,
            "stop": self.stop,
        }
        launched: list[int] = []
        with self._guard:
            self._connections += 1
        try:
            with connection, connection.makefile("rwb") as lines:
                for line in lines:
                    request = json.loads(line)
                    try:
                        answer = commands[request["do"]](request)
                    except (OcrpackError, OSError, KeyError) as error:
                        answer = {"error": str(error)}
                    if request["do"] == "launch" and "number" in answer:
                        launched.append(answer["number"])
                    lines.write(json.dumps(answer).encode() + b"\n")
                    lines.flush()
                    if request["do"] == "stop":
                        self._stop.set()
        except (OSError, ValueError):
            pass  # the client is gone; what it launched is cleared below
        finally:
            self._clear_after(launched)
            with self._guard:
                self._connections -= 1
                self._idle_since = time.monotonic()

    def _clear_after(self, launched: list[int]) -> None:
        """End what a client that is gone left undone: candidates, or a second generation that serves.

        A promotion that `current` does not confirm is taken back.
        """
        current = self._deployment.current
        with self._guard:
            mine = [number for number in launched if number in self._generations]
            if self._serving in mine:
                if self._generations[self._serving].release != current:
                    before = self._before.get(self._serving)
                    self._serving = before if before in self._generations else None
                mine = list(self._generations)
            losers = [number for number in mine if number != self._serving]
        if losers:
            self._retire(losers)


def main(root: str, name: str, public: str, control: str) -> None:
    """Supervise a deployment until it is stopped."""
    listener = socket.socket(fileno=int(public))
    Supervisor(Deployment(Path(root), name), listener).serve(socket.socket(fileno=int(control)))


if __name__ == "__main__":
    main(*sys.argv[1:])
