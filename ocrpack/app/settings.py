"""Read from a bundle's descriptor what the app needs to know."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .engines import Model, Weight

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Settings:
    """Hold the descriptor's values that the app uses, with paths made absolute."""

    name: str
    version: str
    summary: str
    model: Model
    engine: str
    threads: int
    request_seconds: float
    host: str
    port: int
    example: Path | None

    @classmethod
    def load(cls, folder: Path) -> Settings:
        """Return the settings of the bundle unpacked in `folder`; its descriptor was validated when it was built."""
        folder = folder.resolve()
        raw: dict[str, Any] = json.loads((folder / "descriptor.json").read_text(encoding="utf-8"))
        model, app = raw["model"], raw["app"]
        samples = raw.get("samples") or []
        example = folder / samples[0]["image"] if samples else None
        return cls(
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
            threads=app.get("threads") or 8,
            request_seconds=app.get("request_seconds") or 120,
            host=raw.get("host") or "127.0.0.1",
            port=raw.get("port") or 8000,
            example=example if example and example.is_file() else None,
        )
