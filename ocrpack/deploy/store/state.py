"""What a deployment is meant to be: the records that `state.json` holds."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal

STATE_VERSION = 1


@dataclass(frozen=True)
class Launch:
    """All that a supervisor must know to start a release; paths are absolute, times in seconds."""

    python: str
    pycache: str
    entrypoint: str
    interface: str
    workers: int
    threads: int
    boot_seconds: float
    request_seconds: float
    env: dict[str, str]
    secrets: tuple[str, ...]
    drain_seconds: float = 30
    max_requests: int = 0
    """How many requests a worker answers before it is replaced; 0: any number."""
    health: str = ""
    """The path that tells whether the app is well; empty: it has none."""
    tokens: tuple[str, ...] = ()
    """The secrets that hold the tokens which the app asks for."""
    certificate: str = ""
    key: str = ""
    """The files for HTTPS; empty: HTTP."""

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Launch:
        """Return a launch that a file holds as JSON; fields that only a newer ocrpack knows are left out.

        That changes nothing that runs: STATE_VERSION guards `state.json`, and the supervisor's protocol is strict.
        """
        known = {field.name for field in dataclasses.fields(cls)}
        values = {name: value for name, value in values.items() if name in known}
        lists = {name: tuple(values.get(name, ())) for name in ("secrets", "tokens")}
        return cls(**{**values, **lists})


@dataclass(frozen=True)
class Record:
    """What is known of one release that passed its gate."""

    version: str
    digest: str
    environment: str
    promoted: str
    launch: Launch
    samples: tuple[dict[str, Any], ...] = ()
    ledger: str | None = None
    """The git repository that its version is tagged in."""
    signer: str | None = None
    """Who signed its bundle, where that was asked for."""


@dataclass(frozen=True)
class State:
    """The desired state of one deployment, as `state.json` holds it."""

    desired: Literal["running", "stopped"] = "stopped"
    host: str = "127.0.0.1"
    port: int = 0
    last_good: str | None = None
    """The release that served before `current`."""
    releases: dict[str, Record] = field(default_factory=dict)
