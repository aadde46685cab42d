"""Options that several commands share."""

from __future__ import annotations

import re
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ocrpack.errors import PreflightError, UsageError
from ocrpack.logs import timestamp

if TYPE_CHECKING:
    from ocrpack.deploy.store.layout import Root

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout, and nothing else there.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no prose.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and change nothing.")]
LockWait = Annotated[
    float, typer.Option("--lock-wait", metavar="SECONDS", min=0, help="Wait that long for another command's lock.")
]
RootFolder = Annotated[
    Path | None,
    typer.Option(
        "--root", envvar="OCRPACK_ROOT", metavar="DIR", help="The folder that ocrpack owns on this machine.",
        show_default="the platform's user data folder",
    ),
]  # fmt: skip
Name = Annotated[str | None, typer.Argument(metavar="[NAME]", help="The deployment; not needed where there is one.")]

_SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*(s|sec|m|min|h|d|w)")
_UNIT_SECONDS = {"s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 604800}


def moment(text: str | None, now: float | None = None) -> str:
    """Return the moment that `1h`, `30m`, `2d` (ago) or an ISO 8601 date or time means, as the journal writes it.

    Raises:
        UsageError: it means no moment.
    """
    if not text:
        return ""
    span = _SPAN.fullmatch(text.strip())
    try:
        if span:
            return timestamp((time.time() if now is None else now) - float(span[1]) * _UNIT_SECONDS[span[2]])
        return timestamp(datetime.fromisoformat(text).timestamp())
    except (ValueError, OverflowError, OSError):
        raise UsageError(f"{text!r} is no time", "write 30s, 10m, 1h, 2d, or 2026-01-31T08:00") from None


def find_root(path: Path | None) -> Root:
    """Return the root that is asked for, else the default one.

    Raises:
        PreflightError: this is Windows.
    """
    if sys.platform == "win32":
        raise PreflightError(
            "this command runs on Linux and macOS", "on Windows, follow SETUP.md in the bundle, or use WSL"
        )
    from ocrpack.deploy.store.layout import Root, default_root

    return Root((path or default_root()).expanduser().absolute())
