"""How one generation takes over from another: promote, discard, settle, and clear up after a killed command."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection

from ocrpack.deploy.supervisor.generation_table import SEE_LOGS, GenerationPort, GenerationTable
from ocrpack.deploy.supervisor.protocol import Settled
from ocrpack.errors import BootError

ACCEPT_S = 15.0
LEAVE_PUBLIC_S = 3.0
_POLL_S = 0.01


class Promotion:
    """Moves the public address from one generation to another, so that at every moment one of them accepts."""

    def __init__(self, table: GenerationTable, revive: Callable[[GenerationPort], None], accept_s: float = ACCEPT_S):
        self._table = table
        self._revive = revive
        """Starts a dead generation again, and returns at once."""
        self._accept_s = accept_s

    def promote(self, number: int) -> None:
        """Open a candidate's gate, wait until all of its workers accept, and close the gate of what served before.

        Raises:
            BootError: the workers did not take the public address; what served before goes on.
        """
        candidate = self._table.find(number)
        if not self.open(candidate):
            candidate.close_gate()
            status = candidate.master.ended()
            ended = f"the app ended with status {status}" if status is not None else "its workers did not respond"
            raise BootError(f"{candidate.release} did not take the public address: {ended}", SEE_LOGS)
        before = self._table.promote(number)
        if before is not None:
            _leave_public(before)

    def open(self, generation: GenerationPort) -> bool:
        """Open a generation's gate, and return whether all of its workers accept."""
        generation.open_gate()
        return _within(self._accept_s, lambda: generation.accepting() >= generation.launch.workers, generation)

    def discard(self, numbers: Collection[int]) -> None:
        """End candidates; where one of them serves, what served before takes over again first."""
        generations, back = self._table.demote(numbers)
        if back is not None:
            self.open(back)
            # It was not to serve when it died, so whoever watched it did not start it again.
            if back.master.ended() is not None:
                self._revive(back)
        for generation in generations:
            _leave_public(generation)
        retire(self._table, [generation.number for generation in generations])

    def settle(self, number: int | None) -> Settled:
        """Let one generation, or none, serve alone: the others finish their requests and end."""
        others = self._table.settle(number)
        return Settled(drained=tuple(others), forced=tuple(retire(self._table, others)))

    def clear_after(self, launched: Collection[int], current: str | None) -> None:
        """Finish or undo what a command left that is gone, having launched these generations."""
        drained, discarded = self._table.left_undone(launched, current)
        if drained:
            retire(self._table, drained)
        if discarded:
            self.discard(discarded)


def retire(table: GenerationTable, numbers: Collection[int]) -> list[int]:
    """Drain generations side by side, strike them from the table, and return those that had to be killed."""
    forced: list[int] = []

    def leave(generation: GenerationPort) -> None:
        if generation.leave():
            forced.append(generation.number)
        table.forget(generation)

    threads = [threading.Thread(target=leave, args=(generation,)) for generation in table.begin_to_leave(numbers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return forced


def _leave_public(generation: GenerationPort) -> None:
    generation.close_gate()
    _within(LEAVE_PUBLIC_S, lambda: generation.accepting() == 0, generation)


def _within(seconds: float, condition: Callable[[], bool], generation: GenerationPort) -> bool:
    """Wait until a condition holds, and return whether it does before the time is over or the generation ends."""
    deadline = time.monotonic() + seconds
    while not condition():
        if generation.master.ended() is not None or time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True
