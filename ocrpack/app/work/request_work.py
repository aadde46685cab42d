"""Take the documents of one request apart into pages, let the pool read these, and put the texts together.

Every page is a task of its own, so that a long document shares the engines with other requests, and has all of them
while there are no others.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from ..core.problem import Problem
from ..engine_pool.messages import PagePreviewed, PageRead, ReadPage
from ..engine_pool.processes import Task
from ..outputs import FORMATS

if TYPE_CHECKING:
    from ..core.shared_file import SharedFile
    from ..engine_pool.messages import JsonPage
    from ..engine_pool.pool import Pool
    from .options import Options

AT_ONCE, LATER = 0, 1
"""Priorities of tasks: requests whose sender waits go before jobs."""


@dataclass(frozen=True)
class Upload:
    """Hold one document and the file name that its sender gives."""

    name: str | None
    file: SharedFile


@dataclass(frozen=True)
class Reading:
    """Hold what was read from all documents of a request; timings are in seconds, images are JPEGs of the pages."""

    text: str
    warnings: list[str]
    timings: dict[str, float]
    pages: list[JsonPage]
    images: list[bytes] = field(default_factory=list)


Known = dict[tuple[int, int], PageRead]
"""Pages that were read already, by the index of their document and their number in it."""


class Work:
    """Read the documents of one request."""

    def __init__(
        self,
        pool: Pool,
        uploads: Sequence[Upload],
        options: Options,
        *,
        page_seconds: float,
        priority: int = AT_ONCE,
        known: Known | None = None,
    ) -> None:
        """Plan the reading of all pages but the `known` ones; `begin` starts it."""
        self._pool = pool
        self._uploads = uploads
        self._options = options
        self._page_seconds = page_seconds
        self._priority = priority
        self._read: Known = dict(known or {})
        self._numbers: dict[int, list[int]] = {}
        self._open = 0
        self._problem: Problem | None = None
        self._began = time.monotonic()
        self._queued_s = 0.0
        self._lock = threading.Lock()
        self._over = threading.Event()
        self.on_page: Callable[[tuple[int, int], PageRead], None] = lambda place, page: None
        """Called for every page that was read."""
        self.ended: Callable[[], None] = lambda: None
        """Called once, when all is over; whoever sets it late looks at `over` afterwards."""
        for (document, _), page in self._read.items():
            self._numbers[document] = page.numbers
        self._todo: deque[tuple[int, int | None]] = deque()
        for document in range(len(uploads)):
            numbers = self._numbers.get(document, [None])
            self._todo += [(document, number) for number in numbers if (document, number) not in self._read]

    def begin(self) -> Work:
        """Submit the first pages; each that is read then brings the next. Return this work."""
        with self._lock:
            self._go_on()
        return self

    @property
    def over(self) -> bool:
        """Tell whether it is done, failed or cancelled."""
        return self._over.is_set()

    @property
    def progress(self) -> tuple[int, int | None]:
        """The number of pages that are read, and that of all pages, None while it is not known."""
        with self._lock:
            known = len(self._numbers) == len(self._uploads)
            return len(self._read), sum(map(len, self._numbers.values())) if known else None

    def wait(self, seconds: float) -> bool:
        """Wait until it is over, `seconds` at most; return whether it is."""
        return self._over.wait(seconds)

    def cancel(self, problem: Problem | None = None) -> None:
        """Read no further page; `reading` then raises `problem`."""
        with self._lock:
            self._end(problem or Problem(HTTPStatus.CONFLICT, "cancelled", "Cancelled", "The request was cancelled."))

    def reading(self) -> Reading:
        """Return what was read, with the pages in the order of the documents.

        Raises:
            Problem: a document is at fault, or the work was cancelled.
        """
        if self._problem is not None:
            raise self._problem
        pages, warnings, images = [], [], []
        timings = {"queue": self._queued_s, "decode": 0.0, "ocr": 0.0}
        for index, (document, number) in enumerate(self._order()):
            read = self._read[document, number]
            place: dict[str, Any] = {"index": index, "page_number": index + 1}
            source = {"source": self._uploads[document].name, "source_page": number}
            pages.append(place | read.page | source)
            warnings += [f"page {index + 1}: {note}" for note in read.warnings]
            images.append(read.image)
            timings["decode"] += read.decode
            timings["ocr"] += read.ocr
        timings["total"] = time.monotonic() - self._began
        text = "\n\n".join(page["text"] for page in pages if page["text"])
        return Reading(text, warnings, {name: round(value, 4) for name, value in timings.items()}, pages, images)

    def _order(self) -> list[tuple[int, int]]:
        return [(document, number) for document in sorted(self._numbers) for number in self._numbers[document]]

    def _go_on(self) -> None:
        """Submit the next pages, as many at once as there are engines; the caller holds the lock."""
        while self._todo and self._open < self._pool.size and not self.over:
            self._open += 1
            self._ask(*self._todo.popleft())
        if not self._open:
            self._end(None)

    def _ask(self, document: int, number: int | None) -> None:
        """Submit one page; None is the first of a document, whose answer tells the numbers of the others."""
        options = self._options
        order = ReadPage(
            page=number,
            pages=options.pages,
            region=options.region,
            languages=options.languages,
            preprocess=options.preprocess,
            picture=FORMATS[options.output].needs_pictures,
            seconds=self._page_seconds,
        )
        asked = time.monotonic()

        def wanted() -> bool:
            if number is None and document == 0:
                self._queued_s = time.monotonic() - asked
            return not self.over

        def done(outcome: PageRead | PagePreviewed | Problem) -> None:
            assert not isinstance(outcome, PagePreviewed), "the order was to read"
            self._take(document, number, outcome)

        file = self._uploads[document].file
        self._pool.submit(Task(priority=self._priority, file=file, order=order, wanted=wanted, done=done))

    def _take(self, document: int, number: int | None, outcome: PageRead | Problem) -> None:
        with self._lock:
            self._open -= 1
            if self.over:
                return
            if isinstance(outcome, Problem):
                self._end(self._naming(document, outcome))
                return
            if number is None:
                number, *rest = self._numbers[document] = outcome.numbers
                self._todo.extendleft((document, other) for other in reversed(rest))
            self._read[document, number] = outcome
        self.on_page((document, number), outcome)
        with self._lock:
            self._go_on()

    def _end(self, problem: Problem | None) -> None:
        if self.over:
            return
        self._problem = problem
        self._todo.clear()
        self._over.set()
        self.ended()

    def _naming(self, document: int, problem: Problem) -> Problem:
        """Add to a problem which of the documents it is about."""
        count, name = len(self._uploads), self._uploads[document].name
        if count > 1:
            shown = f" ({name})" if name else ""
            problem.detail = f"Image {document + 1} of {count}{shown}: {problem.detail}"
        problem.members |= {"index": document} | ({"filename": name} if name else {})
        return problem
