"""All that the routes need: documents in, readings out, now or later."""

from __future__ import annotations

import hashlib
import json
import logging
import queue
import sqlite3
import tempfile
from functools import cached_property
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.problem import Problem
from ..engine_pool.processes import Task
from ..outputs import render
from .fetch_image import Fetcher
from .job_runner import Runner
from .job_store import Jobs
from .options import Options
from .request_work import AT_ONCE, Reading, Work
from .seats import Seats

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..core.settings import Settings
    from ..engine_pool.messages import Reply
    from ..engine_pool.pool import Pool
    from .job_store import Job
    from .request_work import Upload

_SPARE_AT_LEAST = 2
"""Threads that OCR never takes, however few there are: for /healthz, and to drain bodies of refused requests."""
_LOG = logging.getLogger("ocrpack.app")


class Service:
    """One bundle's model, ready to read."""

    def __init__(self, settings: Settings, pool: Pool) -> None:
        self.settings = settings
        self.pool = pool
        self.seats = Seats(max(1, min(settings.limits.queue, settings.threads - _SPARE_AT_LEAST)))
        self.jobs = _job_store(settings)
        self.runner = Runner(self.jobs, pool, settings, self.published)
        allowed = settings.image_urls
        self.fetch = Fetcher(allowed, settings.limits.body_mb << 20) if allowed else None

    def read(self, uploads: Sequence[Upload], options: Options) -> Reading | Job:
        """Return what the documents say, or the job that goes on with them when that takes too long.

        Raises:
            Problem: a document is at fault, or the engine broke down over it.
        """
        work = Work(self.pool, uploads, options, self.settings.limits.page_seconds, AT_ONCE).begin()
        if not work.wait(self.settings.request_seconds):
            try:
                return self.runner.adopt(work, uploads, options)
            except BaseException:
                work.cancel()
                raise
        reading = work.reading()
        self.seats.usual_seconds = reading.timings["ocr"]
        return reading

    def preview(self, upload: Upload, page: int, side: int) -> bytes:
        """Return a page's picture as a JPEG of at most `side` pixels a side; pages count from 1.

        Raises:
            Problem: the document is at fault.
        """
        seconds = self.settings.limits.page_seconds
        order = {"do": "preview", "page": page, "side": side, "seconds": seconds}
        came: queue.SimpleQueue[Reply | Problem] = queue.SimpleQueue()
        self.pool.submit(Task(AT_ONCE, upload.file, order, lambda: True, came.put))
        try:
            outcome = came.get(timeout=self.settings.request_seconds)
        except queue.Empty:
            title, detail = "No turn came in time", "The engines are busy with other pages. Try again later."
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, "no-turn", title, detail, retry_after=10) from None
        if isinstance(outcome, Problem):
            raise outcome
        return outcome[1]

    def answer(self, reading: Reading, request_id: str, options: Options) -> dict[str, Any]:
        """Return a reading as the API shows it."""
        return {
            "id": request_id,
            "model": self.model,
            "engine": self.pool.facts["engine"],
            "languages": options.languages or self.settings.model.languages,
            "text": reading.text,
            "warnings": reading.warnings,
            "timings": reading.timings,
            "pages": reading.pages,
        }

    def published(self, reading: Reading, job: str, options: Options) -> tuple[dict[str, Any], bytes | None]:
        """Return a job's answer, and its rendered output where that needs the pictures."""
        answer = self.answer(reading, job, options)
        return answer, render(options.output, answer, reading.images) if options.output == "pdf" else None

    @cached_property
    def model(self) -> dict[str, str]:
        """The model's name and version."""
        return {"name": self.settings.model.name, "version": self.settings.model.version}

    @property
    def status(self) -> str:
        """Whether it can read: ready, stuck (an engine does not end), or broken (there is no engine)."""
        if self.pool.stuck(self.settings.limits.page_seconds * 1.5 + 10):
            return "stuck"
        return "ready" if self.pool.pids or self.pool.fresh else "broken"

    @property
    def state(self) -> dict[str, Any]:
        """What /readyz tells."""
        limits = self.settings.limits
        return {
            "name": self.settings.name,
            "version": self.settings.version,
            "model": self.model,
            "languages": self.settings.model.languages,
            "processes": self.pool.size,
            "limits": {
                name: getattr(limits, name) for name in ("body_mb", "megapixels", "pages", "page_seconds", "queue")
            },
            **self.pool.facts,
            "status": self.status,
        }

    @cached_property
    def version(self) -> dict[str, Any]:
        """What is deployed, down to the digests: of the bundle (its manifest's), and of the model (its files')."""
        folder = self.settings.folder
        descriptor = json.loads((folder / "descriptor.json").read_text("utf-8"))
        weights = descriptor["model"].get("weights") or []
        lines = "".join(f"{weight.get('sha256')}  {weight['path']}\n" for weight in weights)
        manifest = folder / "manifest.json"
        digest = hashlib.sha256(manifest.read_bytes()).hexdigest() if manifest.is_file() else None
        return {
            "bundle": {"name": self.settings.name, "version": self.settings.version, "digest": digest},
            "model": self.model
            | {
                "digest": hashlib.sha256(lines.encode()).hexdigest(),
                "files": [{"path": weight["path"], "sha256": weight.get("sha256")} for weight in weights],
            },
            **self.pool.facts,
        }


def _job_store(settings: Settings) -> Jobs:
    """Return the store of jobs; where its folder cannot be had they live as long as this process."""
    try:
        return Jobs(settings.data, settings.limits)
    except (OSError, sqlite3.Error) as error:
        _LOG.error("jobs cannot be kept in %s (%s): they end with this process", settings.data, error)
        return Jobs(Path(tempfile.mkdtemp(prefix="ocrpack-jobs-")), settings.limits)
