"""Let a service read an image or a document: at once, or as a job that is followed to its end."""

from __future__ import annotations

import re
import threading
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ocrpack.client.connection import Connection, Reply, StoppedError, UnreadableError, refused
from ocrpack.client.inputs import Source
from ocrpack.client.patience import retry_after
from ocrpack.contract import image_form, text_in

_FIRST_POLL_S, _SLOWEST_POLL_S, _LONGEST_POLL_S = 0.2, 2.0, 30.0
_MEDIA = {
    "text": ("text/plain", "application/json"),
    "json": ("application/json",),
    "tsv": ("text/tab-separated-values",),
    "hocr": ("text/html", "application/xhtml+xml"),
    "alto": ("application/xml", "text/xml"),
    "pdf": ("application/pdf",),
    "csv": ("text/csv",),
}
"""What the service may answer with for an output; every app reads to JSON, so plain text is taken from that."""

OnPages = Callable[[int, int | None], None]
"""Told how many pages of a document are read, and of how many, once that is known."""


@dataclass(frozen=True)
class Options:
    """How the service is to read; empty means its own choice."""

    languages: str = ""
    region: str = ""
    preprocess: str = ""
    pages: str = ""
    long: bool = False
    """Read as a job, however short it seems."""

    @property
    def fields(self) -> dict[str, str]:
        """The form fields that differ from the service's own choice."""
        named = {
            "languages": self.languages,
            "region": self.region,
            "preprocess": self.preprocess,
            "pages": self.pages,
        }
        return {name: value for name, value in named.items() if value}


@dataclass(frozen=True)
class Answer:
    """What was read: the output as the service made it, and the JSON where it is that."""

    content: bytes = field(repr=False)
    document: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def text(self) -> str:
        """The text, of an answer in JSON or plain text."""
        text = text_in(self.document)
        return self.content.decode("utf-8", "replace") if text is None else text

    @property
    def pages(self) -> list[dict[str, Any]]:
        """The pages with lines and words, where the service tells them."""
        pages = self.document.get("pages")
        return [page for page in pages if isinstance(page, dict)] if isinstance(pages, list) else []


class Service:
    """Reads images through a service; may be used from several threads at once."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._jobs: set[str] = set()
        self._no_jobs = threading.Condition()

    def read(self, source: Source, output: str, options: Options, on_pages: OnPages = lambda *_: None) -> Answer:
        """Return what is read in an input.

        Raises:
            UnreadableError: it cannot be read; the message says why.
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
        """Stop all reading, and wait until the service has been told so, but no longer than `seconds`."""
        self._connection.stopping.set()
        with self._no_jobs:
            self._no_jobs.wait_for(lambda: not self._jobs, seconds)

    def _begin(self, body: bytes, content_type: str, as_job: bool) -> Reply:
        """Send an input; a service without jobs reads it at once."""
        if as_job:
            try:
                return self._connection.send("POST", "/ocr/jobs", body, content_type)
            except UnreadableError as error:
                if error.status not in {404, 405}:
                    raise
        return self._connection.send("POST", "/ocr", body, content_type)

    def _follow(self, reply: Reply, output: str, on_pages: OnPages) -> Reply:
        """Wait for a job, and return its result; a job that nobody waits for any more is cancelled."""
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
    """Return a 2xx answer as what was asked for.

    Raises:
        UnreadableError: it is something else.
    """
    kind = reply.content_type.partition(";")[0].strip().lower()
    if kind not in _MEDIA[output]:
        text = f"the service answered with {kind or 'no content type'} where {output} was asked for"
        raise UnreadableError("bad-answer", text, "is the address that of an OCR service, which knows this output?")
    if kind != "application/json":
        return Answer(reply.body)
    document = reply.json()
    if text_in(document) is None:
        raise UnreadableError("bad-answer", "the service answered with JSON that has no text")
    return Answer(reply.body, document)
