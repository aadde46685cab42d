"""Stand-in until the real one is merged."""

from __future__ import annotations

import io
from typing import IO, TYPE_CHECKING

from . import imaging

if TYPE_CHECKING:
    from PIL import Image

    from .imaging import Picture
    from .settings import Limits


def chosen(stream: IO[bytes], limits: Limits, wanted: str | None) -> list[int]:
    imaging.check(stream)
    return [0]


def page(stream: IO[bytes], number: int, limits: Limits) -> Picture:
    return imaging.load(stream)


def jpeg(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def preview(stream: IO[bytes], number: int, side: int, limits: Limits) -> bytes:
    image = imaging.load(stream).image
    image.thumbnail((side, side))
    return jpeg(image)
