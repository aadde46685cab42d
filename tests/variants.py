"""Which variants of a case the default tests run: one of each kind; `make test-slow` runs the others."""

from __future__ import annotations

import pytest


def slow(*variants):
    """Return the parameters of variants that are left to the slow tests."""
    return [pytest.param(*(one if isinstance(one, tuple) else (one,)), marks=pytest.mark.slow) for one in variants]


def some(variants, kept):
    """Return all variants as parameters, of which only those in `kept` belong to the default tests."""
    variants, kept = list(variants), list(kept)
    assert all(one in variants for one in kept), "a variant that is kept must be there"
    return [parameter for one in variants for parameter in ([one] if one in kept else slow(one))]
