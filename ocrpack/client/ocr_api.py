"""Speak the API of an OCR service: send an image or a document, follow the job if it becomes one, take the answer."""

from __future__ import annotations

import re
import threading
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self

from ocrpack.client.connection import Connection, Reply, StoppedError, UnreadableError, refused
from ocrpack.client.inputs import Source
from ocrpack.client.patience import retry_after
from ocrpack.contract import image_form, text_in

_FIRST_POLL_S, _SLOWEST_POLL_S, _LONGEST_POLL_S = 0.2, 2.0, 30.0


class Output(StrEnum):
    """Name an output, its files' extension, and the media types that a service may answer with."""

    extension: str
    media_types: tuple[str, ...]

    def __new__(cls, name: str, extension: str, *media_types: str) -> Self:
        """Make a member that is the string `name`."""
        member = str.__new__(cls, name)
        member._value_ = name
        member.extension, member.media_types = extension, media_types
        return member

    text = "text", "txt", "text/plain", "application/json"  # the client takes the text from the JSON that every app has
    json = "json", "json", "application/json"
    tsv = "tsv", "tsv", "text/tab-separated-values"
    hocr = "hocr", "hocr", "text/html", "application/xhtml+xml"
    alto = "alto", "xml", "application/xml", "text/xml"
    pdf = "pdf", "pdf", "application/pdf"
    csv = "csv", "csv", "text/csv"


OnPages = Callable[[int, int | None], None]
"""Called with how many pages of a document are read, and how many it has, None while that is not known."""


@dataclass(frozen=True)
class Options:
    """Hold how the service is to read; empty means the service's default."""

    languages: str = ""
    region: str = ""
    preprocess: str = ""
    pages: str = ""
    long: bool = False
    """Read as a job, even if the input is an image."""

    @property
    def fields(self) -> dict[str, str]:
        """The form fields that are not left to the service."""
        named = {
            "languages": self.languages,
            "region": self.region,
            "preprocess": self.preprocess,
            "pages": self.pages,
        }
        return {name: value for name, value in named.items() if value}


@dataclass(frozen=True)
class Answer:
    """Hold the output as the service sent it, and what it holds if it is JSON."""

    content: bytes = field(repr=False)
    document: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def text(self) -> str:
        """The text of an answer in JSON or plain text."""
        text = text_in(self.document)
        return self.content.decode("utf-8", "replace") if text is None else text

    @property
    def pages(self) -> list[dict[str, Any]]:
        """The pages with their lines and words; none if the service does not send them."""
        pages = self.document.get("pages")
        return [page for page in pages if isinstance(page, dict)] if isinstance(pages, list) else []


class Service:
    """Read images through a service; may be used from several threads at once."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._jobs: set[str] = set()
        self._no_jobs = threading.Condition()

    def read(self, source: Source, output: str, options: Options, on_pages: OnPages = lambda *_: None) -> Answer:
        """Return what the service reads in an input.

        Raises:
            UnreadableError: the input cannot be read; the message says why.
            OcrpackError: the service cannot be used at all.
            StoppedError: the connection was stopped meanwhile.
        """
        asked = "json" if output == "text" else output
        try:
            fields = {"output": asked, **options.fields}
            body, content_type = image_form(source.relative.name, source.content(), fields)
        except OSError as error:
            raise UnreadableError("unreadable", f"cannot be read: {error.strerror or error}") from None
        reply = self._begin(body, content_type, options.long or source.is_document)
        if reply.status == 202:
            reply = self._follow(reply, asked, on_pages)
        return _answer(reply, output)

    def cancel(self, seconds: float) -> None:
        """Stop all reading, and wait until the jobs are cancelled, but no longer than `seconds`."""
        self._connection.stopping.set()
        with self._no_jobs:
            self._no_jobs.wait_for(lambda: not self._jobs, seconds)

    def _begin(self, body: bytes, content_type: str, as_job: bool) -> Reply:
        """Send an input as a job or not; send it again as an image if the service has no jobs."""
        if as_job:
            try:
                return self._connection.send("POST", "/ocr/jobs", body, content_type)
            except UnreadableError as error:
                if error.status not in {404, 405}:
                    raise
        return self._connection.send("POST", "/ocr", body, content_type)

    def _follow(self, reply: Reply, output: str, on_pages: OnPages) -> Reply:
        """Wait for a job, and return its result; cancel it if the reading is stopped."""
        job = reply.json()
        name = job.get("id")
        if not isinstance(name, str) or not re.fullmatch(r"[\w.:-]{1,200}", name, re.ASCII):
            raise UnreadableError("bad-answer", "the service took the input and named no job")
        place = f"/ocr/jobs/{urllib.parse.quote(name, safe='')}"
        wait = _FIRST_POLL_S
        with self._no_jobs:
            self._jobs.add(place)
        try:
            while (state := job.get("status", "queued")) in {"queued", "running"}:
                _tell(job, on_pages)
                asked = retry_after(reply.retry_after, self._connection.patience.wall())
                self._connection.pause(min(_LONGEST_POLL_S, max(wait, asked or 0)))
                wait = min(_SLOWEST_POLL_S, wait * 1.5)
                reply = self._connection.send("GET", place)
                job = reply.json()
            _tell(job, on_pages)
            if state == "done":
                return self._connection.send("GET", f"{place}/result?output={output}")
            problem = job.get("problem")
            raise (
                refused(422, problem)
                if isinstance(problem, dict)
                else UnreadableError("job", f"the service says that the job is {str(state)[:40]}")
            )
        except (StoppedError, KeyboardInterrupt):
            self._connection.send_once("DELETE", place, timeout=2)
            raise
        finally:
            with self._no_jobs:
                self._jobs.discard(place)
                self._no_jobs.notify_all()


def _tell(job: dict[str, Any], on_pages: OnPages) -> None:
    progress = job.get("progress")
    done, total = (progress.get("done"), progress.get("total")) if isinstance(progress, dict) else (None, None)
    if isinstance(done, int):
        on_pages(done, total if isinstance(total, int) else None)


def _answer(reply: Reply, output: str) -> Answer:
    """Return a 2xx response as an answer.

    Raises:
        UnreadableError: it is not of the kind that was asked for.
    """
    kind = reply.content_type.partition(";")[0].strip().lower()
    if kind not in Output[output].media_types:
        text = f"the service answered with {kind or 'no content type'} where {output} was asked for"
        raise UnreadableError("bad-answer", text, "is the address that of an OCR service, which knows this output?")
    if kind != "application/json":
        return Answer(reply.body)
    document = reply.json()
    if text_in(document) is None:
        raise UnreadableError("bad-answer", "the service answered with JSON that has no text")
    return Answer(reply.body, document)
