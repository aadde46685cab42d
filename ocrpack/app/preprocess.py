"""Stand-in until the real one is merged."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

    from .engines import Engine, Page


def read(
    engine: Engine, image: Image.Image, dpi: int | None, languages: tuple[str, ...], seconds: float, steps: str = "auto"
) -> tuple[Page, list[str]]:
    return engine.read(image, dpi, languages, seconds), []
