"""What the routes call: read documents at once or as a job, preview a page, and tell the state and the version."""

from __future__ import annotations

import hashlib
import json
import logging
import queue
import sqlite3
import tempfile
from contextlib import ExitStack
from functools import cached_property
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.problem import Problem
from ..engine_pool.messages import PagePreviewed, PreviewPage
from ..engine_pool.processes import Task
from ..outputs import FORMATS, render
from .fetch_image import Fetcher
from .job_runner import Runner
from .job_store import Jobs
from .options import Options
from .request_work import AT_ONCE, Reading, Work
from .seats import Seats

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..core.settings import Settings
    from ..engine_pool.messages import PageRead
    from ..engine_pool.pool import Pool
    from .job_store import Job
    from .request_work import Upload

_SPARE_AT_LEAST = 2
"""Threads that no reading occupies: for /healthz, and to drain the bodies of refused requests."""
_LOG = logging.getLogger("ocrpack.app")


class ReadingService:
    """Read with one bundle's model."""

    def __init__(self, settings: Settings, pool: Pool) -> None:
        self.settings = settings
        self.pool = pool
        self.seats = Seats(max(1, min(settings.limits.queue, settings.threads - _SPARE_AT_LEAST)))
        self.jobs = _job_store(settings)
        self.runner = Runner(self.jobs, pool, settings, self.published)
        allowed = settings.image_urls
        self.fetch = Fetcher(allowed, settings.limits.body_mb << 20) if allowed else None

    def read(self, uploads: Sequence[Upload], options: Options) -> Reading | Job:
        """Return what is read, or the job that goes on with it if that takes longer than `request_seconds`.

        Raises:
            Problem: a document is at fault, or the engine broke down over it.
        """
        seconds = self.settings.limits.page_seconds
        work = Work(self.pool, uploads, options, page_seconds=seconds, priority=AT_ONCE).begin()
        if not work.wait(self.settings.request_seconds):
            with ExitStack() as undo:
                undo.callback(work.cancel)
                job = self.runner.adopt(work, uploads, options)
                undo.pop_all()
            return job
        reading = work.reading()
        self.seats.usual_seconds = reading.timings["ocr"]
        return reading

    def preview(self, upload: Upload, page: int, side: int) -> bytes:
        """Return a page's picture as a JPEG of at most `side` pixels a side; pages count from 1.

        Raises:
            Problem: the document is at fault.
        """
        seconds = self.settings.limits.page_seconds
        order = PreviewPage(page=page, side=side, seconds=seconds)
        came: queue.SimpleQueue[PageRead | PagePreviewed | Problem] = queue.SimpleQueue()
        self.pool.submit(Task(priority=AT_ONCE, file=upload.file, order=order, wanted=lambda: True, done=came.put))
        try:
            outcome = came.get(timeout=self.settings.request_seconds)
        except queue.Empty:
            title, detail = "No turn came in time", "The engines are busy with other pages. Try again later."
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, "no-turn", title, detail, retry_after=10) from None
        if isinstance(outcome, Problem):
            raise outcome
        assert isinstance(outcome, PagePreviewed), "the order was to preview"
        return outcome.jpeg

    def answer(self, reading: Reading, request_id: str, options: Options) -> dict[str, Any]:
        """Return a reading as the API shows it."""
        return {
            "id": request_id,
            "model": self.model,
            "engine": self.pool.facts.engine,
            "languages": options.languages or self.settings.model.languages,
            "text": reading.text,
            "warnings": reading.warnings,
            "timings": reading.timings,
            "pages": reading.pages,
        }

    def published(self, reading: Reading, job: str, options: Options) -> tuple[dict[str, Any], bytes | None]:
        """Return a job's answer, and its output if that needs the pictures, which are not kept."""
        answer = self.answer(reading, job, options)
        if FORMATS[options.output].needs_pictures:
            return answer, render(options.output, answer, reading.images)
        return answer, None

    @cached_property
    def model(self) -> dict[str, str]:
        """The model's name and version."""
        return {"name": self.settings.model.name, "version": self.settings.model.version}

    @property
    def status(self) -> str:
        """`ready`; `stuck`: an engine reads one page for too long; `broken`: there is no engine."""
        if self.pool.stuck(self.settings.limits.page_seconds * 1.5 + 10):
            return "stuck"
        return "ready" if self.pool.pids or self.pool.fresh else "broken"

    @property
    def state(self) -> dict[str, Any]:
        """What /readyz shows."""
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
            **vars(self.pool.facts),
            "status": self.status,
        }

    @cached_property
    def version(self) -> dict[str, Any]:
        """What /version shows: the bundle with its manifest's digest, the model with its files' digests, the engine."""
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
            **vars(self.pool.facts),
        }


def _job_store(settings: Settings) -> Jobs:
    """Return the store of jobs; if its folder cannot be used, one that lasts as long as this process."""
    try:
        return Jobs(settings.data, settings.limits)
    except (OSError, sqlite3.Error) as error:
        _LOG.error("jobs cannot be kept in %s (%s): they end with this process", settings.data, error)
        return Jobs(Path(tempfile.mkdtemp(prefix="ocrpack-jobs-")), settings.limits)
