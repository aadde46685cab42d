"""Keep jobs in SQLite: the documents, the pages that are read already, and the result.

All processes that serve a deployment share the file, and so do the versions before and after this one. A job belongs to
the process that renews its lease; another takes it up when the lease runs out, with the pages that are read already.
The documents are deleted when the job ends; results are kept for `job_days`.
"""

from __future__ import annotations

import json
import sqlite3
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.problem import Problem
from ..core.shared_file import SharedFile
from ..engine_pool.messages import stored_page
from .options import OPTIONS, Options
from .request_work import Upload

if TYPE_CHECKING:
    from ..core.settings import Limits
    from ..engine_pool.messages import PageRead
    from .request_work import Known

LEASE_S = 10.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
    id TEXT PRIMARY KEY, status TEXT NOT NULL, owner TEXT, lease REAL, created REAL NOT NULL, updated REAL NOT NULL,
    begun REAL, options TEXT NOT NULL, done INTEGER NOT NULL DEFAULT 0, total INTEGER, problem TEXT, answer TEXT,
    rendered BLOB
);
CREATE TABLE IF NOT EXISTS inputs (job TEXT NOT NULL, number INTEGER NOT NULL, name TEXT, content BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS pages (
    job TEXT NOT NULL, document INTEGER NOT NULL, page INTEGER NOT NULL, message TEXT NOT NULL, image BLOB NOT NULL,
    PRIMARY KEY (job, document, page)
);
CREATE INDEX IF NOT EXISTS inputs_of ON inputs (job);
"""
_ENDED = ("done", "failed", "cancelled")


@dataclass(frozen=True, kw_only=True)
class Job:
    """Hold a job's row in the store; moments are seconds since the epoch."""

    id: str
    status: str
    options: Options
    created: float
    updated: float
    begun: float | None
    done: int
    total: int | None
    problem: dict[str, Any] | None

    @property
    def over(self) -> bool:
        """Tell whether it is done, failed or cancelled."""
        return self.status in _ENDED

    def as_dict(self) -> dict[str, Any]:
        """Return the job as the API shows it."""
        shown = {
            "id": self.id,
            "status": self.status,
            "progress": {"done": self.done, "total": self.total},
            "created": _shown(self.created),
            "updated": _shown(self.updated),
            "output": self.options.output,
            "links": {"self": f"/ocr/jobs/{self.id}", "result": f"/ocr/jobs/{self.id}/result"},
        }
        return shown | ({"problem": Problem.from_dict(self.problem).body(self.id)} if self.problem else {})


class Jobs:
    """The jobs of one deployment."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        """Open the store in a folder; make one that others cannot enter if it is missing.

        Raises:
            OSError, sqlite3.Error: it cannot be opened.
        """
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file = folder / "jobs.sqlite"
        self._limits = limits
        with self._open() as store:
            store.executescript(f"PRAGMA journal_mode = WAL; {_SCHEMA}")
        self._file.chmod(0o600)

    def add(self, uploads: Sequence[Upload], options: Options, owner: str | None = None) -> str:
        """Add a job and return its id; a job with an owner is running already.

        Raises:
            Problem: too many jobs wait (429).
        """
        now, job = time.time(), uuid.uuid4().hex
        with self._open() as store:
            (waiting,) = store.execute("SELECT count(*) FROM jobs WHERE status IN ('queued', 'running')").fetchone()
            if waiting >= self._limits.jobs:
                detail = f"{waiting} jobs wait or run already. Try again later."
                title = "Too many jobs"
                raise Problem(HTTPStatus.TOO_MANY_REQUESTS, "too-many-jobs", title, detail, retry_after=60)
            status, lease, begun = ("running", now + LEASE_S, now) if owner else ("queued", None, None)
            store.execute(
                "INSERT INTO jobs (id, status, owner, lease, created, updated, begun, options)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (job, status, owner, lease, now, now, begun, json.dumps(asdict(options))),
            )
            for number, upload in enumerate(uploads):
                content = upload.file.content()
                store.execute("INSERT INTO inputs VALUES (?, ?, ?, ?)", (job, number, upload.name, content))
        return job

    def get(self, job: str) -> Job:
        """Return one job.

        Raises:
            Problem: there is none (404).
        """
        with self._open() as store:
            row = store.execute("SELECT * FROM jobs WHERE id = ?", (job,)).fetchone()
        if row is None:
            detail = "There is no job of this id: it was never there, or its result was kept for long enough."
            raise Problem(HTTPStatus.NOT_FOUND, "no-such-job", "There is no such job", detail)
        return _job(row)

    def claim(self, owner: str) -> Job | None:
        """Take the oldest job that nobody works on, and return it; None if there is none."""
        now = time.time()
        with self._open() as store:
            row = store.execute(
                "UPDATE jobs SET status = 'running', owner = ?, lease = ?, updated = ?, begun = coalesce(begun, ?)"
                " WHERE id = (SELECT id FROM jobs WHERE status = 'queued' OR (status = 'running' AND lease < ?)"
                " ORDER BY created LIMIT 1) RETURNING *",
                (owner, now + LEASE_S, now, now, now),
            ).fetchone()
        return _job(row) if row else None

    def renew(self, owner: str, jobs: Iterable[str]) -> set[str]:
        """Prolong an owner's leases, and return those of the jobs that are still its own."""
        with self._open() as store:
            rows = store.execute(
                "UPDATE jobs SET lease = ? WHERE owner = ? AND status = 'running'"
                " AND id IN (SELECT value FROM json_each(?)) RETURNING id",
                (time.time() + LEASE_S, owner, json.dumps(list(jobs))),
            ).fetchall()
        return {row["id"] for row in rows}

    def release(self, owner: str) -> None:
        """Put an owner's running jobs back into the queue."""
        with self._open() as store:
            store.execute(
                "UPDATE jobs SET status = 'queued', owner = NULL WHERE owner = ? AND status = 'running'", (owner,)
            )

    def uploads(self, job: str) -> list[Upload]:
        """Return the documents of a job, each in an open file of its own."""
        with self._open() as store:
            rows = store.execute("SELECT name, content FROM inputs WHERE job = ? ORDER BY number", (job,)).fetchall()
        return [Upload(row["name"], SharedFile.copy_of([row["content"]])) for row in rows]

    def known(self, job: str) -> Known:
        """Return the pages that were read already."""
        with self._open() as store:
            rows = store.execute("SELECT * FROM pages WHERE job = ?", (job,)).fetchall()
        return {(row["document"], row["page"]): stored_page(json.loads(row["message"]), row["image"]) for row in rows}

    def keep_page(self, job: str, place: tuple[int, int], page: PageRead, progress: tuple[int, int | None]) -> None:
        """Keep a page that was read, and how far the job is; do nothing if the job does not run any more."""
        with self._open() as store:
            store.execute(
                "INSERT OR REPLACE INTO pages SELECT id, ?, ?, ?, ? FROM jobs WHERE id = ? AND status = 'running'",
                (*place, json.dumps(page.to_json()), page.image, job),
            )
            store.execute(
                "UPDATE jobs SET done = ?, total = ?, updated = ? WHERE id = ? AND status = 'running'",
                (*progress, time.time(), job),
            )

    def finish(self, job: str, owner: str, answer: dict[str, Any], rendered: bytes | None) -> None:
        """Keep the result of a job, if it is still the owner's."""
        pages = len(answer["pages"])
        self._end(
            "UPDATE jobs SET status = 'done', answer = ?, rendered = ?, done = ?, total = ?",
            (json.dumps(answer, ensure_ascii=False), rendered, pages, pages),
            job,
            owner,
        )

    def fail(self, job: str, owner: str, problem: Problem) -> None:
        """Keep why a job failed, if it is still the owner's."""
        self._end("UPDATE jobs SET status = 'failed', problem = ?", (json.dumps(problem.as_dict()),), job, owner)

    def cancel(self, job: str) -> None:
        """End a job, and delete its documents and its result."""
        with self._open() as store:
            store.execute(
                "UPDATE jobs SET status = 'cancelled', updated = ?, answer = NULL, rendered = NULL WHERE id = ?",
                (time.time(), job),
            )
            _forget_input(store, job)

    def result(self, job: Job) -> tuple[dict[str, Any], bytes | None]:
        """Return a job's answer, and its rendered output where there is one.

        Raises:
            Problem: there is none yet, or none any more (409); or the one that the job failed with.
        """
        if job.problem:
            raise Problem.from_dict(job.problem)
        with self._open() as store:
            row = store.execute("SELECT answer, rendered FROM jobs WHERE id = ?", (job.id,)).fetchone()
        if row is None or row["answer"] is None:
            detail = f"The job is {job.status}: there is no result {'any more' if job.over else 'yet'}."
            raise Problem(HTTPStatus.CONFLICT, "no-result", "There is no result", detail, job_status=job.status)
        return json.loads(row["answer"]), row["rendered"]

    def counts(self) -> dict[str, int]:
        """Return how many jobs there are of each status."""
        with self._open() as store:
            return dict(store.execute("SELECT status, count(*) FROM jobs GROUP BY status").fetchall())

    def sweep(self) -> None:
        """Delete jobs that ended long enough ago."""
        old = time.time() - self._limits.job_days * 86400
        with self._open() as store:
            store.execute("DELETE FROM jobs WHERE updated < ? AND status IN ('done', 'failed', 'cancelled')", (old,))

    def _end(self, update: str, values: tuple[Any, ...], job: str, owner: str) -> None:
        where = f"{update}, updated = ? WHERE id = ? AND owner = ? AND status = 'running'"
        with self._open() as store:
            if store.execute(where, (*values, time.time(), job, owner)).rowcount:
                _forget_input(store, job)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """Yield a connection with a transaction, which the end of the block commits."""
        with closing(sqlite3.connect(self._file, timeout=30)) as store:
            store.row_factory = sqlite3.Row
            store.execute("PRAGMA synchronous = NORMAL")
            store.execute("PRAGMA secure_delete = ON")
            with store:
                yield store


def _forget_input(store: sqlite3.Connection, job: str) -> None:
    store.execute("DELETE FROM inputs WHERE job = ?", (job,))
    store.execute("DELETE FROM pages WHERE job = ?", (job,))


def _job(row: sqlite3.Row) -> Job:
    kept = json.loads(row["options"])  # after a rollback it may hold options of a newer version
    options = {name: kept[name] for name in OPTIONS if name in kept}
    region = tuple(options["region"]) if options["region"] else None
    return Job(
        id=row["id"],
        status=row["status"],
        options=Options(**(options | {"languages": tuple(options["languages"]), "region": region})),
        created=row["created"],
        updated=row["updated"],
        begun=row["begun"],
        done=row["done"],
        total=row["total"],
        problem=json.loads(row["problem"]) if row["problem"] else None,
    )


def _shown(moment: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment))
