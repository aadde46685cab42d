"""Take images to text: who may come in, whose turn it is, and how long it may last."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from http import HTTPStatus
from typing import IO, TYPE_CHECKING, Any

from . import imaging
from .engines import RefusedError
from .problem import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .engines import Engine, Page
    from .imaging import Picture


@dataclass(frozen=True)
class Upload:
    """Hold one image as it came in; `name` is what its sender calls it."""

    name: str
    stream: IO[bytes]


@dataclass(frozen=True)
class Reading:
    """Hold what was read from all images of a request, ready for JSON; timings are in seconds."""

    text: str
    warnings: list[str]
    timings: dict[str, float]
    pages: list[dict[str, Any]]


class Reader:
    """Read images with one engine, one image at a time, for a limited number of requests at once.

    Decoding waits for the engine's turn as well, so that at most one decoded image is in memory.
    """

    def __init__(self, engine: Engine, seats: int, seconds: float) -> None:
        """Let `seats` requests in at once, and give each of them `seconds`."""
        self.engine = engine
        self._seconds = seconds
        self._seats = threading.BoundedSemaphore(seats)
        self._turn = threading.Lock()
        self._turn_began: float | None = None
        self._usual_seconds = 1.0

    @property
    def stuck(self) -> bool:
        """Tell whether the engine has been on one image for longer than a request may last."""
        began = self._turn_began
        return began is not None and time.monotonic() - began > self._seconds * 1.5

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
                retry_after=min(60, 1 + int(self._usual_seconds)),
            )
        try:
            yield
        finally:
            self._seats.release()

    def read(self, uploads: Sequence[Upload]) -> Reading:
        """Return the text of all images, a page each.

        Raises:
            Problem: an image is at fault (4xx, saying which), or no turn came in time (503).
        """
        began = time.monotonic()
        deadline = began + self._seconds
        timings = {"queue": 0.0, "decode": 0.0, "ocr": 0.0}
        for index, upload in enumerate(uploads):
            with _naming(upload, index, len(uploads)):
                imaging.check(upload.stream)
        pages: list[dict[str, Any]] = []
        warnings: list[str] = []
        for index, upload in enumerate(uploads):
            with _naming(upload, index, len(uploads)):
                page, notes = self._read_one(upload, index, deadline, timings)
            pages.append(page)
            warnings += [f"page {index + 1}: {note}" for note in notes]
        timings["total"] = time.monotonic() - began
        self._usual_seconds = timings["ocr"]
        text = "\n\n".join(page["text"] for page in pages if page["text"])
        return Reading(text, warnings, {name: round(value, 4) for name, value in timings.items()}, pages)

    def _read_one(
        self, upload: Upload, index: int, deadline: float, timings: dict[str, float]
    ) -> tuple[dict[str, Any], tuple[str, ...]]:
        """Return one page and its warnings; the pixels are gone before the next image has its turn."""
        queued = time.monotonic()
        if not self._turn.acquire(timeout=max(0, deadline - queued)):
            raise Problem(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "no-turn",
                "The queue is too long",
                f"The image had no turn within {self._seconds:g} seconds. Try again later.",
                retry_after=min(60, 1 + int(self._usual_seconds)),
            )
        try:
            self._turn_began = turn = time.monotonic()
            timings["queue"] += turn - queued
            picture = imaging.load(upload.stream)
            decoded = time.monotonic()
            timings["decode"] += decoded - turn
            page = self._recognise(picture, deadline - decoded)
            timings["ocr"] += time.monotonic() - decoded
            notes = picture.warnings if page.lines else (*picture.warnings, "no text was found")
            return _as_json(index, picture, page), notes
        finally:
            self._turn_began = None
            self._turn.release()

    def _recognise(self, picture: Picture, seconds: float) -> Page:
        try:
            return self.engine.read(picture.image, picture.dpi, (), seconds)
        except RefusedError as error:
            title, detail = "The engine refuses the image", f"{self.engine.name} says: {error}"
            raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "refused-image", title, detail) from error
        except TimeoutError as error:
            title = "The image took too long"
            detail = (
                f"Reading was stopped after {self._seconds:g} seconds. Send fewer or smaller images in one request."
            )
            raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "slow-image", title, detail) from error


@contextmanager
def _naming(upload: Upload, index: int, count: int) -> Iterator[None]:
    """Say in any problem which of the images it is about."""
    try:
        yield
    except Problem as problem:
        if count > 1:
            problem.detail = f"Image {index + 1} of {count} ({upload.name}): {problem.detail}"
        problem.members |= {"index": index, "filename": upload.name}
        raise


def _as_json(index: int, picture: Picture, page: Page) -> dict[str, Any]:
    width, height = picture.image.size
    return {
        "index": index,
        "page_number": index + 1,
        "width": width,
        "height": height,
        "unit": "pixel",
        "dpi": picture.dpi,
        "angle": page.angle,
        "text": page.text,
        "lines": [asdict(line) for line in page.lines],
    }
