"""One generation takes over from another, without any process."""

from __future__ import annotations

import pytest

from ocrpack.deploy.supervisor.generation_table import GenerationTable
from ocrpack.deploy.supervisor.promotion import Promotion
from ocrpack.deploy.supervisor.protocol import Settled
from ocrpack.errors import BootError
from tests.deploy.supervisor.fakes import FakeGeneration


@pytest.fixture
def table():
    return GenerationTable()


@pytest.fixture
def revived():
    return []


@pytest.fixture
def promotion(table, revived):
    return Promotion(table, revived.append, accept_s=0.05)


def serving(table, promotion, *generations):
    for generation in generations:
        table.add(generation, {})
        promotion.promote(generation.number)


def test_the_gate_of_what_served_closes_once_the_other_accepts(table, promotion):
    first, second = FakeGeneration(1), FakeGeneration(2)
    serving(table, promotion, first, second)
    assert (first.is_open, second.is_open, table.serving) == (False, True, 2)
    assert not first.left, "it stays until the command settles"


@pytest.mark.parametrize(("status", "why"), [(None, "its workers did not respond"), (3, "the app ended with status 3")])
def test_one_that_does_not_accept_changes_nothing(table, promotion, status, why):
    first, deaf = FakeGeneration(1), FakeGeneration(2, deaf=True)
    serving(table, promotion, first)
    table.add(deaf, {})
    if status is not None:
        deaf.master.end(status)
    with pytest.raises(BootError, match=why):
        promotion.promote(2)
    assert (first.is_open, deaf.is_open, table.serving) == (True, False, 1)


def test_a_promotion_is_taken_back(table, promotion, revived):
    first, second = FakeGeneration(1), FakeGeneration(2)
    serving(table, promotion, first, second)
    promotion.discard([2])
    assert (first.is_open, second.is_open, second.left, table.serving) == (True, False, True, 1)
    assert (table.all(), revived) == ([first], [])


def test_what_died_while_another_one_served_is_started_again_when_it_is_to_serve(table, promotion, revived):
    first, second = FakeGeneration(1), FakeGeneration(2)
    serving(table, promotion, first, second)
    first.master.end(-9)
    promotion.discard([2])
    assert (revived, table.serving) == ([first], 1)


def test_the_others_are_drained(table, promotion):
    first, second, third = FakeGeneration(1, stubborn=True), FakeGeneration(2), FakeGeneration(3)
    serving(table, promotion, first, second, third)
    assert promotion.settle(3) == Settled(drained=(1, 2), forced=(1,))
    assert (table.all(), third.left) == ([third], False)
    assert promotion.settle(None) == Settled(drained=(3,), forced=())
    assert (table.all(), table.serving) == ([], None)


def test_a_killed_commands_promotion_is_finished_or_undone_by_what_current_names(table, promotion):
    first, second, third = FakeGeneration(1, "1.0-a"), FakeGeneration(2, "2.0-b"), FakeGeneration(3, "3.0-c")
    serving(table, promotion, first, second)
    promotion.clear_after([2], "2.0-b")
    assert table.all() == [second]
    serving(table, promotion, third)
    promotion.clear_after([3], "2.0-b")
    assert (table.all(), table.serving, second.is_open) == ([second], 2, True)
