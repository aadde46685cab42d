"""All generations of one deployment: the table of them, and those who promote, revive and watch them."""

from __future__ import annotations

import socket
import threading
from collections.abc import Collection, Mapping

from ocrpack.deploy.store import secrets_file
from ocrpack.deploy.store.layout import Deployment
from ocrpack.deploy.store.state import Launch
from ocrpack.deploy.supervisor.generation import Generation, end_others, left_running, start
from ocrpack.deploy.supervisor.generation_table import GenerationPort, GenerationTable
from ocrpack.deploy.supervisor.health_watch import HealthWatch
from ocrpack.deploy.supervisor.promotion import Promotion
from ocrpack.deploy.supervisor.protocol import GenerationStatus, Settled
from ocrpack.deploy.supervisor.revival import Note, Revival
from ocrpack.errors import PreflightError


class Generations:
    """What a supervisor does with the generations of its deployment; every method may be called from any thread."""

    def __init__(self, deployment: Deployment, listener: socket.socket, note: Note) -> None:
        self._deployment = deployment
        self._listener = listener
        self._note = note
        self._table = GenerationTable()
        self._revival = Revival(self._table, self._start, note)
        self._promotion = Promotion(self._table, self._revival.revive)
        self._health = HealthWatch(self._table, note)

    def _start(self, *, number: int, release: str, launch: Launch, secrets: Mapping[str, str]) -> GenerationPort:
        return start(self._deployment, self._listener, number=number, release=release, launch=launch, secrets=secrets)

    @property
    def serving(self) -> int | None:
        """The number of the generation that is to serve."""
        return self._table.serving

    @property
    def restarts(self) -> int:
        """How often a generation that died was started again."""
        return self._table.restarts

    def describe(self) -> tuple[GenerationStatus, ...]:
        """Return how every generation stands."""
        return self._table.describe()

    def children(self) -> set[int]:
        """Return the pids of all masters and log writers."""
        return {process.identity.pid for one in self._table.all() for process in (one.master, one.writer)}

    def ended(self, number: int) -> int | None:
        """Return the status that a generation's master ended with, or None while it runs; -1 when it was replaced."""
        generation = self._table.get(number)
        return -1 if generation is None else generation.master.ended()

    def launch(self, release: str, launch: Launch, secrets: Mapping[str, str]) -> GenerationPort:
        """Start a candidate behind its gate; its secrets are kept for when it must be started again."""
        return self._revival.launch(release, launch, secrets)

    def promote(self, number: int) -> None:
        """Let a candidate take the public address from what serves.

        Raises:
            BootError: its workers did not take it; what served before goes on.
        """
        self._promotion.promote(number)

    def discard(self, number: int) -> None:
        """End a candidate; where it serves, what served before takes over again first."""
        self._promotion.discard([number])

    def settle(self, number: int | None) -> Settled:
        """Let one generation, or none, serve alone: the others finish their requests and end."""
        return self._promotion.settle(number)

    def close(self) -> Settled:
        """Accept no more, finish all requests and end all generations."""
        self._table.closed.set()
        self._listener.close()
        return self._promotion.settle(None)

    def clear_after(self, launched: Collection[int]) -> None:
        """Finish or undo what a command left that is gone, having launched these generations."""
        self._promotion.clear_after(launched, self._deployment.current)

    def take_over(self) -> None:
        """Adopt the generations that a dead supervisor left: what `current` names serves on, the others end."""
        found = left_running(self._deployment)
        end_others(self._deployment, found)
        current = self._deployment.current
        proven = [one for one in found if one.release == current and one.served]
        # Two may have served: the command that let one replace the other was killed before the other was drained.
        chosen = max(proven, key=lambda one: (one.is_open, one.number), default=None)
        for generation in found:
            self._table.add(generation, self._stored_secrets(generation), serve=generation is chosen)
        for generation in found:
            self._revival.watch(generation)
        others = [one.number for one in found if one is not chosen]

        def settle_in() -> None:
            if chosen is not None:
                self._promotion.open(chosen)
            self._promotion.discard(others)

        if chosen is not None:
            self._note(f"took over {chosen.release}, whose supervisor was gone", "warning")
        threading.Thread(target=settle_in, daemon=True).start()

    def _stored_secrets(self, generation: Generation) -> Mapping[str, str]:
        try:
            return secrets_file.load(self._deployment.secrets, generation.launch.secrets)
        except PreflightError as error:
            self._note(f"{generation.release} could not be started again without its secrets: {error}", "error")
            return {}

    def bring_up_current(self) -> bool:
        """Start the current release, its gate open, if it is meant to run and nothing does; return whether it is."""
        if self._table.closed.is_set():
            return False
        try:
            state, current = self._deployment.load_state(), self._deployment.current
        except (PreflightError, OSError):
            return False  # what nobody can read is no wish to run
        record = state.releases.get(current) if current else None
        if state.desired != "running" or current is None or record is None:
            return False
        names = record.launch.secrets
        self._revival.bring_up(current, record.launch, lambda: secrets_file.load(self._deployment.secrets, names))
        return True

    def keep_logs(self) -> None:
        """Start log writers again that died."""
        for generation in self._table.all():
            generation.keep_log(self._deployment)

    def watch_health(self) -> None:
        """End what serves and does nothing for too long; runs until the generations are closed."""
        self._health.run()
