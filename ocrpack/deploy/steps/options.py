"""What the deployer may choose for a deploy or a rollback, beside what the bundle's descriptor says."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ocrpack.deploy.store.interpreters import Installer


@dataclass(frozen=True, kw_only=True)
class Care:
    """How a release is watched on its way: seconds on the public address, and by how much a sample's CER may rise."""

    observe_s: float = 0
    max_regression: float | None = None
    stop_first: bool = False


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the deployer chose; None where the descriptor or a default decides."""

    host: str | None = None
    port: int | None = None
    any_port: bool = False
    tag_repo: Path | None = None
    tag: bool = True
    installer: Installer = "auto"
    boot_seconds: float | None = None
    install_seconds: float = 1800
    lock_wait_s: float = 0
    secrets_file: Path | None = None
    keep: int = 5
    offline: bool = False
    weights: Path | None = None
    allowed_signers: Path | None = None
    hooks: bool = True
    care: Care = field(default_factory=Care)
