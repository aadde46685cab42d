"""When to repeat a request, and how long: exponential back-off with jitter, and at least Retry-After."""

from __future__ import annotations

import email.utils
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

_FIRST_S, _LONGEST_S = 0.5, 15.0


@dataclass(frozen=True)
class Patience:
    """Say how long to wait before an attempt; tests pass in the clocks and the chance."""

    seconds: float
    """How long a request is repeated, from its first failure on."""
    now: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    chance: Callable[[], float] = random.random

    def pause(self, attempt: int, since: float, asked: str | None = None) -> float | None:
        """Return the seconds to wait after the failure number `attempt` (from 1), None to give up.

        `since` is when the request failed first; `asked` is the Retry-After header, the least wait.
        """
        wait = min(_LONGEST_S, _FIRST_S * 2 ** (attempt - 1)) * (0.5 + self.chance() / 2)
        wait = max(wait, retry_after(asked, self.wall()) or 0)
        return wait if self.now() + wait - since <= self.seconds else None


def retry_after(header: str | None, now: float) -> float | None:
    """Return the seconds that a Retry-After header asks for: a number, or a date (RFC 9110, 10.2.3); else None.

    `now` is the time of day in seconds since the epoch.
    """
    text = (header or "").strip()
    if text.isascii() and text.isdecimal():
        return float(text) if len(text) < 10 else None
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - now)
    except (ValueError, TypeError, OverflowError):
        return None
