"""Whatever a page of text comes in, it is read; whatever is no image is the sender's fault."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from typing import TYPE_CHECKING

import pytest
from PIL import Image, ImageChops, ImageOps, ImageStat

from ocrpack.app.core.problem import Problem
from ocrpack.app.images import decode
from tests.app.drawings import TRUTH, drawing, encoded

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from flask.testing import FlaskClient


def _deep(image: Image.Image, white: int) -> Image.Image:
    return image.convert("I").point(lambda value: value * (white / 255)).convert("I;16")


def _turned(orientation: int, kind: str) -> bytes:
    """Return text that is upright only once its EXIF orientation is applied."""
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(drawing("RGB", "black", "white").transpose(undo[orientation]), kind, exif=exif)


def _rgba(ink: tuple[int, int, int, int], paper: tuple[int, int, int, int]) -> Image.Image:
    return drawing("RGBA", ink, paper)


def _window() -> Image.Image:
    """Return a screenshot as desktops make it: a white window inside a transparent margin."""
    margin = Image.new("RGBA", (900, 260), (0, 0, 0, 0))
    margin.paste(_rgba((0, 0, 0, 255), (255, 255, 255, 255)), (70, 60))
    return margin


def _palette_with_transparency() -> bytes:
    image = drawing("P", 1, 0)
    image.putpalette([0, 0, 0, 255, 255, 255])
    return encoded(image, "PNG", transparency=0)


def _phone_photo() -> bytes:
    """Return a JPEG with a second picture inside, as phones save them."""
    return encoded(drawing("RGB", "black", "white"), "MPO", save_all=True, append_images=[drawing("RGB", 0, "white")])


def _frames() -> bytes:
    first, second = drawing("RGB", "black", "white"), drawing("RGB", "black", "white", text="Another page")
    return encoded(first, "GIF", save_all=True, append_images=[second])


READABLE: dict[str, Callable[[], bytes]] = {
    "1-bit": lambda: encoded(drawing("1", 0, 1)),
    "1-bit TIFF, group 4": lambda: encoded(drawing("1", 0, 1), "TIFF", compression="group4"),
    "grey": lambda: encoded(drawing()),
    "grey with alpha": lambda: encoded(drawing("LA", (0, 255), (255, 255))),
    "white on black": lambda: encoded(ImageOps.invert(drawing())),
    "16-bit": lambda: encoded(_deep(drawing(), 65535)),
    "12 bits in 16": lambda: encoded(_deep(drawing(), 4095)),
    "16-bit TIFF": lambda: encoded(_deep(drawing(), 65535), "TIFF"),
    "16-bit TIFF, big endian": lambda: encoded(
        drawing().convert("I").point(lambda v: v * 257).convert("I;16B"), "TIFF"
    ),
    "32-bit TIFF": lambda: encoded(drawing().convert("I").point(lambda value: value * 257), "TIFF"),
    "float TIFF, to 1": lambda: encoded(drawing().convert("F").point(lambda value: value * (1 / 255)), "TIFF"),
    "float TIFF, to 255": lambda: encoded(drawing().convert("F"), "TIFF"),
    "CMYK JPEG": lambda: encoded(drawing("RGB", "black", "white").convert("CMYK"), "JPEG"),
    "CMYK TIFF": lambda: encoded(drawing("RGB", "black", "white").convert("CMYK"), "TIFF"),
    "YCbCr JPEG": lambda: encoded(drawing("RGB", "black", "white"), "JPEG"),
    "grey JPEG": lambda: encoded(drawing(), "JPEG"),
    "palette": lambda: encoded(drawing("RGB", "navy", "ivory").quantize(8)),
    "GIF": lambda: encoded(drawing("RGB", "black", "white"), "GIF"),
    "BMP": lambda: encoded(drawing("RGB", "black", "white"), "BMP"),
    "PBM": lambda: encoded(drawing("1", 0, 1), "PPM"),
    "PPM": lambda: encoded(drawing("RGB", "black", "white"), "PPM"),
    "WebP": lambda: encoded(drawing("RGB", "black", "white"), "WEBP"),
    "JPEG 2000": lambda: encoded(drawing("RGB", "black", "white"), "JPEG2000"),
    "black on transparency": lambda: encoded(_rgba((0, 0, 0, 255), (0, 0, 0, 0))),
    "white on transparency": lambda: encoded(_rgba((255, 255, 255, 255), (255, 255, 255, 0))),
    "white on transparency, WebP": lambda: encoded(_rgba((255, 255, 255, 255), (0, 0, 0, 0)), "WEBP", lossless=True),
    "white on transparency, palette": _palette_with_transparency,
    "half transparent white": lambda: encoded(_rgba((255, 255, 255, 150), (0, 0, 0, 0))),
    "screenshot with a transparent margin": lambda: encoded(_window()),
    "several frames": _frames,
    "MPO": _phone_photo,
    **({"AVIF": lambda: encoded(drawing("RGB", "black", "white"), "AVIF")} if "AVIF" in decode.FORMATS else {}),
    "1 dpi": lambda: encoded(drawing(), dpi=(1, 1)),
    "300 dpi": lambda: encoded(drawing(), dpi=(300, 300)),
    **{f"EXIF orientation {turn}": lambda turn=turn: _turned(turn, "JPEG") for turn in range(2, 9)},
    "EXIF orientation 6, PNG": lambda: _turned(6, "PNG"),
    "EXIF orientation 6, WebP": lambda: _turned(6, "WEBP"),
    "EXIF orientation 6, TIFF": lambda: _turned(6, "TIFF"),
}


@pytest.mark.parametrize("kind", READABLE)
def test_reads_every_kind_of_image(client: FlaskClient, kind: str) -> None:
    answer = client.post("/ocr", data=READABLE[kind](), content_type="application/octet-stream")
    assert answer.status_code == 200, answer.text
    assert answer.json["text"] == TRUTH
    page = answer.json["pages"][0]
    assert page["width"] > page["height"], "the image was not turned upright"


def test_warns_of_what_it_left_out() -> None:
    several = decode.load(io.BytesIO(_frames()))
    assert several.warnings == ("the file holds several frames; the first was read",)
    doubtful = decode.load(io.BytesIO(encoded(drawing(), dpi=(5, 5))))
    assert doubtful.dpi is None
    assert "not plausible" in doubtful.warnings[0]
    assert decode.load(io.BytesIO(encoded(drawing(), dpi=(300, 300)))).dpi == 300
    silent = decode.load(io.BytesIO(encoded(drawing(), "TIFF")))
    assert (silent.dpi, silent.warnings) == (None, ())


def test_pixels_are_the_same_whatever_the_depth() -> None:
    plain = decode.load(io.BytesIO(encoded(drawing()))).image
    for kind in ("16-bit", "32-bit TIFF", "float TIFF, to 1"):
        deep = decode.load(io.BytesIO(READABLE[kind]())).image
        difference = ImageChops.difference(plain, deep).getextrema()
        assert max(high for _, high in difference) <= 1, kind


def test_a_blank_deep_image_is_no_fault() -> None:
    assert decode.load(io.BytesIO(encoded(Image.new("I;16", (20, 20), 0)))).image.getpixel((0, 0)) == (0, 0, 0)


def _broken_exif(kind: str) -> bytes:
    """Return an image whose EXIF says that it has 9 entries, and then ends."""
    return encoded(drawing("RGB", "black", "white"), kind, exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x09\x01\x12")


def _tiff_pointing_nowhere() -> bytes:
    """Return a TIFF whose EXIF and GPS parts would stand behind its end."""
    return encoded(drawing("RGB", "black", "white"), "TIFF", tiffinfo={0x8769: 2**31, 0x8825: 2**31, 0x0112: 1})


def _premultiplied() -> bytes:
    data = encoded(_rgba((0, 0, 0, 255), (0, 0, 0, 0)), "TIFF")
    entry = struct.pack("<HHIH", 338, 3, 1, 2)  # ExtraSamples: unassociated alpha
    assert entry in data
    return data.replace(entry, struct.pack("<HHIH", 338, 3, 1, 1))


def _lab() -> bytes:
    from PIL import ImageCms

    rgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    white = ImageCms.profileToProfile(drawing("RGB", "black", "white"), rgb, lab, outputMode="LAB")
    return encoded(white, "TIFF")


ODD: dict[str, Callable[[], bytes]] = {
    "LAB TIFF": _lab,
    "CMYK JPEG": lambda: encoded(drawing("RGB", "black", "white").convert("CMYK"), "JPEG", quality=95),
    "16-bit TIFF, white is zero": lambda: encoded(_deep(ImageOps.invert(drawing()), 65535), "TIFF", tiffinfo={262: 0}),
    "grey TIFF, white is zero": lambda: encoded(drawing(), "TIFF", tiffinfo={262: 0}),
    "premultiplied alpha": _premultiplied,
    "palette with an alpha channel": lambda: encoded(_rgba((0, 0, 0, 255), (0, 0, 0, 0)).quantize(4)),
    "RGB with a transparent colour": lambda: encoded(
        drawing("RGB", "black", "white"), "PNG", transparency=(255, 255, 255)
    ),
    "16-bit grey with a transparent grey": lambda: encoded(_deep(drawing(), 65535), "PNG", transparency=65535),
    "a colour profile that is none": lambda: encoded(drawing("RGB", 0, "white"), "PNG", icc_profile=b"no profile"),
    **{f"broken EXIF, {kind}": lambda kind=kind: _broken_exif(kind) for kind in ("JPEG", "PNG", "WEBP")},
    "EXIF that points nowhere, TIFF": _tiff_pointing_nowhere,
    "EXIF with a fraction for an orientation": lambda: encoded(
        drawing("RGB", "black", "white"),
        "JPEG",
        exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x05\0\0\0\x01\0\0\0\x1a\0\0\0\0" + bytes(8),
    ),
}


@pytest.mark.parametrize("kind", ODD)
def test_odd_images_come_out_black_on_white(kind: str) -> None:
    picture = decode.load(io.BytesIO(ODD[kind]()))
    assert (picture.image.mode, picture.image.size) == ("RGB", (760, 140))
    difference = ImageChops.difference(picture.image.convert("L"), drawing())
    assert ImageStat.Stat(difference).mean[0] < 3


def test_warnings_and_filters_stay_as_they_were() -> None:
    before = list(warnings.filters)
    decode.load(io.BytesIO(_broken_exif("JPEG")))
    with pytest.raises(Problem):
        decode.load(io.BytesIO(encoded(drawing())[:500]))
    assert warnings.filters == before


def test_a_broken_second_frame_does_not_hinder_the_first() -> None:
    frames = encoded(drawing("RGB", 0, "white"), "GIF", save_all=True, append_images=[drawing(text="Two")])
    picture = decode.load(io.BytesIO(frames[: len(frames) * 2 // 3]))
    assert picture.image.size == (760, 140)


def _header(width: int, height: int) -> bytes:
    """Return a tiny PNG that claims a size."""
    small = bytearray(encoded(Image.new("1", (1, 1))))
    small[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    small[29:33] = zlib.crc32(small[12:29]).to_bytes(4, "big")
    return bytes(small)


FAULTS = {
    "empty": (b"", 400, "no bytes"),
    "text": (b"hello, world, this is text", 415, "none of the formats"),
    "PDF": (b"%PDF-1.7\n%abcdefgh", 415, "This is a PDF"),
    "cut PNG": (encoded(drawing())[:900], 422, "cut short"),
    "cut JPEG": (encoded(drawing(), "JPEG")[:3000], 422, "cut short"),
    "101 megapixels": (_header(10_100, 10_000), 413, "100 megapixels"),
    "a bomb": (_header(60_000, 60_000), 413, "100 megapixels"),
    "a long side": (_header(40_000, 10), 413, "32767 pixels a side"),
}


@pytest.mark.parametrize("kind", FAULTS)
def test_faults_of_the_input_are_named(kind: str) -> None:
    data, status, words = FAULTS[kind]
    for step in (decode.check_header, decode.load):
        if step is decode.check_header and kind.startswith("cut"):
            continue
        with pytest.raises(Problem) as caught:
            step(io.BytesIO(data))
        assert caught.value.status == status
        assert words in caught.value.detail


def test_the_limit_itself_is_allowed() -> None:
    decode.check_header(io.BytesIO(_header(10_000, 10_000)))
    decode.check_header(io.BytesIO(_header(2_000, 1_000)), decode.Limits(megapixels=2))
    decode.check_header(io.BytesIO(_header(20_000, 20_000)), decode.Limits(megapixels=400))


def test_limits_and_sizes_are_named() -> None:
    with pytest.raises(Problem) as caught:
        decode.check_header(io.BytesIO(_header(2_001, 1_000)), decode.Limits(megapixels=2))
    assert caught.value.detail.startswith("It has 2001 x 1000 pixels, 2.0 megapixels; the limit is 2 megapixels")
    with pytest.raises(Problem) as caught:
        decode.check_header(io.BytesIO(_header(60_000, 60_000)), decode.Limits(megapixels=2.5))
    assert "the limit is 2.5 megapixels" in caught.value.detail


def test_hostile_images_do_no_harm(client: FlaskClient, shared_data: Path) -> None:
    files = sorted((shared_data / "hostile-images").iterdir())
    assert files
    for file in files:
        answer = client.post("/ocr", data=file.read_bytes(), content_type="application/octet-stream")
        assert answer.status_code == 200 or 400 <= answer.status_code < 500, (file.name, answer.text)
    assert client.post("/ocr", data=encoded(drawing()), content_type="image/png").json["text"] == TRUTH
