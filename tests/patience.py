"""How tests wait: for what happens, never for a time that should do.

A test that is sound passes on a machine of any speed. What it waits for may take PATIENCE seconds: that long only a
hang lasts. Where speed itself is the matter, `processor_seconds` measures work, which other programs do not slow down.
"""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")

SLOWNESS = float(os.environ.get("OCRPACK_TESTS_SLOWNESS", "1"))
"""How many times slower than usual this machine may be."""
PATIENCE = 120 * SLOWNESS
"""For how many seconds a test waits before it calls something hung."""


def eventually(condition: Callable[[], T], seconds: float = PATIENCE) -> T:
    """Return what the condition returns as soon as that is true."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {condition}"
        time.sleep(0.05)
    return value


@contextmanager
def processor_seconds(at_most: float) -> Iterator[None]:
    """Fail where the block takes this process more processor time."""
    began = time.process_time()
    yield
    took = time.process_time() - began
    assert took < at_most * SLOWNESS, f"took {took:.2f} s of processor time, {at_most:g} s are allowed"


@contextmanager
def without_hanging(seconds: float = PATIENCE) -> Iterator[None]:
    """Fail where the block waited for something that it should not have waited for, and that takes longer."""
    began = time.monotonic()
    yield
    took = time.monotonic() - began
    assert took < seconds, f"took {took:.1f} s"
