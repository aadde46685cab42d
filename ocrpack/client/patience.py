"""How long to try again, and when: exponential back-off with jitter, what the service asks for heeded."""

from __future__ import annotations

import email.utils
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

_FIRST_S, _LONGEST_S = 0.5, 15.0


@dataclass(frozen=True)
class Patience:
    """Says how long to wait before an attempt; the clock and chance are passed in by tests."""

    seconds: float
    """How long a request is tried again, from its first failure on."""
    now: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    chance: Callable[[], float] = random.random

    def pause(self, attempt: int, since: float, asked: str | None = None) -> float | None:
        """Return the seconds to wait before the attempt `attempt` (from 1), or None where patience is at its end.

        `since` is when the request failed first; `asked` is the Retry-After header, which no wait is shorter than.
        """
        wait = min(_LONGEST_S, _FIRST_S * 2 ** (attempt - 1)) * (0.5 + self.chance() / 2)
        wait = max(wait, retry_after(asked, self.wall()) or 0)
        return wait if self.now() + wait - since <= self.seconds else None


def retry_after(header: str | None, now: float) -> float | None:
    """Return the seconds that a Retry-After header asks for: a number, or a date (RFC 9110, 10.2.3); None for no sense.

    `now` is the time of day in seconds since the epoch.
    """
    text = (header or "").strip()
    if text.isascii() and text.isdecimal():
        return float(text) if len(text) < 10 else None
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - now)
    except (ValueError, TypeError, OverflowError):
        return None
