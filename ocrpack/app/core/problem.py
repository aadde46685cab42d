"""A fault that stops a request, as problem details (RFC 9457) describe it."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any


class Problem(Exception):  # noqa: N818, this is the RFC's word
    """Stop a request with an HTTP status, and say what is wrong and what to do next."""

    def __init__(
        self, status: HTTPStatus, kind: str, title: str, detail: str, *, retry_after: int | None = None, **members: Any
    ) -> None:
        """Describe the fault; `kind` is its stable name and `members` are further fields of the answer."""
        super().__init__(detail)
        self.status = status
        self.kind = kind
        self.title = title
        self.detail = detail
        self.retry_after = retry_after
        self.members = members

    def as_dict(self) -> dict[str, Any]:
        """Return the problem ready for JSON: for the store of jobs, and for other processes."""
        return {
            "status": self.status.value,
            "kind": self.kind,
            "title": self.title,
            "detail": self.detail,
            "retry_after": self.retry_after,
            "members": self.members,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Problem:
        """Return the problem that `as_dict` described."""
        return cls(
            HTTPStatus(values["status"]),
            values["kind"],
            values["title"],
            values["detail"],
            retry_after=values["retry_after"],
            **values["members"],
        )

    def body(self, request_id: str) -> dict[str, Any]:
        """Return the body of the response to one request."""
        return {
            "type": f"urn:ocrpack:problem:{self.kind}",
            "title": self.title,
            "status": self.status.value,
            "detail": self.detail,
            "instance": f"urn:ocrpack:request:{request_id}",
            **self.members,
        }


def our_fault() -> Problem:
    """Return the problem of a fault in this program; the log has the traceback."""
    detail = "The fault is ours, not your image's; the log has it."
    return Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "fault", "Internal Server Error", detail)


def slow_page(seconds: float) -> Problem:
    """Return the problem of a page that took longer than it may."""
    detail = f"Reading the page was stopped after {seconds:g} seconds. Send a smaller image or a part of it."
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "slow-image", "The image took too long", detail)
