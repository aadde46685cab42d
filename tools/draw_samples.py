"""Draw the bundles' samples, image and true text, the same bytes at every run.

Run it from anywhere: `python tools/draw_samples.py [FOLDER]`, a folder a bundle. It needs Pillow and the DejaVu fonts.
"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image, ImageDraw, ImageFilter, ImageFont

BUNDLES = Path(__file__).parent.parent / "bundles"
FONTS = [
    Path("/usr/share/fonts/truetype/dejavu"),
    Path("/usr/share/fonts/dejavu"),
    Path("/Library/Fonts"),
    Path.home() / ".fonts",
]

PARAGRAPH = """\
The lighthouse keeper counted the ships at dusk.
Seventeen had passed since the morning fog lifted,
and each one left a line in his weathered log:
the name, the hour, the bearing, and the flag.
He wrote slowly, for he had all the time there was."""

LANGUAGES = """\
Zwölf Möwen fliegen über die große Brücke am Fluß.
Le garçon a déjà goûté la crème brûlée du château.
El año pasado, mi niño soñó con un pingüino en León.
O coração da cidade não dorme: há canções até às três.
Na zielonej łące pasła się owca, a obok szedł żółw.
Příliš mnoho koní běželo kolem řeky až do večera."""

INVOICE_HEAD = [("Harbour Paper Supplies", "Invoice"), ("12 Quay Street, Northhaven", "No. 2024-0173")]
INVOICE_ROWS = [
    ("Item", "Quantity", "Price", "Total"),
    ("Copy paper, white", "40", "4.25", "170.00"),
    ("Envelopes, window", "12", "6.50", "78.00"),
    ("Ink cartridge, black", "3", "29.90", "89.70"),
    ("Delivery", "1", "9.00", "9.00"),
]
INVOICE_TOTAL = "Amount due: 346.70"

NOTICE = """\
NOTICE TO VISITORS
The reading room is open
from Monday to Friday,
nine in the morning until
half past six. Please leave
bags and umbrellas in the
lockers by the entrance."""


def font(name: str, size: int) -> ImageFont.FreeTypeFont:
    """Return a DejaVu font, wherever this system keeps it."""
    for folder in FONTS:
        if (folder / name).is_file():
            # Basic layout: the result must not depend on whether Pillow was built with raqm.
            return ImageFont.truetype(folder / name, size, layout_engine=ImageFont.Layout.BASIC)
    raise SystemExit(f"{name} is missing; install the DejaVu fonts (Debian: fonts-dejavu)")


def paragraph() -> tuple[Image.Image, str]:
    """Draw a clean paragraph, as a word processor would print it."""
    page = Image.new("L", (1500, 560), 255)
    ImageDraw.Draw(page).multiline_text((90, 80), PARAGRAPH, 0, font("DejaVuSerif.ttf", 42), spacing=30)
    return page, PARAGRAPH


def languages() -> tuple[Image.Image, str]:
    """Draw a line each in German, French, Spanish, Portuguese, Polish and Czech."""
    page = Image.new("L", (1500, 620), 255)
    ImageDraw.Draw(page).multiline_text((90, 80), LANGUAGES, 0, font("DejaVuSans.ttf", 42), spacing=30)
    return page, LANGUAGES


def invoice() -> tuple[Image.Image, str]:
    """Draw an invoice: two columns on top, a table, figures set flush right, some colour."""
    page = Image.new("RGB", (1600, 900), "white")
    draw = ImageDraw.Draw(page)
    plain, bold, large = font("DejaVuSans.ttf", 34), font("DejaVuSans-Bold.ttf", 34), font("DejaVuSans-Bold.ttf", 50)
    draw.text((100, 80), INVOICE_HEAD[0][0], "#1e3a8a", large)
    draw.text((1500, 80), INVOICE_HEAD[0][1], "#1e3a8a", large, anchor="ra")
    draw.text((100, 160), INVOICE_HEAD[1][0], "#333333", plain)
    draw.text((1500, 160), INVOICE_HEAD[1][1], "#333333", plain, anchor="ra")
    draw.rectangle((80, 262, 1520, 336), "#e6ebf7")
    for number, row in enumerate(INVOICE_ROWS):
        y, style = 280 + 86 * number, bold if number == 0 else plain
        draw.text((100, y), row[0], "black", style)
        for x, cell in zip((880, 1190, 1500), row[1:], strict=True):
            draw.text((x, y), cell, "black", style, anchor="ra")
    draw.text((1500, 760), INVOICE_TOTAL, "black", bold, anchor="ra")
    rows = [" ".join(row) for row in [*INVOICE_HEAD, *INVOICE_ROWS]]
    return page, "\n".join([*rows, INVOICE_TOTAL])


def photo() -> tuple[Image.Image, str]:
    """Draw a sign as a phone would photograph it: uneven light, a little blur, upright only by its EXIF."""
    size = (1200, 900)
    light = Image.linear_gradient("L").resize(size).point(lambda value: 232 - value // 4)
    page = Image.merge("RGB", (light, light.point(lambda value: value - 8), light.point(lambda value: value - 24)))
    draw = ImageDraw.Draw(page)
    draw.multiline_text((110, 90), NOTICE, "#26221c", font("DejaVuSans.ttf", 56), spacing=32)
    return page.filter(ImageFilter.GaussianBlur(1.2)).transpose(Image.Transpose.ROTATE_90), NOTICE


SAMPLES = {
    "tesseract": {"paragraph.png": paragraph, "invoice.png": invoice, "photo.jpg": photo},
    "rapidocr": {"languages.png": languages, "invoice.png": invoice, "photo.jpg": photo},
}


def main(folder: Path) -> None:
    """Write the samples of all bundles and their texts below `folder`."""
    turned = Image.Exif()
    turned[0x0112] = 6  # orientation: the camera was held upright, so turn clockwise to show
    for bundle, samples in SAMPLES.items():
        (folder / bundle / "samples").mkdir(parents=True, exist_ok=True)
        for name, draw in samples.items():
            image, text = draw()
            path = folder / bundle / "samples" / name
            if path.suffix == ".jpg":
                image.save(path, quality=88, exif=turned)
            else:
                image.save(path, optimize=True, dpi=(200, 200))
            path.with_suffix(".txt").write_text(text + "\n", encoding="utf-8")
            print(path, image.size, f"{path.stat().st_size} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else BUNDLES)
