"""Processes are killed at random while commands come one after the other; in the end all is as if nothing had been.

CHAOS_SECONDS tells for how long (60), CHAOS_SEED repeats the choices of an earlier run.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
import time
from collections import Counter

import pytest

from tests.faults.invariants import check_failures, check_settled
from tests.faults.load import CLIENTS, Load

SECONDS = float(os.environ.get("CHAOS_SECONDS", "60"))
KINDS = ("deployer", "supervisor", "master", "worker", "log writer")
COMMANDS = ("deploy good", "deploy good", "deploy wrong", "restart", "rollback", "start")
ENDS = {0, 14, 15, -signal.SIGKILL}
"""How a command may end: done, thrown out by boot or gate, or killed."""


class Operator:
    """Gives one command after the other until told to stop."""

    def __init__(self, bench, seed):
        self._bench, self._random = bench, random.Random(f"{seed} operator")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work)
        self.command = None
        self.ended: list[tuple[str, int, str]] = []

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()

    def _work(self):
        while not self._stop.is_set():
            what = self._random.choice(COMMANDS)
            words = (what, "mini")
            if what.startswith("deploy"):
                words = ("deploy", self._bench.bundle(truth="HELLO WORM" if what == "deploy wrong" else None))
            self.command = self._bench.start(*words)
            ran = self.command.ran
            self.ended.append((what, ran.status, ran.err))


@pytest.mark.chaos
@pytest.mark.timeout(SECONDS + 300)
def test_whatever_is_killed_whenever(benches):
    seed = os.environ.get("CHAOS_SEED") or str(random.randrange(10**6))
    print(f"\nCHAOS_SEED={seed} CHAOS_SECONDS={SECONDS:g}")
    choices = random.Random(f"{seed} kills")
    bench = benches.get("home")
    bench.sound = False
    for _ in range(2):  # so that there is an earlier release to go back to
        assert bench.run("deploy", bench.bundle()).status == 0
    kills = Counter()
    deadline = time.monotonic() + SECONDS
    with Load(bench.machine.port) as load, Operator(bench, seed) as operator:
        while time.monotonic() < deadline:
            time.sleep(choices.uniform(0.1, 3))
            kind, place = choices.choice(KINDS), choices.random()
            pids = [operator.command.process.pid] if kind == "deployer" else sorted(bench.find(kind))
            if pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pids[int(place * len(pids))], signal.SIGKILL)
                    kills[kind] += 1
    ends = Counter((what, status) for what, status, _ in operator.ended)
    why = Counter(failure.problem.partition("(")[0] for failure in load.failures)
    print(f"killed {dict(kills)}\nended {dict(ends)}\n{load.requests} requests, failed {dict(why)}")
    odd = [end for end in operator.ended if end[1] not in ENDS]
    assert not odd, f"{len(odd)} commands ended in another way, the first: {odd[0]}"
    good = bench.bundle()
    last = bench.run("deploy", good)
    assert last.status == 0, last.err
    with Load(bench.machine.port) as calm:
        bench.machine.wait(lambda: calm.requests > 50 * CLIENTS)
    check_failures(calm, "")
    check_settled(bench, good.stem.partition("-")[2])
    bench.sound = bench.plain = True
