"""What a deploy is going to do, and the release that is to serve."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ocrpack.bundle import Manifest
from ocrpack.deploy.proof.app_client import Address, public
from ocrpack.deploy.store import environments
from ocrpack.deploy.store.interpreters import Python
from ocrpack.deploy.store.layout import Deployment
from ocrpack.deploy.store.state import Launch, Record
from ocrpack.deploy.tracking import git_tag
from ocrpack.descriptor import Descriptor
from ocrpack.errors import Finding
from ocrpack.logs import timestamp

if TYPE_CHECKING:
    from ocrpack.deploy.steps.missing_weights import Supply  # what fetches files takes long to import


@dataclass(frozen=True, kw_only=True)
class Target:
    """A release that is to serve: all that its processes need, and what will be known of it."""

    deployment: Deployment
    release: str
    descriptor: Descriptor
    record: Record
    host: str
    port: int
    secrets: Mapping[str, str]

    @property
    def folder(self) -> Path:
        """Where the release is unpacked."""
        return self.deployment.releases / self.release

    @property
    def programs(self) -> Path:
        """Where the programs of its environment are."""
        return Path(self.record.launch.python).parent

    @property
    def url(self) -> str:
        """Where it is going to answer."""
        return str(self.public.reachable)

    @property
    def public(self) -> Address:
        """Where it is going to answer everybody."""
        return public(self.record.launch, self.secrets, self.host, self.port)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a deploy is going to do."""

    manifest: Manifest
    descriptor: Descriptor
    deployment: Deployment
    python: Python
    uv: Path | None
    environment_key: str
    environment_ready: bool
    offline: bool
    signer: str | None
    supply: Supply
    host: str
    port: int
    secrets: dict[str, str]
    ledger: git_tag.Ledger | None
    warnings: tuple[Finding, ...]

    @property
    def release(self) -> str:
        """The name of the release that the bundle becomes."""
        return self.manifest.release

    @property
    def url(self) -> str:
        """Where the service is going to answer."""
        return str(Address(self.host, self.port, tls=self.descriptor.app.tls is not None).reachable)

    def target(self, made: environments.Environment, boot_seconds: float | None) -> Target:
        """Return the release with all that the supervisor needs to start it."""
        app = self.descriptor.app
        health = self.descriptor.endpoint("health", "ready")
        launch = Launch(
            python=str(made.python),
            pycache=str(made.pycache),
            entrypoint=app.entrypoint,
            interface=app.interface,
            workers=app.server_processes,
            threads=app.server_threads,
            boot_seconds=boot_seconds or app.boot_seconds,
            request_seconds=app.request_seconds,
            env=dict(self.descriptor.env),
            secrets=self.descriptor.secrets,
            drain_seconds=app.drain_seconds,
            max_requests=app.server_max_requests,
            health=health.path if health else "",
            tokens=app.tokens,
            certificate=app.tls.files[0] if app.tls else "",
            key=app.tls.files[1] if app.tls else "",
        )
        record = Record(
            version=self.manifest.version,
            digest=self.manifest.digest,
            environment=self.environment_key,
            promoted=timestamp(),
            launch=launch,
            ledger=str(self.ledger.path) if self.ledger else None,
            signer=self.signer,
        )
        return Target(
            deployment=self.deployment,
            release=self.release,
            descriptor=self.descriptor,
            record=record,
            host=self.host,
            port=self.port,
            secrets=self.secrets,
        )
