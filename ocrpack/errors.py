"""Findings, and the errors that carry them: every exception class owns its exit code.

The library raises, `ocrpack.cli` alone turns an error into a message and an exit status.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

Severity = Literal["error", "warning", "info"]


@dataclass(frozen=True)
class Where:
    """The place a finding speaks of; line and column count from 1."""

    file: str
    line: int | None = None
    column: int | None = None
    pointer: str | None = None

    def __str__(self) -> str:
        return ":".join(str(part) for part in (self.file, self.line, self.column) if part is not None)


@dataclass(frozen=True)
class Finding:
    """One thing that a check found: what, where, and how to mend it.

    `code` is stable across versions, so that scripts may match it; `message` is for people and may change.
    """

    code: str
    message: str
    remedy: str = ""
    where: Where | None = None
    expected: str | None = None
    got: str | None = None
    severity: Severity = "error"

    def as_dict(self) -> dict[str, Any]:
        """Return the finding as JSON-ready values."""
        return asdict(self)

    def as_warning(self) -> Finding:
        """Return the same finding with the severity `warning`."""
        return replace(self, severity="warning")


@dataclass
class OcrpackError(Exception):
    """An expected failure with a documented exit code.

    `message` says what failed, where, what was expected and got; `remedy` says what to do next.
    """

    exit_code: ClassVar[int] = 1
    code: ClassVar[str] = "unexpected"
    meaning: ClassVar[str] = "an unexpected fault (the message names a log file to attach)"

    message: str
    remedy: str = ""
    findings: tuple[Finding, ...] = field(default=())
    answer: dict[str, Any] = field(default_factory=dict, kw_only=True)
    """What the command had to answer besides, for `--json`."""

    def __post_init__(self) -> None:
        super().__init__(self.message)

    def __str__(self) -> str:
        return self.message

    def as_dict(self) -> dict[str, Any]:
        """Return the `error` object of the `--json` answers."""
        return {
            "code": self.code,
            "exit_code": self.exit_code,
            "message": self.message,
            "remedy": self.remedy,
            "findings": [finding.as_dict() for finding in self.findings],
        }


class UsageError(OcrpackError):
    """The command line asks for something that cannot be meant."""

    exit_code, code, meaning = 2, "usage", "wrong usage"


class DescriptorError(OcrpackError):
    """The descriptor, or the source folder that it describes, is unsound."""

    exit_code, code, meaning = 10, "descriptor", "the descriptor or its source folder is unsound"


class BundleError(OcrpackError):
    """The bundle is corrupt or hostile."""

    exit_code, code, meaning = 11, "bundle", "the bundle is corrupt or hostile"


class PreflightError(OcrpackError):
    """This machine cannot run the bundle as it is."""

    exit_code, code, meaning = 12, "preflight", "this machine can't run it as it is"


class EnvironmentSetupError(OcrpackError):
    """The virtual environment could not be made or lacks a module."""

    exit_code, code, meaning = 13, "environment", "the virtual environment could not be made"


class BootError(OcrpackError):
    """The app did not come up, or did not become ready in time."""

    exit_code, code, meaning = 14, "boot", "the app did not come up"


class SmokeError(OcrpackError):
    """A sample went through the app and the answer was wrong, late or missing."""

    exit_code, code, meaning = 15, "smoke", "the smoke test failed: the text was wrong, late or missing"


class LockedError(OcrpackError):
    """Another command holds the deployment's lock."""

    exit_code, code, meaning = 16, "locked", "another command holds the deployment's lock"


class ConflictError(OcrpackError):
    """The same version exists with other content."""

    exit_code, code, meaning = 17, "conflict", "the same version exists with other content"


class VerifyError(OcrpackError):
    """A running or stopped deployment is not what its manifest says."""

    exit_code, code, meaning = 18, "verify", "verify found problems"


class NotFoundError(OcrpackError):
    """The named deployment, bundle, release or folder does not exist."""

    exit_code, code, meaning = 19, "not-found", "not found"


class InterruptedByUserError(OcrpackError):
    """The command was interrupted."""

    exit_code, code, meaning = 130, "interrupted", "interrupted"


@contextlib.contextmanager
def explained_io(what: str, place: Path) -> Iterator[None]:
    """Turn a failure of the file system in the block into an error that says what could not be done, and where.

    Raises:
        PreflightError: the disk is full, or a file cannot be read or written.
    """
    try:
        yield
    except OSError as error:
        where = error.filename or place
        raise PreflightError(f"cannot {what}: {where}: {error.strerror or error}", io_remedy(error)) from error


def io_remedy(error: OSError) -> str:
    """Return what to do about a failure of the file system."""
    full = error.errno in {errno.ENOSPC, errno.EDQUOT}
    return "free some space" if full else "check the path and its permissions"
