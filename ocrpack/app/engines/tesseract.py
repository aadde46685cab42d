"""Read images with Tesseract: in this process through tesserocr, or through the system's command and pytesseract.

tesserocr keeps the model in memory and reads faster; the command is there where tesserocr has no wheel. Both are
pointed at the packed weights alone, never at language data that the machine happens to have.
"""

from __future__ import annotations

import os
import shlex
import sys
import time
from dataclasses import replace
from functools import partial
from statistics import fmean
from typing import TYPE_CHECKING, Protocol

from PIL import Image

from . import Line, Page, RefusedError
from .hocr import parse

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from . import Box, Model, Polygon

# Tesseract's own threads cost more than they bring, and several workers of them starve each other. OpenMP reads this
# when the library is loaded, so it stands before any import of it.
os.environ.setdefault("OMP_THREAD_LIMIT", "1")

AUTOMATIC_PAGE = 3

# Upside-down pages come out of Tesseract with a mean confidence of about 0.4, poor but upright receipts with over 0.6.
DOUBTFUL = 0.5


class _Backend(Protocol):
    name: str
    version: str

    def hocr(self, image: Image.Image, dpi: int | None, seconds: float) -> str | bytes: ...


class Tesseract:
    """Read images with Tesseract through whichever of its two backends is there."""

    name = "tesseract"
    shares_by_fork = True

    def __init__(self, make: Callable[[str], _Backend], languages: tuple[str, ...], psm: int) -> None:
        """Load the model's languages with `make`, which takes them the way Tesseract wants them."""
        self._make = make
        self._languages = languages
        self._loaded: dict[tuple[str, ...], _Backend] = {}
        self._turns_over = psm == AUTOMATIC_PAGE
        backend = self._backend(())
        self.backend, self.version = backend.name, backend.version

    def read(self, image: Image.Image, dpi: int | None, languages: tuple[str, ...], seconds: float) -> Page:
        """Return the text of an upright RGB image; what reads badly is read upside down as well.

        Raises:
            RefusedError: Tesseract cannot take this image.
            TimeoutError: reading took longer than `seconds`.
        """
        backend = self._backend(languages)
        deadline = time.monotonic() + seconds
        page = parse(backend.hocr(image, dpi, seconds))
        # Automatic page segmentation finds columns of turned text but cannot tell up from down.
        if not self._turns_over or not page.lines or _confidence(page) >= DOUBTFUL:
            return page
        turned = parse(backend.hocr(image.transpose(Image.Transpose.ROTATE_180), dpi, deadline - time.monotonic()))
        return _turned_over(turned, *image.size) if _confidence(turned) >= DOUBTFUL else page

    def turn(self, image: Image.Image) -> int | None:
        """Return None: without orientation data Tesseract cannot tell."""
        return None

    def _backend(self, languages: tuple[str, ...]) -> _Backend:
        chosen = languages or self._languages
        if chosen not in self._loaded:
            self._loaded[chosen] = self._make("+".join(chosen))
        return self._loaded[chosen]


class _InProcess:
    name = "tesserocr"

    def __init__(self, folder: Path, psm: int, languages: str) -> None:
        from tesserocr import PyTessBaseAPI, tesseract_version

        self.version = tesseract_version().split()[1]
        self._api = PyTessBaseAPI(
            # Tesseract appends file names to this, so the separator at its end is needed.
            path=f"{folder}{os.sep}",
            lang=languages,
            psm=psm,
            variables={"debug_file": os.devnull},
        )

    def hocr(self, image: Image.Image, dpi: int | None, seconds: float) -> str:
        # The API reads from this buffer until Clear, without a copy: the name keeps it alive.
        pixels = image.convert("L").tobytes()
        try:
            self._api.SetImageBytes(pixels, image.width, image.height, 1, image.width)
            if dpi:
                self._api.SetSourceResolution(dpi)
            if not self._api.Recognize(max(1, int(seconds * 1000))):
                raise TimeoutError
            text: str = self._api.GetHOCRText(0)
            return text
        except RuntimeError as error:
            raise RefusedError(str(error)) from error
        finally:
            # Nothing that was learnt from one image may colour the next.
            self._api.Clear()
            self._api.ClearAdaptiveClassifier()


class _Command:
    name = "pytesseract"

    def __init__(self, folder: Path, psm: int, languages: str) -> None:
        import pytesseract

        self._languages = languages
        self._config = f"--tessdata-dir {_quoted(str(folder))} --psm {psm}"
        try:
            self.version = str(pytesseract.get_tesseract_version())
        except pytesseract.TesseractNotFoundError as error:
            raise RuntimeError(
                "the backend pytesseract needs the tesseract command: install the system package tesseract-ocr "
                "(Debian, Ubuntu) or tesseract (Homebrew, Fedora), or set app.options.backend to tesserocr"
            ) from error
        known = pytesseract.get_languages(self._config)
        if missing := [language for language in languages.split("+") if language not in known]:
            raise RuntimeError(f"tesseract cannot load {', '.join(missing)} from {folder}")

    def hocr(self, image: Image.Image, dpi: int | None, seconds: float) -> bytes:
        import pytesseract

        config = f"{self._config} --dpi {dpi}" if dpi else self._config
        try:
            document: bytes = pytesseract.image_to_pdf_or_hocr(
                image, self._languages, config, extension="hocr", timeout=max(0.001, seconds)
            )
        except pytesseract.TesseractError as error:
            raise RefusedError(str(error.message)) from error
        except RuntimeError as error:
            # pytesseract has no exception of its own for this, and TesseractError is a RuntimeError too.
            raise TimeoutError from error
        return document


BACKENDS: dict[str, type[_InProcess] | type[_Command]] = {"tesserocr": _InProcess, "pytesseract": _Command}


def load(model: Model) -> Tesseract:
    """Return Tesseract with the model's languages loaded from its packed weights.

    Raises:
        RuntimeError: a language has no weights, or the backend cannot be had.
    """
    folder, languages = _language_data(model)
    psm = int(model.options.get("psm", AUTOMATIC_PAGE))
    wanted = model.options.get("backend", "auto")
    if wanted not in ("auto", *BACKENDS):
        raise RuntimeError(f"there is no backend {wanted!r}; app.options.backend may be: auto, {', '.join(BACKENDS)}")
    failures = []
    for name, backend in BACKENDS.items():
        if wanted in ("auto", name):
            try:
                return Tesseract(partial(backend, folder, psm), languages, psm)
            except ImportError as error:
                failures.append(f"the Python package {name} cannot be imported ({error})")
    raise RuntimeError(f"no way to call Tesseract: {'; '.join(failures)}; install it into this environment")


def _language_data(model: Model) -> tuple[Path, tuple[str, ...]]:
    """Return the folder of the packed language data, and the languages."""
    packed = {weight.path.stem: weight.path for weight in model.weights if weight.path.suffix == ".traineddata"}
    languages = model.languages or tuple(packed)
    if missing := [language for language in languages if language not in packed]:
        raise RuntimeError(
            f"the model declares {', '.join(missing)} but packs no such language data; "
            f"add weights/{missing[0]}.traineddata to model.weights"
        )
    folders = {packed[language].parent for language in languages}
    if len(folders) != 1:
        raise RuntimeError(f"Tesseract needs its language data in one folder, not in {len(folders)}")
    return folders.pop(), languages


def _confidence(page: Page) -> float:
    known = [word.confidence for line in page.lines for word in line.words if word.confidence is not None]
    return fmean(known) if known else 0.0


def _turned_over(page: Page, width: int, height: int) -> Page:
    """Return what was read from an image turned by 180 degrees, in the coordinates of the image as it was."""

    def box(bbox: Box) -> Box:
        left, top, right, bottom = bbox
        return width - right, height - bottom, width - left, height - top

    def corners(polygon: Polygon) -> Polygon:
        a, b, c, d = ((width - x, height - y) for x, y in polygon)
        return a, b, c, d

    def line(upside: Line) -> Line:
        words = tuple(replace(word, bbox=box(word.bbox), polygon=corners(word.polygon)) for word in upside.words)
        return replace(upside, bbox=box(upside.bbox), polygon=corners(upside.polygon), words=words)

    return replace(page, angle=(page.angle + 180) % 360, lines=tuple(line(upside) for upside in page.lines))


def _quoted(path: str) -> str:
    # pytesseract splits its configuration by the rules of the platform's shell.
    return f'"{path}"' if sys.platform == "win32" else shlex.quote(path)
