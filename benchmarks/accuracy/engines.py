"""Load the engines and models that are installed on this machine."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from ocrpack.app.engines import REGISTRY, load_engine
from ocrpack.app.engines.base import Engine, Model, Weight

NAMES = tuple(REGISTRY)
TESSDATA = [
    Path(os.environ.get("TESSDATA_PREFIX") or "/nowhere"),
    *sorted(Path("/usr/share/tesseract-ocr").glob("*/tessdata")),
    Path("/usr/share/tessdata"),
    Path("/usr/local/share/tessdata"),
    Path("/opt/homebrew/share/tessdata"),
]


def load(name: str, language: str) -> Engine | None:
    """Return an engine that reads `language`; None, with a line on stderr, if its library or model is missing."""
    try:
        return load_engine(name, _model(name, language))
    except (RuntimeError, ImportError) as error:
        print(f"{name} for {language} is left out: {error}", file=sys.stderr)
        return None


def _model(name: str, language: str) -> Model:
    weights: tuple[Weight, ...] = ()
    if name == "tesseract":
        folder = next((folder for folder in TESSDATA if (folder / f"{language}.traineddata").is_file()), TESSDATA[0])
        weights = (Weight(folder / f"{language}.traineddata", "language"),)
    # RapidOCR without weights takes those in its wheel, which read all that is here.
    return Model(f"benchmark-{language}", "0", (language,) if weights else (), weights, {})
