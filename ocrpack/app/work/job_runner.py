"""Work through the jobs: take them up, keep their pages and results, and hand them on when this generation retires."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from ..core.problem import Problem, our_fault
from .request_work import LATER, Work

if TYPE_CHECKING:
    from ..core.settings import Settings
    from ..engine_pool.messages import PageRead
    from ..engine_pool.pool import Pool
    from .job_store import Job, Jobs
    from .options import Options
    from .request_work import Reading, Upload

_LOG = logging.getLogger("ocrpack.app")
_POLL_S = 0.5
_SWEEP_S = 3600.0
Publish = Callable[["Reading", str, "Options"], tuple[dict[str, Any], bytes | None]]
"""Makes the answer of a reading, a job's id and its options; and its output if it needs the pictures, which go."""


@dataclass
class _Attended:
    """Hold a job that this process reads; `begun` is in seconds since the epoch."""

    work: Work
    options: Options
    begun: float
    result: tuple[dict[str, Any], bytes | None] | None = None


class Runner:
    """Work through the jobs in a thread of this process."""

    def __init__(self, jobs: Jobs, pool: Pool, settings: Settings, publish: Publish) -> None:
        self._jobs = jobs
        self._pool = pool
        self._settings = settings
        self._publish = publish
        self._owner = uuid.uuid4().hex
        self._attended: dict[str, _Attended] = {}
        self._lock = threading.Lock()
        self._woken = threading.Event()
        self._began = False

    def begin(self) -> None:
        """Start the thread, unless it runs."""
        with self._lock:
            if not self._began:
                self._began = True
                threading.Thread(target=self._run, daemon=True, name="jobs").start()

    def add(self, uploads: Sequence[Upload], options: Options) -> Job:
        """Add a new job; the first process with room takes it up."""
        job = self._jobs.add(uploads, options)
        self.wake()
        return self._jobs.get(job)

    def adopt(self, work: Work, uploads: Sequence[Upload], options: Options) -> Job:
        """Make a running job of work that a request began and did not finish in time."""
        job = self._jobs.add(uploads, options, self._owner)
        self._attend(job, work, options)
        return self._jobs.get(job)

    def cancel(self, job: str) -> Job:
        """Cancel a job: at once if it runs here, at its owner's next look if it runs elsewhere."""
        self._jobs.cancel(job)
        self._drop(job)
        return self._jobs.get(job)

    def wake(self) -> None:
        """Let the thread look for work at once."""
        self._woken.set()

    def _serving(self) -> bool:
        return self._settings.gate is None or self._settings.gate.exists()

    def _run(self) -> None:
        swept = 0.0
        while True:
            self._woken.wait(_POLL_S)
            self._woken.clear()
            try:
                if time.monotonic() - swept > _SWEEP_S:
                    self._jobs.sweep()
                    swept = time.monotonic()
                self._turn()
            except (OSError, sqlite3.Error) as error:
                _LOG.error("jobs: %s", error)
            except Exception:
                _LOG.exception("jobs")

    def _turn(self) -> None:
        """Keep the jobs that ended, drop those that others have taken, and take up new ones."""
        with self._lock:
            attended = dict(self._attended)
        serving = self._serving()
        ours = self._jobs.renew(self._owner, attended) if attended else set()
        for job, one in attended.items():
            if job not in ours or not (serving or one.work.over):
                self._drop(job)
            elif one.work.over:
                self._keep(job, one)
            elif time.time() - one.begun > self._settings.limits.job_seconds:
                one.work.cancel(self._too_long())
        if not serving:
            self._jobs.release(self._owner)
        while self._serving() and len(self._attended) < self._pool.size:
            claimed = self._jobs.claim(self._owner)
            if claimed is None:
                return
            try:
                self._take_up(claimed)
            except (OSError, sqlite3.OperationalError):
                raise  # its lease runs out, and somebody takes it up again
            except Exception:
                _LOG.exception("job %s cannot be taken up", claimed.id)
                self._jobs.fail(claimed.id, self._owner, our_fault())

    def _take_up(self, job: Job) -> None:
        uploads, known = self._jobs.uploads(job.id), self._jobs.known(job.id)
        seconds = self._settings.limits.page_seconds
        work = Work(self._pool, uploads, job.options, page_seconds=seconds, priority=LATER, known=known)
        self._attend(job.id, work, job.options, job.begun)
        work.begin()

    def _attend(self, job: str, work: Work, options: Options, begun: float | None = None) -> None:
        work.on_page = lambda place, page: self._keep_page(job, work, place, page)
        work.ended = self.wake
        with self._lock:
            self._attended[job] = _Attended(work, options, begun or time.time())
        self.wake()

    def _keep_page(self, job: str, work: Work, place: tuple[int, int], page: PageRead) -> None:
        """Keep a page; log it if that fails, since at worst the page is read again."""
        try:
            self._jobs.keep_page(job, place, page, work.progress)
        except (OSError, sqlite3.Error) as error:
            _LOG.error("a page of job %s cannot be kept: %s", job, error)

    def _drop(self, job: str) -> None:
        """Stop reading a job that does not belong to this process any more."""
        with self._lock:
            one = self._attended.pop(job, None)
        if one:
            one.work.ended = lambda: None
            one.work.cancel()
        self.wake()

    def _keep(self, job: str, one: _Attended) -> None:
        """Keep the result or the problem of a job; if the store cannot be written, leave both for the next turn."""
        try:
            one.result = one.result or self._publish(one.work.reading(), job, one.options)
            self._jobs.finish(job, self._owner, *one.result)
        except Problem as problem:
            self._jobs.fail(job, self._owner, problem)
        except (OSError, sqlite3.OperationalError) as error:
            _LOG.error("the result of job %s cannot be kept yet: %s", job, error)
            return
        except Exception:
            _LOG.exception("there is no result of job %s", job)
            self._jobs.fail(job, self._owner, our_fault())
        with self._lock:
            self._attended.pop(job, None)

    def _too_long(self) -> Problem:
        limit = self._settings.limits.job_seconds
        detail = f"The job was stopped after {limit:g} seconds. Send fewer pages at once, with `pages` for instance."
        return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "slow-document", "The document took too long", detail)
