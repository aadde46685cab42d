"""Draw pages that are hard to read in one known way each, the same pixels at every run.

Every kind is drawn in a serif and in a sans-serif, with two texts of about sixty words.
"""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from PIL import Image, ImageChops, ImageDraw, ImageFilter

from tools.draw_samples import font

TEXTS = (
    """\
The ferry to the outer islands leaves at 7:45
from pier 12 and calls at Sandholm, Grey Rock
and Northhaven. Tickets cost 18.50 and are sold
on board; children under six travel free.
Bicycles go on the lower deck, dogs on a lead.
In strong wind the crossing may be cancelled,
so please listen to the notices at the quay.
Lost property is kept for 30 days in room 4B.""",
    """\
Order No. 20731 was packed on 14 March 2023:
two boxes of candles, one brass lantern with a
spare wick, and six jars of linseed oil.
The parcel weighs 9.6 kg and travels by rail.
Should anything be missing or broken, write to
the warehouse within ten days, and enclose this
slip. Refunds are paid to the same account.
Questions? Call 555 0142 between 9 and 5.""",
)
FACES = ("DejaVuSerif.ttf", "DejaVuSans.ttf")
SIZE = 32
LANCZOS = Image.Resampling.LANCZOS


@dataclass(frozen=True)
class Drawing:
    """Hold a drawn page as a file, with its kind and its text."""

    kind: str
    data: bytes
    text: str


def drawings(kinds: Iterable[str] | None = None) -> Iterator[Drawing]:
    """Yield every kind, or those named, in both faces."""
    for kind in KINDS if kinds is None else kinds:
        draw = KINDS[kind]
        for number, (text, face) in enumerate(zip(TEXTS, FACES, strict=True)):
            image, truth = draw(text, face, random.Random(f"{kind} {number}"))
            buffer = io.BytesIO()
            image.save(buffer, "JPEG" if image.mode == "CMYK" else "PNG")
            yield Drawing(kind, buffer.getvalue(), truth)


Maker = Callable[[str, str, random.Random], tuple[Image.Image, str]]


def page(text: str, face: str, size: int = SIZE, ink: int = 20, paper: int = 245) -> Image.Image:
    """Draw a text in grey, with a margin of three lines around it."""
    style = font(face, size)
    probe = ImageDraw.Draw(Image.new("L", (1, 1)))
    box = probe.multiline_textbbox((0, 0), text, style, spacing=size // 2)
    image = Image.new("L", (round(box[2]) + 6 * size, round(box[3]) + 6 * size), paper)
    ImageDraw.Draw(image).multiline_text((3 * size, 3 * size), text, ink, style, spacing=size // 2)
    return image


def _each(change: Callable[[Image.Image, random.Random], Image.Image], **how: int) -> Maker:
    return lambda text, face, chance: (change(page(text, face, **how), chance), text)


def _skewed(degrees: float) -> Maker:
    return _each(lambda image, _: image.rotate(degrees, Image.Resampling.BICUBIC, expand=True, fillcolor=245))


def _turned(degrees: int) -> Maker:
    return _each(lambda image, _: image.rotate(degrees, expand=True))


def _grains(image: Image.Image, grain: Callable[[], int]) -> Image.Image:
    return Image.frombytes("L", image.size, bytes(grain() for _ in range(image.width * image.height)))


def _noise(image: Image.Image, chance: random.Random, sigma: float) -> Image.Image:
    grain = Image.frombytes(
        "L",
        image.size,
        bytes(min(255, max(0, int(chance.gauss(128, sigma)))) for _ in range(image.width * image.height)),
    )
    return ImageChops.add(image, grain, offset=-128)


def _uneven(image: Image.Image, _: random.Random) -> Image.Image:
    """Let the light fall off to the right, and a shadow with a soft edge lie over the left."""
    width, height = image.size
    light = Image.linear_gradient("L").rotate(90).resize(image.size).point(lambda value: 90 + value * 165 // 255)
    shadow = Image.new("L", image.size, 255)
    ImageDraw.Draw(shadow).polygon([(0, height // 3), (width // 2, height), (0, height)], fill=110)
    return ImageChops.multiply(ImageChops.multiply(image, light), shadow.filter(ImageFilter.GaussianBlur(12)))


def _bands(text: str, face: str, _: random.Random) -> tuple[Image.Image, str]:
    """Print every other pair of lines light on a dark band."""
    image = page(text, face)
    step = ImageDraw.Draw(image).multiline_textbbox((0, 0), "|\n|", font(face, SIZE), spacing=SIZE // 2)[3]
    step -= ImageDraw.Draw(image).textbbox((0, 0), "|", font(face, SIZE))[3]
    for number in range(0, len(text.splitlines()), 4):
        top = round(3 * SIZE + number * step)
        band = (SIZE, top, image.width - SIZE, round(top + 2 * step))
        image.paste(ImageChops.invert(image.crop(band)), band)
    return image, text


def _columns(text: str, face: str, _: random.Random) -> tuple[Image.Image, str]:
    left, right = page(text, face), page(TEXTS[1 - TEXTS.index(text)], face)
    image = Image.new("L", (left.width + right.width, max(left.height, right.height)), 245)
    image.paste(left, (0, 0))
    image.paste(right, (left.width, 0))
    return image, f"{text}\n{TEXTS[1 - TEXTS.index(text)]}"


def _transparent(image: Image.Image, _: random.Random, ink: str) -> Image.Image:
    layer = Image.new("RGBA", image.size, ink)
    layer.putalpha(ImageChops.invert(image))
    return layer


def _coloured(image: Image.Image, _: random.Random) -> Image.Image:
    bands = (lambda value: 60 + (245 - value) * 3 // 4, lambda value: value * 3 // 4, lambda _: 60)
    return Image.merge("RGB", tuple(image.point(band) for band in bands))


def _boxed(image: Image.Image, _: random.Random) -> Image.Image:
    """Put the page on a dark table, and frame the text."""
    draw = ImageDraw.Draw(image)
    draw.rectangle((SIZE * 2, SIZE * 2, image.width - SIZE * 2, image.height - SIZE * 2), outline=30, width=4)
    table = Image.new("L", (image.width + 200, image.height + 160), 25)
    table.paste(image, (120, 60))
    return table


def _faded(image: Image.Image, chance: random.Random) -> Image.Image:
    """Print with dots that do not quite touch, as a worn thermal printer does."""
    holes = Image.frombytes(
        "L", image.size, bytes(255 if chance.random() < 0.35 else 0 for _ in range(image.width * image.height))
    )
    return ImageChops.lighter(image, holes.point(lambda value: value * 235 // 255)).filter(
        ImageFilter.GaussianBlur(0.6)
    )


KINDS: dict[str, Maker] = {
    "plain": _each(lambda image, _: image),
    **{f"skewed {degrees:+g}°": _skewed(degrees) for degrees in (-0.7, 2, -3.5, 5, -10)},
    **{f"turned {degrees}°": _turned(-degrees) for degrees in (90, 180, 270)},
    "turned 180°, skewed": _skewed(177),
    "inverted": _each(lambda image, _: ImageChops.invert(image)),
    "inverted bands": _bands,
    "low contrast": _each(lambda image, chance: _noise(image, chance, 2), ink=200, paper=225),
    "low contrast, dark": _each(lambda image, chance: _noise(image, chance, 2), ink=25, paper=50),
    "uneven light": _each(_uneven),
    "noise": _each(lambda image, chance: _noise(image, chance, 45)),
    "faded": _each(_faded),
    "blurred": _each(lambda image, _: image.filter(ImageFilter.GaussianBlur(3))),
    "small print": _each(lambda image, _: image.resize([side // 3 for side in image.size], LANCZOS)),
    "large print": _each(lambda image, _: image, size=150),
    "columns": _columns,
    "framed on a table": _each(_boxed),
    "red on green": _each(_coloured),
    "CMYK": _each(lambda image, _: image.convert("RGB").convert("CMYK")),
    "16-bit": _each(lambda image, _: image.convert("I").point(lambda value: value * 257).convert("I;16")),
    "1-bit": _each(lambda image, _: image.convert("1")),
    "palette": _each(lambda image, _: image.convert("RGB").convert("P", palette=Image.Palette.ADAPTIVE, colors=16)),
    "transparent, dark ink": _each(lambda image, chance: _transparent(image, chance, "black"), paper=255, ink=0),
    "transparent, light ink": _each(lambda image, chance: _transparent(image, chance, "white"), paper=255, ink=0),
}
