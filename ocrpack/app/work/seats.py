"""How many documents may be read at once."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING

from ..core.problem import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator


class Seats:
    """Places for requests whose senders wait; what comes when all are taken is told when to come again."""

    def __init__(self, count: int) -> None:
        """Let `count` requests in at once."""
        self._seats = threading.BoundedSemaphore(count)
        self.usual_seconds = 1.0

    @contextmanager
    def seat(self) -> Iterator[None]:
        """Hold a request's place.

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
