"""Write an answer as hOCR 1.2 (https://kba.github.io/hocr-spec/1.2/), with Tesseract's ids and nesting, in XHTML."""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING

from .layout import around, one_line, pages

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .layout import Answer, Box, Line, Page, Word

_HEAD = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN" "http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd">
<html xmlns="http://www.w3.org/1999/xhtml" xml:lang="en" lang="en">
 <head>
  <title>{title}</title>
  <meta http-equiv="Content-Type" content="text/html; charset=utf-8"/>
  <meta name="ocr-system" content="{system}"/>
  <meta name="ocr-capabilities" content="ocr_page ocr_carea ocr_par ocr_line ocrx_word"/>
  <meta name="ocr-number-of-pages" content="{count}"/>
 </head>
 <body>
"""


def render(answer: Answer, _: Sequence[bytes] = ()) -> bytes:
    """Return one document with an `ocr_page` for each page; confidences are whole percents, as Tesseract's are."""
    model = answer["model"]
    head = _HEAD.format(
        title="Text read from images",
        system=_safe(f"{answer['engine']}, model {model['name']} {model['version']}"),
        count=len(answer["pages"]),
    )
    body = "".join(part for page in pages(answer) for part in _page(page))
    return f"{head}{body} </body>\n</html>\n".encode()


def _page(page: Page) -> Iterator[str]:
    number = page.number
    image = "image {}; ".format('"{}"'.format(page.source.replace('"', "'"))) if page.source else ""
    resolution = f"; scan_res {page.dpi} {page.dpi}" if page.dpi else ""
    title = f"{image}{_bbox((0, 0, page.width, page.height))}; ppageno {number - 1}{resolution}"
    yield f'  <div class="ocr_page" id="page_{number}" title="{_safe(title)}">\n'
    if page.paragraphs:
        yield f'   <div class="ocr_carea" id="block_{number}_1" title="{_bbox(around(page.lines))}">\n'
        line_number = word_number = 0
        for par, paragraph in enumerate(page.paragraphs, 1):
            yield f'    <p class="ocr_par" id="par_{number}_{par}" title="{_bbox(around(paragraph))}">\n'
            for line in paragraph:
                line_number += 1
                direction = ' dir="rtl"' if line.right_to_left else ""
                title = f"{_bbox(line.bbox)}; {_direction(line)}"
                yield f'     <span class="ocr_line" id="line_{number}_{line_number}" title="{title}"{direction}>\n'
                for word in line.parts:
                    word_number += 1
                    yield _word(word, f"word_{number}_{word_number}") + ("\n" if word.spaced else "")
                yield "     </span>\n"
            yield "    </p>\n"
        yield "   </div>\n"
    yield "  </div>\n"


def _word(word: Word, name: str) -> str:
    certainty = "" if word.confidence is None else f"; x_wconf {round(word.confidence * 100)}"
    return f'<span class="ocrx_word" id="{name}" title="{_bbox(word.bbox)}{certainty}">{escape(word.text)}</span>'


def _bbox(box: Box) -> str:
    return "bbox {} {} {} {}".format(*box)


def _direction(line: Line) -> str:
    """Return quarter turns as `textangle`, counted counter-clockwise, and the skew of upright text as `baseline`."""
    if line.quarter_turns:
        return f"textangle {360 - 90 * line.quarter_turns}"
    slope = round(math.tan(math.radians(line.angle)), 3)
    # The baseline starts at the left, as far above the box's bottom as the text's corner is: a negative offset.
    offset = round(line.polygon[3][1] - line.bbox[3]) if slope else 0
    return f"baseline {slope:g} {offset}"


def _safe(text: str) -> str:
    return escape(one_line(text))
