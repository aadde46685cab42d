"""Read while the client waits, as the APIs of all other services do."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from flask import g

from ...core.problem import Problem
from ...work.job_store import Job
from ..routes import note

if TYPE_CHECKING:
    from ...work.options import Options
    from ...work.reading_service import ReadingService
    from ...work.request_work import Upload
    from ..metrics import Metrics


def read(service: ReadingService, metrics: Metrics, uploads: Sequence[Upload], options: Options) -> dict[str, Any]:
    """Return the API's answer for these documents; the caller holds a seat.

    Raises:
        Problem: a document is at fault; or reading takes too long, and goes on as a job (504).
    """
    try:
        found = service.read(uploads, options)
    except Problem as problem:
        # 415 is about the type of the request, which is right: that of the document is not.
        if problem.status == HTTPStatus.UNSUPPORTED_MEDIA_TYPE:
            problem.status = HTTPStatus.UNPROCESSABLE_ENTITY
        raise
    if isinstance(found, Job):
        links = found.as_dict()["links"]
        detail = f"It goes on as a job: see GET {links['self']}, and do not send the document again."
        raise Problem(
            HTTPStatus.GATEWAY_TIMEOUT, "still-reading", "Reading takes longer", detail, job=found.id, links=links
        )
    note(service, metrics, found)
    return service.answer(found, g.request_id, options)
