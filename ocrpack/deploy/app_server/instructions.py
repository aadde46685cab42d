"""What a generation is told when it starts: the message from the supervisor to gunicorn's configuration."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass

VARIABLE = "OCRPACK_GENERATION"
"""The environment variable that holds the message."""


@dataclass(frozen=True, kw_only=True)
class Instructions:
    """How one release is to be served; paths are absolute, times in seconds, descriptors those that were passed."""

    run: str
    """The generation's run folder, which holds its gate."""
    release: str
    interface: str
    listeners: tuple[int, int]
    """The private listener and the public one."""
    handover_fd: int
    """The listener on which the master gives the public one away."""
    secrets_fd: int | None
    """A pipe that holds the secrets as one JSON object, or None."""
    workers: int
    threads: int
    request_seconds: int
    drain_seconds: int
    max_requests: int
    certificate: str
    key: str
    title: str

    def encode(self) -> str:
        """Return the message as text."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def decode(cls, text: str) -> Instructions:
        """Read a message; both sides are of one version, since the supervisor names this file by its path.

        Raises:
            ValueError, TypeError: it is none.
        """
        values = json.loads(text)
        return cls(**{**values, "listeners": tuple(values["listeners"])})
