"""Decode an image of any common format into upright RGB pixels, or raise a problem that says why not."""

from __future__ import annotations

import math
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import IO, TYPE_CHECKING, Any

from PIL import ExifTags, Image, ImageOps, ImageStat, UnidentifiedImageError

from ..core.problem import Problem
from ..core.settings import Limits

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_SIDE = 32_767  # what fits Tesseract's 16-bit coordinates
PLAUSIBLE_DPI = range(70, 2401)

# The formats of scans, faxes, screenshots and photographs. Each further one would let hostile bytes reach a decoder.
_WANTED = ("PNG", "JPEG", "TIFF", "BMP", "DIB", "GIF", "WEBP", "PPM", "JPEG2000", "AVIF")
Image.init()
FORMATS = tuple(name for name in _WANTED if name in Image.OPEN)

# Pillow's own guard comes after ours, for sizes that only decoding reveals: it refuses twice this many pixels.
Image.MAX_IMAGE_PIXELS = MAX_SIDE**2 // 2

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""The transposition that undoes each EXIF orientation."""

DEFAULT_LIMITS = Limits()


@dataclass(frozen=True)
class Picture:
    """Hold an upright RGB image, its resolution if that is plausible, and warnings.

    `number` is that of its page in the file, from 1.
    """

    image: Image.Image
    dpi: int | None
    warnings: tuple[str, ...]
    number: int = 1


def check_header(stream: IO[bytes], limits: Limits = DEFAULT_LIMITS) -> None:
    """Refuse a file whose header is no image's, or that of too large a one, before any pixel is decoded.

    Raises:
        Problem: with a 4xx status.
    """
    with faults(stream, limits):
        opened(stream, limits)


def load(stream: IO[bytes], limits: Limits = DEFAULT_LIMITS) -> Picture:
    """Return the first frame of an image, upright, flattened, and in 8-bit RGB.

    Raises:
        Problem: with a 4xx status.
    """
    with faults(stream, limits):
        image = opened(stream, limits)
        note = ("the file holds several frames; the first was read",) if _is_animated(image) else ()
        picture = decoded(image)
        return Picture(picture.image, picture.dpi, picture.warnings + note)


def opened(stream: IO[bytes], limits: Limits) -> Image.Image:
    """Return an image whose header is read, but no pixel; call this, and `decoded`, within `faults`."""
    stream.seek(0)
    image = Image.open(stream, formats=FORMATS)
    refuse_too_large(image.size, limits)
    return image


def decoded(image: Image.Image) -> Picture:
    """Return the current frame of an opened image, upright, flattened, and in 8-bit RGB."""
    dpi, doubt = _resolution(image)
    pixels = _upright(_rgb(image), _orientation(image))
    if pixels is image and _is_animated(image):
        pixels = image.copy()  # the next frame would be decoded into the same memory
    # The engine gets no metadata of the file: pytesseract would encode the pixels as a JPEG once more.
    pixels.info, pixels.format = {}, None
    return Picture(pixels, dpi, (doubt,) if doubt else ())


def refuse_too_large(size: tuple[int, int], limits: Limits) -> None:
    """Raise a problem that names the limit, if an image of this size exceeds one."""
    width, height = size
    if width * height > limits.megapixels * 1e6:
        found = f"It has {width} x {height} pixels, {width * height / 1e6:.1f} megapixels"
        raise _too_large(found, f"{limits.megapixels:g} megapixels")
    if max(size) > MAX_SIDE:
        raise _too_large(f"It has {width} x {height} pixels", f"{MAX_SIDE} pixels a side")


@contextmanager
def faults(stream: IO[bytes], limits: Limits) -> Iterator[None]:
    """Turn whatever Pillow raises into a problem of the input, and silence its warnings.

    Damaged metadata does no harm, and a hostile file could fill the log with it. The filters of warnings belong to the
    whole process, so images are decoded in one thread at a time.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except Problem:
            raise
        except Image.DecompressionBombError as error:
            found = f"It has more than {MAX_SIDE**2 // 10**6} megapixels"
            raise _too_large(found, f"{limits.megapixels:g} megapixels") from error
        except UnidentifiedImageError as error:
            raise _unknown(stream) from error
        # Decoders raise exceptions of any type (OSError, ValueError, SyntaxError, struct.error ...): no list would be
        # complete. Only Pillow runs inside this block.
        except Exception as error:
            raise _broken(error) from error


def no_memory() -> Problem:
    """Return the problem of an image within the limits that needs more memory than there is."""
    return Problem(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "too-large-for-memory",
        "The image is too large for this machine's memory",
        "There was not enough memory to decode it. Scale it down: 300 dpi is plenty for print.",
    )


def _broken(error: Exception) -> Problem:
    # Some decoders raise an OSError when memory runs out.
    if isinstance(error, MemoryError) or "out of memory" in str(error):
        return no_memory()
    return Problem(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "broken-image",
        "The image is broken",
        "The file looks like an image but cannot be decoded: it is cut short, damaged, or of a rare kind. "
        "Open it in an image viewer and save it again as PNG or JPEG.",
    )


def _is_animated(image: Image.Image) -> bool:
    try:
        return bool(getattr(image, "is_animated", False))
    except Exception:  # its second frame is broken; the first may be sound
        return True


def _too_large(found: str, limit: str) -> Problem:
    return Problem(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "image-too-large",
        "The image is too large",
        f"{found}; the limit is {limit}. Scale it down: 300 dpi is plenty for print.",
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
    """Return the file's dpi if it is plausible, else None, and a warning if it is nonsense."""
    claim: Any = image.info.get("dpi")
    try:
        dpi = float(claim[1])
    except (TypeError, ValueError, IndexError, ZeroDivisionError):
        return None, None
    # Pillow gives 1 for a TIFF without a resolution.
    if not math.isfinite(dpi) or dpi <= 1:
        return None, None
    if round(dpi) in PLAUSIBLE_DPI:
        return round(dpi), None
    return None, f"the file claims {dpi:g} dpi, which is not plausible and was ignored"


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation of a decoded image, 1 if its EXIF is damaged; Pillow turns TIFFs by itself."""
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:
        return 1


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    undo = _UPRIGHT.get(orientation)
    return image if undo is None else image.transpose(undo)


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        return _eight_bits(image).convert("RGB")
    if image.has_transparency_data:
        return _flat(image.convert("RGBA"))
    image.load()
    return image if image.mode == "RGB" else image.convert("RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    """Return a deep grey image in 8 bits.

    Pillow would clip all above 255 to white. Files rarely say how many of their bits are used, so white is the largest
    value of the smallest depth that holds the brightest pixel: this is right for 12-bit scans in 16-bit files, too.
    """
    # Pillow inverts shallower images of this kind itself.
    white_is_zero = getattr(image, "tag_v2", {}).get(ExifTags.Base.PhotometricInterpretation) == 0
    if image.mode.startswith("I;16") and image.mode != "I;16":
        image = image.convert("I")
    extrema: Any = image.getextrema()
    brightest = float(extrema[1])
    white = 1 if image.mode == "F" and brightest <= 1 else 2 ** max(8, int(brightest).bit_length()) - 1
    grey = image.point(lambda value: value * (255 / white)).convert("L")
    return ImageOps.invert(grey) if white_is_zero else grey


def _flat(image: Image.Image) -> Image.Image:
    """Return an RGBA image on a background that keeps its ink readable: black for light ink, else white.

    If less than half of it is opaque, that part is ink; otherwise the image has a background of its own.
    """
    alpha = image.getchannel("A")
    coverage = ImageStat.Stat(alpha).mean[0] / 255
    light_ink = 0 < coverage < 0.5 and ImageStat.Stat(image.convert("L"), mask=alpha).mean[0] > 127
    flat = Image.new("RGB", image.size, "black" if light_ink else "white")
    flat.paste(image, mask=alpha)
    return flat
