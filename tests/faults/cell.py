"""A row of the fault matrix."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from tests.faults.faults import Scene
from tests.faults.index import PACKAGE

PHASES = ("preflight", "unpack", "environment", "boot", "gate", "promote", "observe", "drain", "tag", "prune")
BEFORE = PHASES[: PHASES.index("drain")]
"""The phases in which the old release can still take over again."""
UNPROMOTED = PHASES[: PHASES.index("observe")]
"""The phases in which `current` names the old release."""
KILLED = -signal.SIGKILL


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One row: a fault in a phase, and what is expected."""

    fault: str
    phase: str
    do: Callable[[Scene], Any]
    exit: int | tuple[int, ...] | None = 0
    """The command's exit status, or those it may be; None where the fault meets no command."""
    says: str = ""
    """A regular expression for the message that names the cause."""
    serves: Literal["old", "new", "either"] = "old"
    lost: Literal["", "in flight"] = ""
    """`in flight`: a serving process is killed with -9, so each client may fail once."""
    state: str = "running"
    """What status tells after the fault, before the next command."""
    bundle: Mapping[str, Any] = field(default_factory=dict)
    base: Mapping[str, Any] = field(default_factory=dict)
    """How the release that serves differs."""
    words: tuple[str, ...] = ("deploy",)
    then: Literal["same", "next"] = "next"
    """The next deploy: of the same bundle once the fault is over, or of another."""
    place: Literal["home", "disk", "clock", "first"] = "home"
    """The target: one that cells share, a small disk, one whose clock can jump, or one where nothing was deployed."""
    serving: bool = True
    """Whether the service is meant to serve while the fault happens."""

    def __str__(self) -> str:
        return f"{self.fault}-{self.phase or 'idle'}".replace(" ", "_")


def package(phase: str) -> dict[str, Any]:
    """Let the bundle need a package of its own, so that the installer has something to do."""
    return {"requirements_text": f"{PACKAGE}\n"} if phase == "environment" else {}
