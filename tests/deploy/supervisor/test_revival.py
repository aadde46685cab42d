"""What dies is started again, without any process."""

from __future__ import annotations

import threading

import pytest

from ocrpack.deploy.supervisor.generation_table import GenerationTable
from ocrpack.deploy.supervisor.revival import Revival
from ocrpack.errors import BootError
from tests.deploy.supervisor.fakes import FakeGeneration, launch


class Starter:
    """Starts fakes, and tells of each; `faults` are raised first, and `on_start` sees each before it is returned."""

    def __init__(self):
        self.started, self.faults, self.secrets = [], [], []
        self.on_start = lambda generation: None
        self._changed = threading.Condition()

    def __call__(self, *, number, release, launch, secrets):
        if self.faults:
            raise self.faults.pop()
        made = FakeGeneration(number, release, launch)
        self.on_start(made)
        with self._changed:
            self.started.append(made)
            self.secrets.append(secrets)
            self._changed.notify_all()
        return made

    def wait_for(self, count):
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.started) >= count, 10)
        return self.started[count - 1]


@pytest.fixture
def starter():
    return Starter()


@pytest.fixture
def notes():
    return []


@pytest.fixture
def table():
    made = GenerationTable()
    yield made
    made.closed.set()


@pytest.fixture
def revival(table, starter, notes):
    return Revival(table, starter, lambda text, level: notes.append((level, text)), first_pause_s=0.01)


def wait(condition):
    deadline = threading.Event()
    for _ in range(1000):
        if condition():
            return
        deadline.wait(0.01)
    raise AssertionError("not within 10 s")


def test_what_serves_is_started_again_with_its_secrets(revival, table, starter, notes):
    first = revival.launch("1.0-a", launch(), {"TOKEN": "x"}, serve=True)
    first.master.end(3)
    heir = starter.wait_for(2)
    wait(lambda: table.all() == [heir])
    assert (table.serving, heir.is_open, table.restarts) == (heir.number, True, 1)
    assert starter.secrets == [{"TOKEN": "x"}] * 2
    assert notes == [("warning", "1.0-a ended with status 3; starting it again in 0.01 s")]


def test_a_candidate_that_dies_stays_dead(revival, table, starter):
    candidate = revival.launch("1.0-a", launch(), {})
    server = revival.launch("1.0-a", launch(), {}, serve=True)
    candidate.master.end(1)
    server.master.end(1)
    heir = starter.wait_for(3)
    wait(lambda: table.serving == heir.number)
    assert [one.number for one in starter.started] == [1, 2, 3]


def test_it_is_tried_again_until_it_can_be_started(revival, table, starter, notes):
    first = revival.launch("1.0-a", launch(), {}, serve=True)
    starter.faults = [OSError("no more descriptors"), BootError("no interpreter")]
    first.master.end(1)
    heir = starter.wait_for(2)
    wait(lambda: table.serving == heir.number)
    assert [level for level, _ in notes] == ["warning", "error", "error"]


def test_an_heir_that_dies_before_it_serves_is_replaced_too(revival, table, starter):
    first = revival.launch("1.0-a", launch(), {}, serve=True)
    starter.on_start = lambda made: made.master.end(1) if made.number == 2 else None
    first.master.end(1)
    third = starter.wait_for(3)
    wait(lambda: table.serving == third.number)


def test_what_was_replaced_while_its_heir_started_needs_none(revival, table, starter):
    first = revival.launch("1.0-a", launch(), {}, serve=True)
    other = FakeGeneration(50, "2.0-b")
    table.add(other, {})
    starter.on_start = lambda made: table.promote(other.number)
    first.master.end(1)
    heir = starter.wait_for(2)
    wait(lambda: heir.left)
    assert (table.serving, heir.is_open) == (50, False)


def test_nothing_starts_once_the_supervisor_ends(revival, table):
    table.closed.set()
    with pytest.raises(BootError, match="about to end"):
        revival.launch("1.0-a", launch(), {})


def test_current_is_brought_up_after_a_pause_where_it_could_not_be(revival, table, starter, notes):
    starter.faults = [OSError("the disk is full")]
    revival.bring_up("1.0-a", launch(), dict)
    assert notes == [("error", "the current release cannot be started, next try in 0.01 s: the disk is full")]
    wait(lambda: revival.bring_up("1.0-a", launch(), dict) or table.serving is not None)
    assert [one.is_open for one in starter.started] == [True]
