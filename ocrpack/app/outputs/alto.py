"""Write an answer as ALTO 4.4 (https://www.loc.gov/standards/alto/), in pixels."""

from __future__ import annotations

from html import escape
from itertools import pairwise
from typing import TYPE_CHECKING

from .layout import around, one_line, pages

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .layout import Answer, Box, Line, Page, Word

_HEAD = """<?xml version="1.0" encoding="UTF-8"?>
<alto xmlns="http://www.loc.gov/standards/alto/ns-v4#" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" \
xsi:schemaLocation="http://www.loc.gov/standards/alto/ns-v4# http://www.loc.gov/standards/alto/v4/alto-4-4.xsd" \
SCHEMAVERSION="4.4">
 <Description>
  <MeasurementUnit>pixel</MeasurementUnit>
{source}  <Processing ID="OCR">
   <processingCategory>contentGeneration</processingCategory>
   <processingStepDescription>text recognition</processingStepDescription>
   <processingStepSettings>{settings}</processingStepSettings>
   <processingSoftware>
    <softwareName>{engine}</softwareName>
   </processingSoftware>
  </Processing>
 </Description>
 <Layout>
"""


def render(answer: Answer, _: Sequence[bytes] = ()) -> bytes:
    """Return one document with a `Page` for each page and a `TextBlock` for each paragraph.

    ALTO holds the name of one image file, so it is written if all pages are from one.
    """
    model = answer["model"]
    names = {page.get("source") for page in answer["pages"]}
    name = names.pop() if len(names) == 1 else None
    image = f"<sourceImageInformation><fileName>{_safe(name)}</fileName></sourceImageInformation>" if name else ""
    head = _HEAD.format(
        source=f"  {image}\n" if image else "",
        settings=_safe(f"model {model['name']} {model['version']}; languages {' '.join(answer['languages'])}"),
        engine=_safe(answer["engine"]),
    )
    body = "".join(part for page in pages(answer) for part in _page(page))
    return f"{head}{body} </Layout>\n</alto>\n".encode()


def _page(page: Page) -> Iterator[str]:
    number = page.number
    size = f'WIDTH="{page.width}" HEIGHT="{page.height}"'
    yield f'  <Page ID="page_{number}" PHYSICAL_IMG_NR="{number}" {size} PROCESSINGREFS="OCR">\n'
    yield f"   <PrintSpace {_box((0, 0, page.width, page.height))}>\n"
    line_number = 0
    for index, paragraph in enumerate(page.paragraphs, 1):
        turned = f' ROTATION="{_turn(paragraph[0])}"' if _turn(paragraph[0]) else ""
        yield f'    <TextBlock ID="block_{number}_{index}" {_box(around(paragraph))}{turned}>\n'
        for line in paragraph:
            line_number += 1
            yield f'     <TextLine ID="line_{number}_{line_number}" {_box(line.bbox)}>{_shape(line)}\n'
            yield _string(line.parts[0])
            for before, word in pairwise(line.parts):
                yield (_space(before, word) if before.spaced else "") + _string(word)
            yield "     </TextLine>\n"
        yield "    </TextBlock>\n"
    yield "   </PrintSpace>\n  </Page>\n"


def _string(word: Word) -> str:
    certainty = "" if word.confidence is None else f' WC="{round(word.confidence, 4)}"'
    start = f'      <String {_box(word.bbox)}{certainty} CONTENT="{escape(word.text)}"'
    shape = _shape(word)
    return f"{start}>{shape}</String>\n" if shape else f"{start}/>\n"


def _space(before: Word, after: Word) -> str:
    """Return the space between two words, with its box if it lies between them from left to right."""
    left, top, right = before.bbox[2], before.bbox[1], after.bbox[0]
    place = f' HPOS="{left}" VPOS="{top}" WIDTH="{right - left}"' if right >= left and not before.quarter_turns else ""
    return f"      <SP{place}/>\n"


def _shape(item: Word) -> str:
    """Return the corners if they differ from the box's."""
    left, top, right, bottom = item.bbox
    if item.polygon == ((left, top), (right, top), (right, bottom), (left, bottom)):
        return ""
    points = " ".join(f"{x:g},{y:g}" for x, y in item.polygon)
    return f'<Shape><Polygon POINTS="{points}"/></Shape>'


def _turn(line: Line) -> float:
    """Return by how many degrees a line is turned; ALTO counts counter-clockwise."""
    return round(-line.angle % 360, 1) % 360


def _box(box: Box) -> str:
    left, top, right, bottom = box
    return f'HPOS="{left}" VPOS="{top}" WIDTH="{right - left}" HEIGHT="{bottom - top}"'


def _safe(text: str) -> str:
    return escape(one_line(text))
