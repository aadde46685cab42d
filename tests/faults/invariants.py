"""What holds after every fault, whatever it was."""

from __future__ import annotations

from collections import Counter

import psutil

from tests.faults.load import CLIENTS

SERVING = {"supervisor": 1, "log writer": 1, "master": 1, "worker": 2}


def check_settled(bench, version):
    """Check that one release serves as if no fault had been: what runs, what listens, what lies on disk."""
    assert bench.current == version
    status = bench.status()
    assert (status.state, status.version) == ("running", version)
    assert not bench.locked(), "the lock is held"
    _wait_for(lambda: {kind: len(found) for kind, found in bench.processes().items()}, SERVING, bench)
    _wait_for(lambda: _listening(bench), {bench.machine.port}, bench)
    _wait_for(bench.left_behind, [], bench)
    frames: dict[str, Counter] = {}
    for event in bench.events():
        if event["event"] in {"begin", "end"}:
            frames.setdefault(event["deploy"], Counter())[event["event"]] += 1
    odd = {deploy: dict(counts) for deploy, counts in frames.items() if counts != {"begin": 1, "end": 1}}
    assert not odd, f"commands without exactly one begin and one end in the journal: {odd}"


def check_failures(load, lost):
    """Check that no request failed, or that each client lost at most one where a serving process was killed."""
    if lost == "in flight":
        counts = Counter(failure.client for failure in load.failures)
        assert max(counts.values(), default=0) <= 1, load.failures
        assert len(load.failures) <= CLIENTS
    else:
        assert not load.failures, f"{len(load.failures)} requests failed: {load.failures[:5]}"


def _wait_for(look, wanted, bench):
    found = []

    def settled():
        found.append(look())
        return found[-1] == wanted

    try:
        bench.machine.wait(settled)
    except AssertionError:
        raise AssertionError(f"{found[-1]} in place of {wanted}") from None


def _listening(bench):
    ports = set()
    for processes in bench.processes().values():
        for process in processes:
            ports |= {
                connection.laddr.port
                for connection in process.net_connections("inet")
                if connection.status == psutil.CONN_LISTEN
            }
    return ports
