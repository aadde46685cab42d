"""A limit of requests that are read while their senders wait."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING

from ..core.problem import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator


class Seats:
    """Count the requests whose senders wait, and refuse those beyond the limit."""

    def __init__(self, count: int) -> None:
        """Allow `count` requests at once."""
        self._seats = threading.BoundedSemaphore(count)
        self.usual_seconds = 1.0
        """How long the last reading took: a seat is likely to be free after that."""

    @contextmanager
    def seat(self) -> Iterator[None]:
        """Hold a seat within the block.

        Raises:
            Problem: all places are taken; 429 with the time after which to try again.
        """
        if not self._seats.acquire(blocking=False):
            raise Problem(
                HTTPStatus.TOO_MANY_REQUESTS,
                "busy",
                "Too many requests at once",
                "All places are taken by images that wait to be read. Try again shortly.",
                retry_after=min(60, 1 + int(self.usual_seconds)),
            )
        try:
            yield
        finally:
            self._seats.release()
