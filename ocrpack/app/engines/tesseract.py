"""Read images with Tesseract: in this process through tesserocr, or through the system's command and pytesseract.

tesserocr keeps the model in memory and reads faster; the command is for platforms where tesserocr has no wheel. Both
use the packed weights only, never language data that the machine happens to have.
"""

from __future__ import annotations

import os
import shlex
import sys
import tempfile
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from .base import Page, RefusedError
from .hocr import parse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from PIL import Image

    from .base import Model

# Tesseract's own threads cost more than they gain, and those of several processes starve each other. OpenMP reads this
# when the library is loaded, so it has to be set before any import of it.
os.environ.setdefault("OMP_THREAD_LIMIT", "1")

AUTOMATIC_PAGE = 3
ORIENTATION_ONLY = 0
ORIENTATION_DATA = "osd"

# Wrong answers about receipts came with a certainty of up to 0.9.
CERTAIN_TURN = 1.5


class _Backend(Protocol):
    name: str
    version: str

    def hocr(self, image: Image.Image, dpi: int | None, seconds: float) -> str | bytes: ...

    def orientation(self, image: Image.Image) -> tuple[int, float] | None:
        """Return by how many degrees to turn the image clockwise, and how certain that is; None without text."""


class Tesseract:
    """Read images with Tesseract through one of its two backends."""

    name = "tesseract"
    shares_by_fork = True
    self_reliant = False

    def __init__(self, make: Callable[[str, int], _Backend], languages: tuple[str, ...], psm: int, osd: bool) -> None:
        """Load the model's languages with `make`, which takes them as `eng+deu`, and a page segmentation mode."""
        self._make = make
        self._languages = languages
        self._psm = psm
        self._osd = osd
        self._loaded: dict[tuple[str, ...], _Backend] = {}
        backend = self._backend((), psm)
        self.backend, self.version = backend.name, backend.version

    def read(self, image: Image.Image, dpi: int | None, languages: tuple[str, ...], seconds: float) -> Page:
        """Return the text of an upright image.

        Raises:
            RefusedError: Tesseract cannot take this image.
            TimeoutError: reading took longer than `seconds`.
        """
        return parse(self._backend(languages, self._psm).hocr(image, dpi, seconds))

    def turn(self, image: Image.Image) -> int | None:
        """Return by how many quarter turns clockwise the text is turned; None if the model lacks orientation data."""
        if not self._osd:
            return None
        found = self._backend((ORIENTATION_DATA,), ORIENTATION_ONLY).orientation(image)
        return -(found[0] // 90) % 4 if found and found[1] >= CERTAIN_TURN else None

    def _backend(self, languages: tuple[str, ...], psm: int) -> _Backend:
        chosen = languages or self._languages
        if chosen not in self._loaded:
            self._loaded[chosen] = self._make("+".join(chosen), psm)
        return self._loaded[chosen]


class _InProcess:
    name = "tesserocr"

    def __init__(self, folder: Path, words: tuple[str, ...], languages: str, psm: int) -> None:
        from tesserocr import PyTessBaseAPI, tesseract_version

        self.version = tesseract_version().split()[1]
        with _word_file(words) as path:
            self._api = PyTessBaseAPI(
                # Tesseract appends file names to this, so the separator at its end is needed.
                path=f"{folder}{os.sep}",
                lang=languages,
                psm=psm,
                variables={"debug_file": os.devnull, **({"user_words_file": path} if path else {})},
            )

    def hocr(self, image: Image.Image, dpi: int | None, seconds: float) -> str:
        try:
            self._show(image)
            if dpi:
                self._api.SetSourceResolution(dpi)
            if not self._api.Recognize(max(1, int(seconds * 1000))):
                raise TimeoutError
            text: str = self._api.GetHOCRText(0)
            return text
        except RuntimeError as error:
            raise RefusedError(str(error)) from error
        finally:
            self._forget()

    def orientation(self, image: Image.Image) -> tuple[int, float] | None:
        try:
            self._show(image)
            found = self._api.DetectOrientationScript()
            return (-found["orient_deg"] % 360, found["orient_conf"]) if found else None
        finally:
            self._forget()

    def _show(self, image: Image.Image) -> None:
        # In grey, since Tesseract would seek a threshold in each of three colours: the same text, a sixth faster.
        # The API reads from this buffer until Clear, without a copy: the name keeps it alive.
        self._pixels = image.convert("L").tobytes()
        self._api.SetImageBytes(self._pixels, image.width, image.height, 1, image.width)

    def _forget(self) -> None:
        """Forget what Tesseract has learnt from this image: it would change how it reads the next."""
        self._api.Clear()
        self._api.ClearAdaptiveClassifier()
        self._pixels = b""


class _Command:
    name = "pytesseract"

    def __init__(self, folder: Path, words: tuple[str, ...], languages: str, psm: int) -> None:
        import pytesseract

        self._languages = languages
        self._words = words
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
            with _word_file(self._words) as path:
                document: bytes = pytesseract.image_to_pdf_or_hocr(
                    image.convert("L"),
                    self._languages,
                    f"{config} --user-words {_quoted(path)}" if path else config,
                    extension="hocr",
                    timeout=max(0.001, seconds),
                )
        except pytesseract.TesseractError as error:
            raise RefusedError(str(error.message)) from error
        except RuntimeError as error:
            # pytesseract has no exception of its own for this, and TesseractError is a RuntimeError too.
            raise TimeoutError from error
        return document

    def orientation(self, image: Image.Image) -> tuple[int, float] | None:
        import pytesseract

        try:
            found = pytesseract.image_to_osd(
                image.convert("L"), self._languages, self._config, output_type=pytesseract.Output.DICT
            )
        except pytesseract.TesseractError:  # too little text to tell
            return None
        return found["rotate"], found["orientation_conf"]


BACKENDS: dict[str, type[_InProcess] | type[_Command]] = {"tesserocr": _InProcess, "pytesseract": _Command}


def load(model: Model) -> Tesseract:
    """Return Tesseract with the model's languages loaded from its packed weights.

    Raises:
        RuntimeError: a language has no weights, or the backend cannot be loaded.
    """
    folder, languages, osd = _language_data(model)
    psm = int(model.options.get("psm", AUTOMATIC_PAGE))
    words = tuple(str(word) for word in model.options.get("user_words", ()))
    wanted = model.options.get("backend", "auto")
    if wanted not in ("auto", *BACKENDS):
        raise RuntimeError(f"there is no backend {wanted!r}; app.options.backend may be: auto, {', '.join(BACKENDS)}")
    failures = []
    for name, backend in BACKENDS.items():
        if wanted in ("auto", name):
            try:
                return Tesseract(partial(backend, folder, words), languages, psm, osd)
            except ImportError as error:
                failures.append(f"the Python package {name} cannot be imported ({error})")
    raise RuntimeError(f"no way to call Tesseract: {'; '.join(failures)}; install it into this environment")


def _language_data(model: Model) -> tuple[Path, tuple[str, ...], bool]:
    """Return the folder of the packed language data, the languages, and whether orientation data is among it."""
    packed = {weight.path.stem: weight.path for weight in model.weights if weight.path.suffix == ".traineddata"}
    languages = model.languages or tuple(language for language in packed if language != ORIENTATION_DATA)
    if missing := [language for language in languages if language not in packed]:
        raise RuntimeError(
            f"the model declares {', '.join(missing)} but packs no such language data; "
            f"add weights/{missing[0]}.traineddata to model.weights"
        )
    folders = {path.parent for name, path in packed.items() if name in (*languages, ORIENTATION_DATA)}
    if len(folders) != 1:
        raise RuntimeError(f"Tesseract needs its language data in one folder, not in {len(folders)}")
    return folders.pop(), languages, ORIENTATION_DATA in packed


@contextmanager
def _word_file(words: tuple[str, ...]) -> Iterator[str | None]:
    """Yield the path of a file with the words, one a line, while Tesseract needs it; None without words."""
    if not words:
        yield None
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "words")
        path.write_text("".join(f"{word}\n" for word in words), encoding="utf-8")
        yield str(path)


def _quoted(path: str) -> str:
    # pytesseract splits its configuration by the rules of the platform's shell.
    return f'"{path}"' if sys.platform == "win32" else shlex.quote(path)
