"""Turn the bytes of any image a person may send into upright RGB pixels, or say plainly why not."""

from __future__ import annotations

import math
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import IO, TYPE_CHECKING, Any

from PIL import Image, ImageOps, ImageStat, UnidentifiedImageError

from .problem import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_PIXELS = 100_000_000
MAX_SIDE = 32_767  # what fits Tesseract's 16-bit coordinates
PLAUSIBLE_DPI = range(70, 2401)

# Formats that pages of text come in. Each further one is a decoder that hostile bytes could reach.
_WANTED = ("PNG", "JPEG", "TIFF", "BMP", "DIB", "GIF", "WEBP", "PPM", "JPEG2000", "AVIF")
Image.init()
FORMATS = tuple(name for name in _WANTED if name in Image.OPEN)

# Pillow's own guard, moved to our limit: it looks at the header, and again at sizes that come to light in decoding.
Image.MAX_IMAGE_PIXELS = MAX_PIXELS
warnings.simplefilter("error", Image.DecompressionBombWarning)
# Damaged metadata does not hinder reading, and a hostile file could fill the log with it.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")


@dataclass(frozen=True)
class Picture:
    """Hold an upright RGB image, its resolution where the file's claim is plausible, and what is worth a warning."""

    image: Image.Image
    dpi: int | None
    warnings: tuple[str, ...]


def check(stream: IO[bytes]) -> None:
    """Refuse from its header alone what is no image or too large a one, before any pixel is decoded.

    Raises:
        Problem: with a 4xx status.
    """
    with _faults_are_the_inputs(stream):
        _open(stream)


def load(stream: IO[bytes]) -> Picture:
    """Return the first frame of an image, upright, flattened, and in 8-bit RGB.

    Raises:
        Problem: with a 4xx status.
    """
    with _faults_are_the_inputs(stream):
        image = _open(stream)
        notes = []
        dpi, doubt = _resolution(image)
        if doubt:
            notes.append(doubt)
        if getattr(image, "is_animated", False):
            notes.append("the file holds several frames; the first was read")
        ImageOps.exif_transpose(image, in_place=True)
        image = _rgb(image)
        # Leftovers of the file have no business in the engine: pytesseract would encode the pixels as a JPEG once more.
        image.info, image.format = {}, None
        return Picture(image, dpi, tuple(notes))


def _open(stream: IO[bytes]) -> Image.Image:
    stream.seek(0)
    image = Image.open(stream, formats=FORMATS)
    if max(image.size) > MAX_SIDE:
        raise _too_large(f"One side has {max(image.size)} pixels", f"{MAX_SIDE} pixels a side")
    return image


@contextmanager
def _faults_are_the_inputs(stream: IO[bytes]) -> Iterator[None]:
    """Turn whatever Pillow raises into a problem of the input."""
    try:
        yield
    except Problem:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large("It has too many pixels") from error
    except UnidentifiedImageError as error:
        raise _unknown(stream) from error
    # Decoders raise whatever they stumble over (OSError, ValueError, SyntaxError, struct.error, MemoryError ...), so no
    # list of types would be complete; nothing but Pillow runs inside this block.
    except Exception as error:
        raise Problem(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "broken-image",
            "The image is broken",
            "The file looks like an image but cannot be decoded: it is cut short, damaged, or of a rare kind. "
            "Open it in an image viewer and save it again as PNG or JPEG.",
        ) from error


def _too_large(what: str, limit: str = f"{MAX_PIXELS // 1_000_000} megapixels") -> Problem:
    return Problem(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "image-too-large",
        "The image is too large",
        f"{what}; the limit is {limit}. Scale it down: 300 dpi is plenty for print.",
    )


def _unknown(stream: IO[bytes]) -> Problem:
    stream.seek(0)
    start = stream.read(16)
    if not start:
        return Problem(HTTPStatus.BAD_REQUEST, "empty-image", "The image is empty", "The file has no bytes in it.")
    if start.startswith(b"%PDF"):
        advice = "This is a PDF: turn its pages into images first, for instance with pdftoppm -r 300 -png."
    else:
        known = ", ".join(name for name in FORMATS if name != "DIB")
        advice = f"It starts like none of the formats read here ({known}), or its start is damaged."
    return Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unknown-format", "The file is not a known image", advice)


def _resolution(image: Image.Image) -> tuple[int | None, str | None]:
    """Return the file's dpi where it is plausible, else nothing, and a warning where it claims nonsense."""
    claim: Any = image.info.get("dpi")
    try:
        dpi = float(claim[1])
    except (TypeError, ValueError, IndexError, ZeroDivisionError):
        return None, None
    # Pillow gives 1 for a TIFF that says nothing.
    if not math.isfinite(dpi) or dpi <= 1:
        return None, None
    if round(dpi) in PLAUSIBLE_DPI:
        return round(dpi), None
    return None, f"the file claims {dpi:g} dpi, which is not plausible and was ignored"


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        return _eight_bits(image).convert("RGB")
    if image.has_transparency_data:
        return _flat(image.convert("RGBA"))
    image.load()
    return image if image.mode == "RGB" else image.convert("RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    """Return a deep grey image in 8 bits.

    Pillow would clip all above 255 to white. Files rarely say how many of their bits are used, so white is the top of
    the smallest depth that holds the brightest pixel: 12-bit scans in 16-bit files come out right, too.
    """
    if image.mode.startswith("I;16") and image.mode != "I;16":
        image = image.convert("I")
    extrema: Any = image.getextrema()
    brightest = float(extrema[1])
    white = 1 if image.mode == "F" and brightest <= 1 else 2 ** max(8, int(brightest).bit_length()) - 1
    return image.point(lambda value: value * (255 / white)).convert("L")


def _flat(image: Image.Image) -> Image.Image:
    """Return an RGBA image on the background that keeps its ink readable: black for light ink, else white.

    Where less than half is opaque, what is opaque is ink; where more is, the image brings its own background.
    """
    alpha = image.getchannel("A")
    coverage = ImageStat.Stat(alpha).mean[0] / 255
    light_ink = 0 < coverage < 0.5 and ImageStat.Stat(image.convert("L"), mask=alpha).mean[0] > 127
    flat = Image.new("RGB", image.size, "black" if light_ink else "white")
    flat.paste(image, mask=alpha)
    return flat
