"""Read many inputs through a service and write their results; skip inputs whose results exist."""

from __future__ import annotations

import contextlib
import errno
import threading
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ocrpack.client import pictures, results
from ocrpack.client.connection import UnreadableError
from ocrpack.client.inputs import Source
from ocrpack.client.ocr_api import Answer, Options, Service
from ocrpack.client.parallel import in_order, in_parallel
from ocrpack.client.results import Place
from ocrpack.errors import Finding, PreflightError

OnPages = Callable[[Source, int, int | None], None]
"""Called, from any thread, with a document, how many of its pages are read, and how many it has."""
_GIVE_UP_S = 5.0
_DISK = "check the free space and the permissions there"
_HOPELESS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}
"""Errors that writing the next file would meet as well."""


@dataclass(frozen=True)
class Order:
    """Hold what is wanted of every input."""

    output: str = "text"
    options: Options = field(default_factory=Options)
    place: Place | None = None
    """Where results go; None: they are yielded alone, in the order of the inputs."""
    pictures: Place | None = None
    """Where annotated pages go; None: none are drawn."""
    force: bool = False
    """Read inputs again whose results exist, and replace these."""

    def check(self, sources: Sequence[Source]) -> None:
        """Refuse an order that cannot be carried out, before anything is read.

        Raises:
            UsageError: two inputs have the same result, or results have no place.
            PreflightError: pictures cannot be drawn here.
        """
        for place in (self.place, self.pictures):
            if place is not None:
                results.check_places(place, sources)
        if self.pictures is not None:
            pictures.check_drawable(sources)

    def is_done(self, source: Source) -> bool:
        """Tell whether all results of an input exist."""
        if self.place is None or self.force or not self.place.result(source, self.output).exists():
            return False
        return self.pictures is None or self.pictures.has_pictures(source)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Hold what became of one input; `seconds` includes waiting."""

    source: Source
    state: Literal["read", "skipped", "failed"]
    seconds: float = 0.0
    answer: Answer | None = field(default=None, repr=False)
    written: tuple[Path, ...] = ()
    kept: tuple[Path, ...] = ()
    """Existing files that were not replaced."""
    stale: bool = False
    """The result is older than the input."""
    finding: Finding | None = None


def read_all(
    service: Service, sources: Sequence[Source], order: Order, threads: int, on_pages: OnPages = lambda *_: None
) -> Generator[Outcome]:
    """Yield what became of every input: as they are done, or in their order if the results are not written to files.

    When the iterator is closed (an interrupt closes it), running jobs are cancelled and no file is written any more.

    Raises:
        OcrpackError: the service cannot be used at all.
    """
    writing = threading.Lock()

    def work(source: Source) -> Outcome:
        return _read_one(service, source, order, writing, on_pages)

    numbered = in_parallel(work, sources, threads)
    try:
        for _, outcome in in_order(numbered) if order.place is None else numbered:
            yield outcome
    finally:
        numbered.close()
        service.cancel(_GIVE_UP_S)
        writing.acquire(timeout=_GIVE_UP_S)  # never given back: what still runs writes nothing


def _read_one(service: Service, source: Source, order: Order, writing: threading.Lock, on_pages: OnPages) -> Outcome:
    if order.is_done(source):
        return Outcome(source=source, state="skipped", stale=_is_stale(source, order))
    begin = time.monotonic()
    answer: Answer | None = None
    files = _Files(order.force, writing)
    finding = None
    try:
        answer = service.read(source, order.output, order.options, lambda *pages: on_pages(source, *pages))
        try:
            if order.pictures is not None:
                described = answer if answer.document else service.read(source, "json", order.options)
                for number, picture in enumerate(pictures.annotated(source, described.pages), 1):
                    place = order.pictures.picture(source, number, len(described.pages))
                    files.put(place, pictures.png(picture))
        finally:  # the result is written last, since it tells that an input is done
            if order.place is not None:
                files.put(order.place.result(source, order.output), content(answer, order.output))
    except UnreadableError as error:
        finding = error.finding(source.shown)
    except OSError as error:
        text = f"{error.filename}: {error.strerror or error}"
        if error.errno in _HOPELESS:
            raise PreflightError(f"results cannot be written: {text}", _DISK) from None
        finding = Finding("unwritable", f"{source.shown}: {text}", _DISK)
    seconds = time.monotonic() - begin
    state: Literal["read", "failed"] = "failed" if finding else "read"
    return Outcome(
        source=source,
        state=state,
        seconds=seconds,
        answer=answer,
        written=tuple(files.written),
        kept=tuple(files.kept),
        finding=finding,
    )


def content(answer: Answer, output: str) -> bytes:
    """Return the content of a result's file."""
    if output != "text":
        return answer.content
    text = answer.text
    return (text if text.endswith("\n") or not text else text + "\n").encode("utf-8", "replace")


class _Files:
    """Write the files of one input; replace existing ones only if `force` is set."""

    def __init__(self, force: bool, writing: threading.Lock) -> None:
        self.written: list[Path] = []
        self.kept: list[Path] = []
        self._force, self._writing = force, writing

    def put(self, path: Path, data: bytes) -> None:
        with self._writing:
            if path.exists() and not self._force:
                self.kept.append(path)
            else:
                try:
                    results.write_result(path, data)
                except OSError as error:
                    error.filename = str(path)  # not that of the staged file
                    raise
                self.written.append(path)


def _is_stale(source: Source, order: Order) -> bool:
    assert order.place is not None
    with contextlib.suppress(OSError):
        if source.path is not None:
            return source.path.stat().st_mtime > order.place.result(source, order.output).stat().st_mtime
    return False
