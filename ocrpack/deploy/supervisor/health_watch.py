"""Watch the generation that serves: one that does nothing for too long is ended, so that it is started again."""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable

from ocrpack.deploy.proof.app_client import Address, request
from ocrpack.deploy.supervisor.generation_table import GenerationPort, GenerationTable
from ocrpack.deploy.supervisor.revival import Note

PROBE_EVERY_S, PROBE_S, SILENT_S = 5.0, 5.0, 10.0

Probe = Callable[[GenerationPort], bool]


def answers(generation: GenerationPort) -> bool:
    """Tell whether the app answers its health endpoint, with whatever status."""
    try:
        request(Address(unix=generation.private), generation.launch.health, PROBE_S)
    except (OSError, http.client.HTTPException):
        return False
    return True


class HealthWatch:
    """Asks what serves for its health, and kills it when it neither answers nor finishes requests."""

    def __init__(
        self,
        table: GenerationTable,
        note: Note,
        probe: Probe = answers,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._table = table
        self._note = note
        self._probe = probe
        self._clock = clock
        self._watched: GenerationPort | None = None
        self._heard = 0.0
        self._progress = 0

    def run(self) -> None:
        """Look again and again until the table is closed."""
        while not self._table.closed.wait(PROBE_EVERY_S):
            self.look()

    def look(self) -> None:
        """Probe what serves once, and kill it if it was silent for longer than a request may take."""
        generation = self._table.get(self._table.serving)
        if generation is None or not generation.launch.health or generation.master.ended() is not None:
            return
        if generation is not self._watched:  # a new one may still boot
            self._watched, self._progress = generation, 0
            self._heard = self._clock() + generation.launch.boot_seconds
        if self._probe(generation):
            self._heard = self._clock()
            return
        progress = generation.progress()
        if progress != self._progress:  # no thread is free for a probe, since all of them answer others
            self._progress, self._heard = progress, self._clock()
            return
        silent = self._clock() - self._heard
        if silent > max(SILENT_S, generation.launch.request_seconds):
            self._note(f"{generation.release} has answered nothing for {silent:.0f} s: ending it", "error")
            # The whole group: workers that hang would outlive their master, and go on to accept on the public address.
            generation.master.identity.kill_group()
