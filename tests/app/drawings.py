"""Images to read, and where things lie."""

from __future__ import annotations

import importlib.util
import io
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw, ImageFont

PROJECT = Path(__file__).parents[2]
BUNDLE = PROJECT / "bundles" / "tesseract"
TRUTH = "Seven quiet harbours"

_no_package = pytest.mark.skipif(importlib.util.find_spec("tesserocr") is None, reason="tesserocr is not installed")
_no_command = pytest.mark.skipif(shutil.which("tesseract") is None, reason="the tesseract command is not installed")
BACKENDS = [pytest.param("tesserocr", marks=_no_package), pytest.param("pytesseract", marks=_no_command)]


def drawing(mode: str = "L", ink: Any = 0, paper: Any = 255, text: str = TRUTH) -> Image.Image:
    """Return a line of text, drawn large."""
    image = Image.new(mode, (760, 140), paper)
    ImageDraw.Draw(image).text((40, 40), text, ink, ImageFont.load_default(56))
    return image


def encoded(image: Image.Image, kind: str = "PNG", **how: Any) -> bytes:
    """Return the bytes of an image file."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **how)
    return buffer.getvalue()
