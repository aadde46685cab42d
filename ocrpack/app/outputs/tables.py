"""Write an answer as a table: Tesseract's TSV, and CSV for spreadsheets."""

from __future__ import annotations

import csv as writer
import io
from typing import TYPE_CHECKING

from .layout import around, pages

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .layout import Answer, Box, Page

_PLACES = ("level", "page_num", "block_num", "par_num", "line_num", "word_num")
TSV_COLUMNS = (*_PLACES, "left", "top", "width", "height", "conf", "text")
CSV_COLUMNS = ("file", "page", "line", "word", "text", "confidence", "x1", "y1", "x2", "y2")

# A spreadsheet takes a cell that starts so for a formula (https://owasp.org/www-community/attacks/CSV_Injection). The
# apostrophe is one of them so that removing one from every cell that starts with it restores exactly what was read.
_FORMULA = tuple("=+-@\t\r＝＋－＠'")  # noqa: RUF001, the full-width ones count as well


def tsv(answer: Answer, _: Sequence[bytes] = ()) -> bytes:
    """Return Tesseract's table: a row for each page, block, paragraph, line and word; unknown confidence is -1.

    Numbers start at 1 within the level above. The answer has no blocks, so a page with text is one block.
    """
    rows = (row for page in pages(answer) for row in _tsv_rows(page))
    return "".join("\t".join(map(str, row)) + "\n" for row in (TSV_COLUMNS, *rows)).encode()


def _tsv_rows(page: Page) -> Iterator[tuple[object, ...]]:
    def row(place: tuple[int, ...], box: Box, confidence: float | None = None, text: str = "") -> tuple[object, ...]:
        left, top, right, bottom = box
        certainty = -1 if confidence is None else round(confidence * 100, 4)
        return (len(place), *place, *[0] * (5 - len(place)), left, top, right - left, bottom - top, certainty, text)

    yield row((page.number,), (0, 0, page.width, page.height))
    if page.paragraphs:
        yield row((page.number, 1), around(page.lines))
    for par, paragraph in enumerate(page.paragraphs, 1):
        yield row((page.number, 1, par), around(paragraph))
        for number, line in enumerate(paragraph, 1):
            yield row((page.number, 1, par, number), line.bbox)
            for index, word in enumerate(line.parts, 1):
                yield row((page.number, 1, par, number, index), word.bbox, word.confidence, word.text)


def csv(answer: Answer, _: Sequence[bytes] = ()) -> bytes:
    """Return a row for each word, or for each line without words, whose `word` is empty.

    `page` counts within `file`, `line` within the page and `word` within the line, all from 1. A cell that a
    spreadsheet would run as a formula starts with an apostrophe, and so does one that started with an apostrophe.
    """
    buffer = io.StringIO()
    table = writer.writer(buffer)
    table.writerow(CSV_COLUMNS)
    for page in pages(answer):
        for number, line in enumerate(page.lines, 1):
            for index, part in enumerate(line.parts, 1):
                confidence = "" if part.confidence is None else part.confidence
                word = index if line.words else ""
                place = (_harmless(page.source or ""), page.source_page, number, word)
                table.writerow((*place, _harmless(part.text), confidence, *part.bbox))
    return buffer.getvalue().encode()


def _harmless(cell: str) -> str:
    return f"'{cell}" if cell.startswith(_FORMULA) else cell
