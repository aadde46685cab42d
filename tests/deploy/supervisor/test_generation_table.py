"""Who serves, who served before, and what a killed command leaves, without any process."""

from __future__ import annotations

import pytest

from ocrpack.deploy.supervisor.generation_table import GenerationTable
from ocrpack.errors import BootError
from tests.deploy.supervisor.fakes import FakeGeneration


def table_of(*generations):
    table = GenerationTable()
    for generation in generations:
        table.add(generation, {})
    return table


def test_numbers_are_never_given_twice():
    table = table_of(FakeGeneration(7))
    assert (table.next_number(), table.next_number()) == (8, 9)


def test_one_that_replaced_a_dead_one_answers_to_its_number():
    dead, heir = FakeGeneration(1), FakeGeneration(2)
    table = table_of(dead, heir)
    table.promote(1)
    assert table.replace(dead, heir)
    table.forget(dead)
    assert (table.find(1), table.serving, table.restarts, heir.is_open) == (heir, 2, 1, True)
    with pytest.raises(BootError, match="generation 3 is gone"):
        table.find(3)


def test_one_that_does_not_serve_is_not_replaced():
    dead, heir, other = FakeGeneration(1), FakeGeneration(2), FakeGeneration(3)
    table = table_of(dead, heir, other)
    table.promote(1)
    table.promote(3)
    assert not table.replace(dead, heir)
    assert (table.serving, heir.is_open) == (3, False)


def test_what_served_before_serves_again_even_if_it_was_replaced_meanwhile():
    first, second, third, heir = (FakeGeneration(number) for number in (1, 2, 3, 4))
    table = table_of(first, second, third)
    for number in (1, 2, 3):
        table.promote(number)
    assert table.demote([3, 2]) == ([third, second], first)
    assert table.serving == 1
    table.add(heir, {})
    table.promote(2)
    table.forget(first)
    assert table.demote([2]) == ([second], None)
    assert table.serving is None


def test_nothing_leaves_twice():
    one = FakeGeneration(1)
    table = table_of(one)
    assert table.begin_to_leave([1, 5]) == [one]
    assert table.begin_to_leave([1]) == []
    assert not table.is_to_serve(one)


def test_a_command_that_is_killed_before_current_moved_is_undone():
    table = table_of(FakeGeneration(1, "1.0-a"), FakeGeneration(2, "2.0-b"))
    table.promote(1)
    table.promote(2)
    assert table.left_undone([2], "1.0-a") == (set(), {2})


def test_a_command_that_is_killed_after_current_moved_is_finished():
    table = table_of(FakeGeneration(1, "1.0-a"), FakeGeneration(2, "2.0-b"))
    table.promote(1)
    table.promote(2)
    assert table.left_undone([2], "2.0-b") == ({1}, set())


def test_a_killed_command_takes_nothing_of_others_along():
    table = table_of(FakeGeneration(1, "1.0-a"), FakeGeneration(2, "2.0-b"), FakeGeneration(3, "3.0-c"))
    table.promote(1)
    assert table.left_undone([2], "1.0-a") == (set(), {2})
    assert table.left_undone([], "1.0-a") == (set(), set())
