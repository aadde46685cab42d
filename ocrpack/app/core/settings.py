"""Read the app's settings from a bundle's descriptor and the environment."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ..engines.base import Model, Weight
from . import cpu_and_memory

SPARE_THREADS = 8
"""Threads beside those for the queue: for /healthz, /metrics and the page."""


@dataclass(frozen=True)
class Limits:
    """Hold the limits of a request and of the jobs; times are in seconds but `job_days`, sizes in MiB."""

    body_mb: int = 50
    megapixels: int = 100
    pages: int = 500
    page_seconds: float = 60
    job_seconds: float = 3600
    queue: int = 64
    memory_mb: int = 3072
    requests_per_minute: int = 0
    jobs: int = 100
    job_days: float = 7

    @classmethod
    def load(cls, raw: dict[str, Any]) -> Limits:
        """Return the limits that the descriptor declares, defaults for the others."""
        return cls(**{field.name: raw[field.name] for field in fields(cls) if field.name in raw})


@dataclass(frozen=True)
class Settings:
    """Hold the descriptor's values that the app uses, with paths made absolute."""

    folder: Path
    name: str
    version: str
    summary: str
    model: Model
    engine: str
    processes: int
    engine_threads: int
    threads: int
    recycle_pages: int
    request_seconds: float
    limits: Limits
    token_names: tuple[str, ...]
    cors_origins: tuple[str, ...]
    image_urls: tuple[str, ...]
    log_text: bool
    tls: tuple[str, str] | None
    host: str
    port: int
    example: Path | None
    data: Path
    gate: Path | None
    """The file that exists while this generation serves the public; None: it always does."""

    @classmethod
    def load(cls, folder: Path) -> Settings:
        """Return the settings of the bundle unpacked in `folder`; its descriptor was validated when it was built."""
        folder = folder.resolve()
        raw: dict[str, Any] = json.loads((folder / "descriptor.json").read_text(encoding="utf-8"))
        model, app = raw["model"], raw["app"]
        samples = raw.get("samples") or []
        example = folder / samples[0]["image"] if samples else None
        threads = cpu_and_memory.processors() if app.get("profile") == "latency" else 1
        tls = app.get("tls")
        limits = Limits.load(app.get("limits") or {})
        return cls(
            folder=folder,
            name=raw["name"],
            version=raw["version"],
            summary=raw.get("summary") or "",
            model=Model(
                name=model["name"],
                version=model["version"],
                languages=tuple(model.get("languages") or ()),
                weights=tuple(Weight(folder / weight["path"], weight["role"]) for weight in model.get("weights") or ()),
                options=app.get("options") or {},
            ),
            engine=app["engine"],
            processes=app.get("workers") or max(1, cpu_and_memory.processors() // threads),
            engine_threads=threads,
            threads=app.get("threads") or limits.queue + SPARE_THREADS,
            recycle_pages=app.get("max_requests") or 0,
            request_seconds=app.get("request_seconds") or 120,
            limits=limits,
            token_names=tuple(app.get("tokens") or ()),
            cors_origins=tuple(app.get("cors_origins") or ()),
            image_urls=tuple(app.get("image_urls") or ()),
            log_text=bool(app.get("log_text")),
            tls=(os.path.expandvars(tls["certificate"]), os.path.expandvars(tls["key"])) if tls else None,
            host=raw.get("host") or "127.0.0.1",
            port=raw.get("port") or 8000,
            example=example if example and example.is_file() else None,
            data=_data_folder(raw["name"]),
            gate=Path(os.environ["OCRPACK_GATE"]) if os.environ.get("OCRPACK_GATE") else None,
        )


def _data_folder(name: str) -> Path:
    """Return the folder for jobs: the deployment's, else one of this user's in the temporary folder."""
    if given := os.environ.get("OCRPACK_DATA"):
        return Path(given)
    user = os.getuid() if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")
    return Path(tempfile.gettempdir()) / f"ocrpack-{name}-{user}"
