"""The table of a deployment's generations: which there are, which one serves, what served before, what replaced what.

It starts and ends no process; its methods may be called from any thread.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Protocol

from ocrpack.deploy.store.layout import Deployment
from ocrpack.deploy.store.state import Launch
from ocrpack.deploy.supervisor.protocol import GenerationStatus
from ocrpack.deploy.system.processes import Master
from ocrpack.errors import BootError

SEE_LOGS = "`ocrpack logs --instance` shows the app's output"


class GenerationPort(Protocol):
    """What the supervisor needs of the processes of one release."""

    number: int
    release: str
    launch: Launch
    started: float
    master: Master
    writer: Master

    @property
    def private(self) -> Path:
        """The private socket."""

    def open_gate(self) -> None:
        """Let the workers accept public connections."""

    def close_gate(self) -> None:
        """Let the workers accept no more public connections."""

    def accepting(self) -> int:
        """Return how many workers accept public connections."""

    def progress(self) -> int:
        """Return a number that changes while the workers finish requests."""

    def leave(self) -> bool:
        """Let it finish its requests and end, and return whether it had to be killed."""

    def outlive_master(self) -> None:
        """Let the workers of a dead master finish their requests and end."""

    def keep_log(self, deployment: Deployment) -> None:
        """Start another log writer if the one that was there is dead."""


class GenerationTable:
    """Who serves, who served before, and who replaced whom."""

    def __init__(self) -> None:
        self.restarts = 0
        """How often a generation that died was started again."""
        self.closed = threading.Event()
        """Set once nothing may be started any more."""
        self._guard = threading.RLock()
        self._generations: dict[int, GenerationPort] = {}
        self._secrets: dict[int, Mapping[str, str]] = {}
        self._serving: int | None = None
        self._before: dict[int, int | None] = {}
        """The number of the generation that served before each."""
        self._heirs: dict[int, int] = {}
        """The number of the generation that replaced each that died."""
        self._leaving: set[int] = set()
        self._last_number = 0

    @property
    def serving(self) -> int | None:
        """The number of the generation that is to serve."""
        return self._serving

    def next_number(self) -> int:
        """Return a number that no generation had."""
        with self._guard:
            self._last_number += 1
            return self._last_number

    def add(self, generation: GenerationPort, secrets: Mapping[str, str], *, serve: bool = False) -> None:
        """Take a generation in, and let it serve if asked; its secrets are kept for when it must be started again."""
        with self._guard:
            self._last_number = max(self._last_number, generation.number)
            self._secrets[generation.number] = secrets
            self._generations[generation.number] = generation
            if serve:
                self._let_serve(generation)

    def forget(self, generation: GenerationPort) -> None:
        """Strike a generation that has ended; who replaced it stays known."""
        with self._guard:
            self._generations.pop(generation.number, None)
            self._secrets.pop(generation.number, None)
            self._before.pop(generation.number, None)
            self._leaving.discard(generation.number)

    def all(self) -> list[GenerationPort]:
        """Return every generation."""
        with self._guard:
            return list(self._generations.values())

    def get(self, number: int | None) -> GenerationPort | None:
        """Return the generation of exactly that number, or None."""
        with self._guard:
            return None if number is None else self._generations.get(number)

    def find(self, number: int) -> GenerationPort:
        """Return the generation of a number, or the one that replaced it.

        Raises:
            BootError: there is none.
        """
        with self._guard:
            generation = self._generations.get(self._heir(number))
        if generation is None:
            raise BootError(f"generation {number} is gone", SEE_LOGS)
        return generation

    def secrets_of(self, number: int) -> Mapping[str, str]:
        """Return what a generation was started with."""
        with self._guard:
            return self._secrets.get(number, {})

    def is_to_serve(self, generation: GenerationPort) -> bool:
        """Tell whether that very generation is meant to serve, and not about to leave."""
        with self._guard:
            number = generation.number
            known = self._generations.get(number) is generation
            return known and self._serving == number and number not in self._leaving

    def describe(self) -> tuple[GenerationStatus, ...]:
        """Return how every generation stands."""
        return tuple(
            GenerationStatus(
                number=one.number,
                release=one.release,
                pid=one.master.identity.pid,
                started=one.started,
                alive=one.master.ended() is None,
                private=str(one.private),
            )
            for one in self.all()
        )

    # --- who serves

    def promote(self, number: int) -> GenerationPort | None:
        """Note that a generation serves now, and return the one that served before."""
        with self._guard:
            before = self._before[number] = self._serving
            self._serving = number
            return self.get(before)

    def demote(self, numbers: Collection[int]) -> tuple[list[GenerationPort], GenerationPort | None]:
        """Note that these do not serve; return them, or what replaced them, and the one that is to serve again.

        The second is None where none of them served, or where nothing that served before is left.
        """
        with self._guard:
            given = [self._heir(number) for number in numbers]
            back = None
            while self._serving is not None and self._serving in given:
                before = self._before.get(self._serving)
                back = None if before is None else self.get(self._heir(before))
                self._serving = None if back is None else back.number
            return [self._generations[number] for number in given if number in self._generations], back

    def settle(self, number: int | None) -> list[int]:
        """Note that one generation, or none, serves alone, and return the numbers of the others.

        Raises:
            BootError: there is no such generation.
        """
        with self._guard:
            self._serving = None if number is None else self.find(number).number
            return [known for known in self._generations if known != self._serving]

    def replace(self, dead: GenerationPort, heir: GenerationPort) -> bool:
        """Let another generation serve in place of one that died, and return whether that one was still to serve."""
        with self._guard:
            if not self.is_to_serve(dead):
                return False
            self._let_serve(heir)
            self._heirs[dead.number] = heir.number
            self._before[heir.number] = self._before.get(dead.number)
            self.restarts += 1
            return True

    def _let_serve(self, generation: GenerationPort) -> None:
        """Note that a generation serves, and open its gate at the same moment: nobody may close it in between."""
        self._serving = generation.number
        generation.open_gate()

    def begin_to_leave(self, numbers: Collection[int]) -> list[GenerationPort]:
        """Note that generations are about to end, and return those that were not already."""
        with self._guard:
            leaving = [self._generations[number] for number in numbers if number in self._generations]
            leaving = [generation for generation in leaving if generation.number not in self._leaving]
            self._leaving.update(generation.number for generation in leaving)
            return leaving

    def left_undone(self, launched: Collection[int], current: str | None) -> tuple[set[int], set[int]]:
        """Return which generations are to be drained, and which discarded, when the command that launched some is gone.

        `current` is the commit point: if it names the one of them that serves, the command's promotion holds, and
        what served before is drained as the command would have done. Otherwise all that it launched is undone.
        """
        with self._guard:
            mine = {self._heir(number) for number in launched} & set(self._generations)
            serving = self._serving
            if serving is not None and serving in mine and self._generations[serving].release == current:
                return (mine | self._predecessors(serving)) - {serving}, set()
            return set(), mine

    def _predecessors(self, number: int) -> set[int]:
        found: set[int] = set()
        before = self._before.get(number)
        while before is not None and before not in found:
            found.add(self._heir(before))
            before = self._before.get(self._heir(before))
        return found - {number}

    def _heir(self, number: int) -> int:
        while number in self._heirs:
            number = self._heirs[number]
        return number
