"""When the next attempt comes, and when there is none."""

from __future__ import annotations

import email.utils

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrpack.client import Patience
from ocrpack.client.patience import retry_after


def test_waits_grow_and_vary():
    late, early = Patience(1000, now=lambda: 0, chance=lambda: 1), Patience(1000, now=lambda: 0, chance=lambda: 0)
    assert [late.pause(attempt, 0) for attempt in (1, 2, 3, 4, 5, 6, 9)] == [0.5, 1, 2, 4, 8, 15, 15]
    assert [early.pause(attempt, 0) for attempt in (1, 2, 9)] == [0.25, 0.5, 7.5]


def test_what_the_service_asks_for_is_heeded():
    patience = Patience(60, now=lambda: 100, wall=lambda: 1_000_000_000, chance=lambda: 0)
    assert patience.pause(1, 100, "7") == 7
    assert patience.pause(1, 100, "0") == 0.25
    assert patience.pause(1, 100, email.utils.formatdate(1_000_000_020, usegmt=True)) == 20
    assert patience.pause(1, 100, "61") is None, "that is longer than the user waits"


def test_patience_ends():
    patience = Patience(10, now=lambda: 109.9, chance=lambda: 0)
    assert patience.pause(1, 100) is None
    assert Patience(0, now=lambda: 0).pause(1, 0) is None


@pytest.mark.parametrize("header", [None, "", "soon", "-1", "1.5", "9" * 400, "Mon, 99 Foo", "٣", "\x00"])
def test_nonsense_asks_for_nothing(header):
    assert retry_after(header, 0) is None


def test_a_date_in_the_past_asks_for_no_wait():
    assert retry_after("Wed, 21 Oct 2015 07:28:00 GMT", 2e9) == 0


@given(st.text(max_size=40))
def test_any_header_is_survived(header):
    wait = retry_after(header, 1e9)
    assert wait is None or wait >= 0
