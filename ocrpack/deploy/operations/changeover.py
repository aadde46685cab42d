"""What a deploy and a rollback share: a release takes over the service, and is tagged; then what is old goes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from ocrpack import logs
from ocrpack.deploy.proof.prove import Proof
from ocrpack.deploy.steps.hooks import Hooks, Kind
from ocrpack.deploy.steps.options import Options
from ocrpack.deploy.steps.plan import Target
from ocrpack.deploy.steps.promote import bring_into_service
from ocrpack.deploy.steps.prune import prune_deployment
from ocrpack.deploy.steps.recover import restore_service
from ocrpack.deploy.store.layout import Deployment, Root
from ocrpack.deploy.supervisor import client
from ocrpack.deploy.tracking import git_tag
from ocrpack.errors import Finding, OcrpackError, PreflightError
from ocrpack.logs import Event, Journal

_T = TypeVar("_T")


@dataclass(frozen=True)
class Callbacks:
    """Who is told how a deploy goes on: its events, how many bytes there are to unpack, and each part of them."""

    on_event: Callable[[Event], None]
    on_total: Callable[[int], None]
    on_bytes: Callable[[int], None]


@dataclass(frozen=True, kw_only=True)
class Deployed:
    """A deploy or a rollback that is done; phases with their seconds."""

    name: str
    version: str
    digest: str
    release: str
    previous: str | None
    url: str
    tag: str | None
    signer: str | None
    phases: tuple[tuple[str, float], ...]
    proof: Proof
    warnings: tuple[Finding, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the answer of `deploy --json` and `rollback --json`."""
        return {
            "name": self.name,
            "version": self.version,
            "digest": self.digest,
            "release": self.release,
            "previous": self.previous,
            "url": self.url,
            "tag": self.tag,
            "signer": self.signer,
            "phases": [{"name": name, "seconds": seconds} for name, seconds in self.phases],
            "samples": [sample.as_dict() for sample in self.proof.samples],
            "comparison": [one.as_dict() for one in self.proof.comparison],
            "warnings": [finding.as_dict() for finding in self.warnings],
        }


def new_journal(callbacks: Callbacks) -> tuple[Journal, dict[str, float]]:
    """Return the journal of one command, and a dictionary that gets the seconds of each phase once it is done."""
    phases: dict[str, float] = {}

    def hear(event: Event) -> None:
        if event.event == "done" and event.seconds is not None:
            phases[event.phase] = event.seconds
        callbacks.on_event(event)

    return Journal(None, logs.new_deploy_id(), hear), phases


@dataclass(frozen=True, kw_only=True)
class Changeover:
    """One deploy or rollback under way, with what its steps have in common; the deployment's lock is held."""

    root: Root
    deployment: Deployment
    options: Options
    journal: Journal
    hooks: Hooks
    previous: str | None
    """The release that was current before."""
    warnings: list[Finding] = field(default_factory=list)

    def note_installer(self, line: str) -> None:
        """Keep a line that the installer wrote."""
        self.journal.write("output", line, phase="environment", level="debug")

    def serve(self, target: Target) -> Proof:
        """Boot a release, prove it, promote it, observe it, and drain what served before.

        Where that fails, what served before serves on, if need be with a new supervisor.
        """
        try:
            with client.ensure_supervisor(self.deployment, target.host, target.port) as supervisor:
                _require_address(supervisor.status().port, target)
                return bring_into_service(supervisor, target, self.journal, self.options.care)
        except BaseException:  # on Ctrl-C, too
            with contextlib.suppress(OcrpackError, OSError):  # the error at hand is the one to tell
                if self.deployment.current is None:
                    client.stop_supervisor(self.deployment)
                else:
                    restore_service(self.deployment, self.journal)
            raise

    def tag(self, target: Target, ledger: git_tag.Ledger | None, proof: Proof) -> str | None:
        """Tag the version in git and return the tag; a failure is a warning, since the service runs."""

        def step() -> str | None:
            if ledger is None:
                return None
            record = target.record
            made = git_tag.tag_version(
                ledger, self.deployment.name, record.version, digest=record.digest, samples=proof.samples
            )
            self.journal.write("note", f"{made} in {ledger.path}", phase="tag")
            return made

        return self._warn_only("tag", step)

    def prune(self) -> None:
        """Remove the releases that nothing needs any more; a failure is a warning, since the service runs."""

        def step() -> None:
            removed = prune_deployment(self.root, self.deployment, self.options.keep)
            if removed:
                self.journal.write("note", f"removed {', '.join(removed)}", phase="prune")

        self._warn_only("prune", step)

    def _warn_only(self, phase: str, step: Callable[[], _T]) -> _T | None:
        try:
            with self.journal.phase(phase):
                return step()
        except (OcrpackError, OSError) as error:
            remedy = getattr(error, "remedy", "") or "the service runs; mend the cause and deploy again"
            self.warnings.append(Finding(phase, str(error), remedy, severity="warning"))
            return None

    def tell_hooks(self, kind: Kind, folder: Path, programs: Path | None = None, error: str = "") -> None:
        """Run hooks that can change nothing any more: a failure is a warning."""
        try:
            self.hooks.run(kind, folder, programs, error)
        except PreflightError as failure:
            self.journal.write("note", failure.message, phase="hook", level="warning")
            self.warnings.append(Finding("hook", failure.message, failure.remedy, severity="warning"))

    def outcome(self, target: Target, proof: Proof, *, tag: str | None, phases: dict[str, float]) -> Deployed:
        """Return what was done."""
        return Deployed(
            name=self.deployment.name,
            version=target.record.version,
            digest=target.record.digest,
            release=target.release,
            previous=self.previous,
            url=target.url,
            tag=tag,
            signer=target.record.signer,
            phases=tuple(phases.items()),
            proof=proof,
            warnings=tuple(self.warnings),
        )


def _require_address(port: int, target: Target) -> None:
    """Refuse to go on when another deploy has meanwhile given the service another address.

    Raises:
        PreflightError: it has.
    """
    if port != target.port:
        name = target.deployment.name
        raise PreflightError(f"{name} serves on port {port} by now, not on {target.port}", "deploy again")
