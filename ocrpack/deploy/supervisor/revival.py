"""What happens when a generation dies: the one that is to serve is started again, after a pause that grows."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Protocol

from ocrpack.deploy.store.state import Launch
from ocrpack.deploy.supervisor.generation_table import GenerationPort, GenerationTable
from ocrpack.deploy.supervisor.promotion import retire
from ocrpack.errors import BootError, OcrpackError
from ocrpack.logs import Level

FIRST_PAUSE_S, LONGEST_PAUSE_S, STEADY_S = 0.5, 30.0, 60.0

Note = Callable[[str, Level], None]


class Start(Protocol):
    """Starts a release behind its gate."""

    def __call__(self, *, number: int, release: str, launch: Launch, secrets: Mapping[str, str]) -> GenerationPort:
        """Return its generation at once.

        Raises:
            OcrpackError, OSError: it cannot be started.
        """


class Revival:
    """Starts generations, watches each, and starts the one that is to serve again when it dies."""

    def __init__(self, table: GenerationTable, start: Start, note: Note, first_pause_s: float = FIRST_PAUSE_S) -> None:
        self._table = table
        self._start = start
        self._note = note
        self._guard = threading.Lock()
        self._reviving: set[int] = set()
        self._first_pause_s = self._pause_s = first_pause_s
        self._try_again = 0.0

    def launch(
        self, release: str, launch: Launch, secrets: Mapping[str, str], *, serve: bool = False
    ) -> GenerationPort:
        """Start a release behind its gate, or with it open, and watch it.

        Raises:
            BootError: nothing may be started any more.
            OcrpackError, OSError: it cannot be started.
        """
        if self._table.closed.is_set():
            raise BootError("the supervisor is about to end", "run the command again")
        number = self._table.next_number()
        generation = self._start(number=number, release=release, launch=launch, secrets=secrets)
        self._table.add(generation, secrets, serve=serve)
        self.watch(generation)
        return generation

    def bring_up(self, release: str, launch: Launch, load_secrets: Callable[[], Mapping[str, str]]) -> None:
        """Start the release that is to serve while nothing does; after a failure, calls do nothing for a while."""
        if time.monotonic() < self._try_again:
            return
        try:
            self.launch(release, launch, load_secrets(), serve=True)
        except (OcrpackError, OSError) as error:
            pause = self._next_pause()
            self._note(f"the current release cannot be started, next try in {pause:g} s: {error}", "error")
            self._try_again = time.monotonic() + pause
            return
        self._note(f"started {release}", "info")

    def watch(self, generation: GenerationPort) -> None:
        """Start a generation again when it ends while it is to serve; returns at once."""
        threading.Thread(target=self._watch, args=(generation,), daemon=True).start()

    def revive(self, dead: GenerationPort) -> None:
        """Start a generation again under a new number; returns at once."""
        threading.Thread(target=self._revive, args=(dead,), daemon=True).start()

    def _watch(self, generation: GenerationPort) -> None:
        begin = time.monotonic()
        status = generation.master.wait()
        if time.monotonic() - begin > STEADY_S:
            self._pause_s = self._first_pause_s
        if self._table.is_to_serve(generation):
            text = f"{generation.release} ended with status {status}; starting it again in {self._pause_s:g} s"
            self._note(text, "warning")
            self._revive(generation)

    def _revive(self, dead: GenerationPort) -> None:
        with self._guard:
            # Its watcher and whoever lets it serve again may both find it dead.
            if dead.number in self._reviving:
                return
            self._reviving.add(dead.number)
        # Its workers go on without their master, finish their requests and end.
        threading.Thread(target=dead.outlive_master, daemon=True).start()
        while self._table.is_to_serve(dead):
            # A command may let another one serve during the pause: then nothing is to be started.
            if self._table.closed.wait(self._next_pause()) or not self._table.is_to_serve(dead):
                return
            try:
                heir = self.launch(dead.release, dead.launch, self._table.secrets_of(dead.number))
            except (OcrpackError, OSError) as error:
                self._note(f"{dead.release} could not be started again: {error}", "error")
                continue
            # Starting takes time, too: what another one replaced meanwhile needs no heir.
            if not self._table.replace(dead, heir):
                retire(self._table, [heir.number])
                return
            self._table.forget(dead)
            # If it died before it was to serve, its watcher did not start it again.
            if heir.master.ended() is not None:
                self._revive(heir)
            return

    def _next_pause(self) -> float:
        """Return how long to wait now, and double what is to be waited next."""
        pause = self._pause_s
        self._pause_s = min(pause * 2, LONGEST_PAUSE_S)
        return pause
