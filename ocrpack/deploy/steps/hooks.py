"""Run the deployer's and the packager's own commands around a deploy.

Hooks are the shell commands in the descriptor's `hooks`, and executables `ROOT/hooks/NAME`; both run where they exist,
the deployer's first. They run in the release's folder, with its environment's programs first on PATH and with
variables that tell which deploy they belong to. A hook cannot wait for the lock of its own deploy: it is refused.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ocrpack.deploy.store.command_lock import DEPLOY_ID
from ocrpack.deploy.store.layout import Root
from ocrpack.descriptor import Descriptor
from ocrpack.errors import PreflightError
from ocrpack.logs import Journal
from ocrpack.shell import CommandError, run

_LONGEST_ERROR = 8000
Kind = Literal["pre_deploy", "post_deploy", "on_failure"]


@dataclass(frozen=True, kw_only=True)
class Hooks:
    """The hooks of one deploy and what they are told."""

    root: Root
    descriptor: Descriptor
    release: str
    journal: Journal
    url: str
    previous: str | None
    wanted: bool = True
    """False: no hook is run."""

    def run(self, kind: Kind, folder: Path, programs: Path | None = None, error: str = "") -> None:
        """Run the hooks of one kind, one after the other, with their output in the journal.

        Raises:
            PreflightError: one failed, or did not end within the descriptor's `hooks.seconds`.
        """
        if not self.wanted:
            return
        env = {**os.environ, **self._told(kind, error)}
        if programs is not None:
            env["PATH"] = f"{programs}{os.pathsep}{env.get('PATH', os.defpath)}"
        for name, argv in self._commands(kind):
            self.journal.write("note", f"{kind}: {name}", phase="hook")
            try:
                run(argv, cwd=folder, env=env, deadline_s=self.descriptor.hooks.seconds, on_line=self._note())
            except CommandError as failure:
                tail = failure.tail.strip()
                raise PreflightError(
                    f"the {kind} hook {name} failed: {failure.message}" + (f"\n{tail}" if tail else ""),
                    "correct the hook; `ocrpack logs --phase hook --level debug` has its output",
                ) from None

    def _commands(self, kind: Kind) -> Iterator[tuple[str, list[str]]]:
        own = self.root.path / "hooks" / kind
        if own.exists():
            yield str(own), [str(own)]
        for command in getattr(self.descriptor.hooks, kind):
            yield command, ["/bin/sh", "-c", command]

    def _told(self, kind: Kind, error: str) -> dict[str, str]:
        return {
            DEPLOY_ID: self.journal.deploy,
            "OCRPACK_HOOK": kind,
            "OCRPACK_ROOT": str(self.root.path),
            "OCRPACK_NAME": self.descriptor.name,
            "OCRPACK_VERSION": self.descriptor.version,
            "OCRPACK_RELEASE": self.release,
            "OCRPACK_PREVIOUS": self.previous or "",
            "OCRPACK_URL": self.url,
            "OCRPACK_ERROR": _shown(error),
        }

    def _note(self) -> Callable[[str], None]:
        return lambda line: self.journal.write("output", line, phase="hook", level="debug")


def _shown(text: str) -> str:
    """Return a text as a variable can hold it: no NUL, no half characters, and not too long."""
    return text[:_LONGEST_ERROR].replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()
