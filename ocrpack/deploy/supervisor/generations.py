"""The generations of a deployment: which one serves, how one takes over, and what happens when one dies."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

from ocrpack.deploy.proof.app_client import Address, request
from ocrpack.deploy.store import secrets_file
from ocrpack.deploy.store.layout import Deployment
from ocrpack.deploy.store.state import Launch
from ocrpack.deploy.supervisor.generation import Generation, end_others, left_running, start
from ocrpack.deploy.supervisor.protocol import GenerationStatus, Settled
from ocrpack.errors import BootError, OcrpackError, PreflightError
from ocrpack.logs import Level

FIRST_PAUSE_S, LONGEST_PAUSE_S, STEADY_S = 0.5, 30.0, 60.0
ACCEPT_S = 15.0
LEAVE_PUBLIC_S = 3.0
PROBE_EVERY_S, PROBE_S, SILENT_S = 5.0, 5.0, 10.0

_SEE_LOGS = "`ocrpack logs --instance` shows the app's output"

Note = Callable[[str, Level], None]


class Fleet:
    """All generations of one deployment; every public method may be called from any thread."""

    def __init__(self, deployment: Deployment, listener: Any, note: Note) -> None:
        self.restarts = 0
        self._deployment = deployment
        self._listener = listener
        self._note = note
        self._guard = threading.RLock()
        self._generations: dict[int, Generation] = {}
        self._secrets: dict[int, Mapping[str, str]] = {}
        self._serving: int | None = None
        self._before: dict[int, int | None] = {}
        self._heirs: dict[int, int] = {}
        """The number that a generation which died and was started again bears now."""
        self._leaving: set[int] = set()
        self._reviving: set[int] = set()
        self._number = 0
        self._pause = FIRST_PAUSE_S
        self._try_again = 0.0
        self._closed = threading.Event()

    # --- what there is

    @property
    def serving(self) -> int | None:
        """The number of the generation that is to serve."""
        return self._serving

    def describe(self) -> tuple[GenerationStatus, ...]:
        """Return how every generation stands."""
        with self._guard:
            return tuple(
                GenerationStatus(
                    number=one.number,
                    release=one.release,
                    pid=one.master.identity.pid,
                    started=one.started,
                    alive=one.master.ended() is None,
                    private=str(one.private),
                )
                for one in self._generations.values()
            )

    def children(self) -> set[int]:
        """Return the pids of all masters and log writers."""
        with self._guard:
            generations = list(self._generations.values())
        return {process.identity.pid for one in generations for process in (one.master, one.writer)}

    def ended(self, number: int) -> int | None:
        """Return the status that a generation's master ended with, or None while it runs; -1 when it was replaced."""
        with self._guard:
            generation = self._generations.get(number)
        return -1 if generation is None else generation.master.ended()

    # --- how one takes over from another

    def launch(self, release: str, launch: Launch, secrets: Mapping[str, str]) -> Generation:
        """Start a candidate behind its gate; its secrets are kept for when it must be started again."""
        return self._launch(release, launch, secrets)

    def _launch(self, release: str, launch: Launch, secrets: Mapping[str, str], *, serve: bool = False) -> Generation:
        if self._closed.is_set():
            raise BootError("the supervisor is about to end", "run the command again")
        with self._guard:
            self._number += 1
            number = self._number
        generation = start(self._deployment, number, release, launch, self._listener, secrets)
        with self._guard:
            self._secrets[number] = secrets
            self._generations[number] = generation
            if serve:
                self._serving = number
                generation.open_gate()
        threading.Thread(target=self._watch, args=(generation,), daemon=True).start()
        return generation

    def promote(self, number: int) -> None:
        """Open a candidate's gate, wait until all of its workers accept, and close the gate of what served before.

        Raises:
            BootError: the workers did not take the public address; what served before goes on.
        """
        candidate = self._find(number)
        candidate.open_gate()
        if not _within(ACCEPT_S, lambda: candidate.accepting() >= candidate.launch.workers, candidate):
            candidate.close_gate()
            status = candidate.master.ended()
            ended = f"the app ended with status {status}" if status is not None else "its workers did not respond"
            raise BootError(f"{candidate.release} did not take the public address: {ended}", _SEE_LOGS)
        with self._guard:
            self._before[number] = self._serving
            self._serving = number
            before = self._generations.get(self._before[number] or 0)
        if before is not None:
            self._leave_public(before)

    def discard(self, numbers: Collection[int]) -> None:
        """End candidates; where one of them serves, what served before takes over again first."""
        with self._guard:
            numbers = [self._heir(number) for number in numbers]
            back = None
            while self._serving in numbers:
                before = self._before.get(self._serving)
                self._serving = None if before is None else self._heir(before)
                back = self._generations.get(self._serving or 0)
                if back is None:
                    self._serving = None
        if back is not None:
            back.open_gate()
            _within(ACCEPT_S, lambda: back.accepting() >= back.launch.workers, back)
            if back.master.ended() is not None:
                threading.Thread(target=self._revive, args=(back,), daemon=True).start()
        for number in numbers:
            generation = self._generations.get(number)
            if generation is not None:
                self._leave_public(generation)
        self._retire(numbers)

    def settle(self, number: int | None) -> Settled:
        """Let one generation, or none, serve alone: the others finish their requests and end."""
        with self._guard:
            self._serving = None if number is None else self._find(number).number
            others = [known for known in self._generations if known != self._serving]
        return Settled(drained=tuple(others), forced=tuple(self._retire(others)))

    def _predecessors(self, number: int) -> set[int]:
        """Return what served before a generation, and before that."""
        found: set[int] = set()
        before = self._before.get(number)
        while before is not None and before not in found:
            found.add(self._heir(before))
            before = self._before.get(self._heir(before))
        return found - {number}

    def close(self) -> Settled:
        """Accept no more, finish all requests and end all generations."""
        self._closed.set()
        self._listener.close()
        return self.settle(None)

    def clear_after(self, launched: Collection[int]) -> None:
        """End what a client that is gone left undone: candidates, or a second generation that serves.

        A promotion that `current` does not confirm is taken back.
        """
        with self._guard:
            mine = {self._heir(number) for number in launched} & set(self._generations)
            serving = self._serving
            confirmed = serving in mine and self._generations[serving].release == self._deployment.current
            done = {serving} | self._predecessors(serving) if confirmed and serving is not None else set()
        if confirmed:
            self._retire((mine | done) - {serving})
        elif mine:
            self.discard(mine)

    def _leave_public(self, generation: Generation) -> None:
        generation.close_gate()
        _within(LEAVE_PUBLIC_S, lambda: generation.accepting() == 0, generation)

    def _retire(self, numbers: Collection[int]) -> list[int]:
        """Drain generations side by side and return those that had to be killed."""
        with self._guard:
            leaving = [self._generations[number] for number in numbers if number in self._generations]
            leaving = [generation for generation in leaving if generation.number not in self._leaving]
            self._leaving.update(generation.number for generation in leaving)
        forced: list[int] = []

        def leave(generation: Generation) -> None:
            if generation.leave():
                forced.append(generation.number)
            self._forget(generation)

        threads = [threading.Thread(target=leave, args=(generation,)) for generation in leaving]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return forced

    # --- what happens when one dies

    def take_over(self) -> None:
        """Adopt the generations that a dead supervisor left: what `current` names serves on, the others end."""
        found = left_running(self._deployment)
        end_others(self._deployment, found)
        current = self._deployment.current
        with self._guard:
            for generation in found:
                self._number = max(self._number, generation.number)
                self._secrets[generation.number] = self._stored_secrets(generation)
                self._generations[generation.number] = generation
            proven = [one for one in found if one.release == current and one.served]
            chosen = max(proven, key=lambda one: (one.is_open, one.number), default=None)
            self._serving = None if chosen is None else chosen.number
        for generation in found:
            threading.Thread(target=self._watch, args=(generation,), daemon=True).start()
        others = [one.number for one in found if one is not chosen]

        def settle_in() -> None:
            if chosen is not None:
                chosen.open_gate()
                _within(ACCEPT_S, lambda: chosen.accepting() >= chosen.launch.workers, chosen)
            self.discard(others)

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
        """Start the current release, its gate open, if it is meant to run and nothing does; return whether it is.

        Where it cannot be started, later calls try again after a growing pause.
        """
        if self._closed.is_set():
            return False
        if time.monotonic() < self._try_again:
            return True
        try:
            state, current = self._deployment.load_state(), self._deployment.current
        except (PreflightError, OSError):
            return False  # what nobody can read is no wish to run
        record = state.releases.get(current) if current else None
        if state.desired != "running" or current is None or record is None:
            return False
        try:
            secrets = secrets_file.load(self._deployment.secrets, record.launch.secrets)
            self._launch(current, record.launch, secrets, serve=True)
        except (OcrpackError, OSError) as error:
            self._note(f"the current release cannot be started, next try in {self._pause:g} s: {error}", "error")
            self._try_again = time.monotonic() + self._pause
            self._pause = min(self._pause * 2, LONGEST_PAUSE_S)
            return True
        self._note(f"started {current}", "info")
        return True

    def keep_logs(self) -> None:
        """Start log writers again that died."""
        with self._guard:
            generations = list(self._generations.values())
        for generation in generations:
            if not generation.gone:
                generation.keep_log(self._deployment)

    def watch_health(self) -> None:
        """End what serves and has done nothing for longer than a request may take, so that it is started again.

        An app that answers no probe since it is busy with others is not silent. Runs until the fleet is closed.
        """
        heard: dict[int, float] = {}
        progress: dict[int, int] = {}
        while not self._closed.wait(PROBE_EVERY_S):
            with self._guard:
                generation = self._generations.get(self._serving or 0)
            if generation is None or not generation.launch.health or generation.master.ended() is not None:
                continue
            launch = generation.launch
            last = heard.setdefault(generation.number, time.monotonic() + launch.boot_seconds)
            try:
                request(Address(unix=generation.private), launch.health, PROBE_S)
                heard[generation.number] = time.monotonic()
            except (OSError, http.client.HTTPException):
                if generation.progress() != progress.get(generation.number):
                    progress[generation.number] = generation.progress()
                    heard[generation.number] = time.monotonic()
                    continue
                silent = time.monotonic() - last
                if silent > max(SILENT_S, launch.request_seconds):
                    self._note(f"{generation.release} has answered nothing for {silent:.0f} s: ending it", "error")
                    generation.master.identity.kill_group()

    def _forget(self, generation: Generation) -> None:
        with self._guard:
            self._generations.pop(generation.number, None)
            self._secrets.pop(generation.number, None)
            self._before.pop(generation.number, None)
            self._leaving.discard(generation.number)

    def _watch(self, generation: Generation) -> None:
        begin = time.monotonic()
        status = generation.master.wait()
        if time.monotonic() - begin > STEADY_S:
            self._pause = FIRST_PAUSE_S
        if self._is_to_serve(generation):
            text = f"{generation.release} ended with status {status}; starting it again in {self._pause:g} s"
            self._note(text, "warning")
            self._revive(generation)

    def _revive(self, dead: Generation) -> None:
        """Start a generation again under a new number, after a pause that doubles until one lives on."""
        with self._guard:
            if dead.number in self._reviving:
                return
            self._reviving.add(dead.number)
        threading.Thread(target=dead.outlive_master, daemon=True).start()
        while self._is_to_serve(dead):
            if self._closed.wait(self._pause) or not self._is_to_serve(dead):
                return
            self._pause = min(self._pause * 2, LONGEST_PAUSE_S)
            try:
                heir = self.launch(dead.release, dead.launch, self._secrets.get(dead.number, {}))
            except (OcrpackError, OSError) as error:
                self._note(f"{dead.release} could not be started again: {error}", "error")
                continue
            with self._guard:
                wanted = self._is_to_serve(dead)
                if wanted:
                    self._serving = heir.number
                    self._heirs[dead.number] = heir.number
                    self._before[heir.number] = self._before.get(dead.number)
                    self.restarts += 1
                    heir.open_gate()
            if not wanted:
                self._retire([heir.number])
                return
            self._forget(dead)
            if heir.master.ended() is not None:  # so soon that nobody knew that it was to serve
                self._revive(heir)
            return

    def _is_to_serve(self, generation: Generation) -> bool:
        with self._guard:
            number = generation.number
            known = self._generations.get(number) is generation
            return known and self._serving == number and number not in self._leaving

    def _heir(self, number: int) -> int:
        while number in self._heirs:
            number = self._heirs[number]
        return number

    def _find(self, number: int) -> Generation:
        with self._guard:
            generation = self._generations.get(self._heir(number))
        if generation is None:
            raise BootError(f"generation {number} is gone", _SEE_LOGS)
        return generation


def _within(seconds: float, condition: Callable[[], bool], generation: Generation) -> bool:
    """Wait until a condition holds, and return whether it does before the time is over or the generation ends."""
    deadline = time.monotonic() + seconds
    while not condition():
        if generation.master.ended() is not None or time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True
