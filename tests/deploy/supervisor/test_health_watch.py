"""What serves and does nothing is killed; what is busy is not. Without any process, and without waiting."""

from __future__ import annotations

import pytest

from ocrpack.deploy.supervisor.generation_table import GenerationTable
from ocrpack.deploy.supervisor.health_watch import HealthWatch
from tests.deploy.supervisor.fakes import FakeGeneration, launch


class World:
    """A clock that the test moves, and an app that answers or not."""

    def __init__(self, **more):
        self.now, self.well, self.notes = 1000.0, True, []
        self.generation = FakeGeneration(1, launch=launch(**{"health": "/healthz", **more}))
        self.table = GenerationTable()
        self.table.add(self.generation, {}, serve=True)
        note = lambda text, level: self.notes.append((level, text))  # noqa: E731
        self.watch = HealthWatch(self.table, note, lambda generation: self.well, lambda: self.now)

    def after(self, seconds):
        """Look then, and return whether it still runs."""
        self.now += seconds
        self.watch.look()
        return self.generation.master.ended() is None


def test_one_that_is_silent_for_longer_than_a_request_may_take_is_killed():
    world = World(request_seconds=30)
    assert world.after(0)
    world.well = False
    assert world.after(29)
    assert not world.after(2)
    assert world.notes == [("error", "1.0-a has answered nothing for 31 s: ending it")]


def test_one_that_finishes_requests_is_busy_and_not_silent():
    world = World(request_seconds=30)
    world.after(0)
    world.well = False
    for _ in range(10):
        world.generation.finished += 1
        assert world.after(29)
    assert not world.after(31)


def test_one_that_boots_has_time_to():
    world = World(request_seconds=5, boot_seconds=60)
    world.well = False
    assert world.after(0)
    assert world.after(69)
    assert not world.after(2)


@pytest.mark.parametrize("more", [{"health": ""}, {}])
def test_nobody_is_watched_who_does_not_serve_or_has_no_health(more):
    world = World(**more)
    if not more:
        world.table.settle(None)
    world.well = False
    assert world.after(0)
    assert world.after(1000)
