"""An answer in every format: valid whatever is in it, and the same words come back out."""

from __future__ import annotations

import csv
import io
import json
import math
import re
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pypdfium2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree
from PIL import Image, ImageChops, ImageStat
from pytesseract.pytesseract import file_to_dict

from ocrpack.app.engines import hocr as hocr_reader
from ocrpack.app.images import documents
from ocrpack.app.outputs import FORMATS, glyphless, render
from ocrpack.app.outputs.layout import one_line, pages
from ocrpack.app.web.html_page import DOWNLOADS
from tests.app.drawings import drawing

if TYPE_CHECKING:
    from collections.abc import Sequence

SCHEMA = Path(__file__).parents[1] / "schemas" / "alto-4-3.xsd"
ALTO = "{http://www.loc.gov/standards/alto/ns-v4#}"
XHTML = "{http://www.w3.org/1999/xhtml}"


def _item(text: str, box: Sequence[int], turns: int = 0, confidence: float | None = 0.9) -> dict[str, Any]:
    left, top, right, bottom = box
    upright = [[left, top], [right, top], [right, bottom], [left, bottom]]
    return {
        "text": text,
        "bbox": list(box),
        "polygon": upright[turns:] + upright[:turns],
        "confidence": confidence,
    }


def _line(*words: dict[str, Any], turns: int = 0) -> dict[str, Any]:
    boxes = [word["bbox"] for word in words]
    box = [min(b[0] for b in boxes), min(b[1] for b in boxes), max(b[2] for b in boxes), max(b[3] for b in boxes)]
    return {**_item(" ".join(word["text"] for word in words), box, turns), "words": list(words)}


def _page(lines: list[dict[str, Any]], number: int = 1, text: str | None = None, **more: Any) -> dict[str, Any]:
    return {
        "index": number - 1,
        "page_number": number,
        "width": 800,
        "height": 600,
        "unit": "pixel",
        "dpi": 150,
        "angle": 0.0,
        "text": "\n".join(line["text"] for line in lines) if text is None else text,
        "lines": lines,
        "source": "scan 1.png",
        "source_page": 1,
        **more,
    }


def _answer(*some: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": "1",
        "model": {"name": "mödel <1>", "version": "2.0"},
        "engine": "tesseract",
        "languages": ["eng", "deu"],
        "text": "\n\n".join(page["text"] for page in some),
        "warnings": [],
        "timings": {"queue": 0.0, "decode": 0.0, "ocr": 0.1, "total": 0.1},
        "pages": list(some),
    }


def _jpegs(answer: dict[str, Any]) -> list[bytes]:
    return [documents.jpeg(Image.new("RGB", (page["width"], page["height"]), "white")) for page in answer["pages"]]


HELLO = _line(
    _item("Hello", (50, 50, 200, 90)), _item("<brave>", (220, 50, 380, 90)), _item("wörld", (400, 55, 560, 90))
)
HEBREW = _line(_item("שלום", (400, 150, 560, 190)), _item("עולם", (220, 150, 380, 190)))
ARABIC = _line(_item("مرحبا", (400, 250, 560, 290)), _item("بالعالم", (220, 250, 380, 290)))
HAN = _line(
    _item("日本語", (50, 350, 200, 390)), _item("文字😀", (220, 350, 380, 390)), _item("𐐀bc", (400, 350, 560, 390))
)
DOWN = _line(_item("Sideways", (700, 100, 740, 300), 1), _item("text", (700, 320, 740, 420), 1), turns=1)
UP = _line(_item("Other", (600, 400, 640, 550), 3), _item("way", (600, 300, 640, 390), 3), turns=3)
WHOLE = {**_item("a line without words", (50, 450, 400, 490), confidence=None), "words": []}
ANSWER = _answer(
    _page([HELLO, HEBREW, ARABIC, HAN, DOWN, UP], text="\n\n".join(["\n".join(["one", "two"]), "3\n4\n5\n6"])),
    _page([WHOLE], 2, dpi=None, source=None),
    _page([], 3, text="", source="x.pdf", source_page=9),
)
JPEG = documents.jpeg(Image.new("RGB", (800, 600), "white"))
UPRIGHT = [HELLO, HEBREW, ARABIC, HAN]


# --- what may come in, generated

TEXTS = st.one_of(
    st.text(max_size=8),
    st.text(st.characters(), max_size=4),
    st.sampled_from(
        [
            "",
            " ",
            "\x00",
            "a\tb\nc",
            "\ud800",
            "x\udfffy",
            "]]>",
            "&amp;",
            '"',
            "=1+1",
            "שָׁלוֹם",
            "\ufffe",
            "\x85",
            "e\u0301",
        ]
    ),
)
COORDINATES = st.integers(-50, 900)
CONFIDENCES = st.one_of(st.none(), st.floats(0, 1))


@st.composite
def _items(draw: st.DrawFn) -> dict[str, Any]:
    corner = st.tuples(COORDINATES, COORDINATES).map(list)
    if draw(st.booleans()):
        box = [draw(COORDINATES) for _ in range(4)]
        polygon = draw(st.lists(corner, min_size=4, max_size=4))
        return {"text": draw(TEXTS), "bbox": box, "polygon": polygon, "confidence": draw(CONFIDENCES)}
    left, top = draw(st.integers(0, 700)), draw(st.integers(0, 500))
    box = (left, top, left + draw(st.integers(0, 99)), top + draw(st.integers(0, 99)))
    return _item(draw(TEXTS), box, draw(st.integers(0, 3)), draw(CONFIDENCES))


@st.composite
def _answers(draw: st.DrawFn) -> dict[str, Any]:
    found = []
    for number in range(1, draw(st.integers(1, 3)) + 1):
        lines = [
            {**draw(_items()), "words": draw(st.lists(_items(), max_size=4))} for _ in range(draw(st.integers(0, 4)))
        ]
        text = draw(st.one_of(st.none(), st.just("a\n\nb\nc"), TEXTS))
        name, dpi = draw(st.one_of(st.none(), TEXTS)), draw(st.sampled_from([None, 70, 300, 2400]))
        angle = draw(st.sampled_from([0.0, 90.0, 180.0, 270.0]))
        found.append(_page(lines, number, text, source=name, dpi=dpi, angle=angle))
    return _answer(*found)


GENERATED = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def _words(answer: dict[str, Any]) -> list[list[str]]:
    """Return the words of each page that a format is to hold: of lines without words, the lines."""
    found = []
    for page in answer["pages"]:
        per_line = [
            [text for text in (one_line(word["text"]) for word in line["words"]) if text] or [one_line(line["text"])]
            for line in page["lines"]
        ]
        found.append([word for words in per_line for word in words if word])
    return found


# --- json, text


def test_every_format_has_a_type_and_an_extension() -> None:
    assert set(FORMATS) == set(DOWNLOADS)
    assert len({kind.extension for kind in FORMATS.values()}) == len(FORMATS)
    assert FORMATS["hocr"].mimetype == "text/html; charset=utf-8"


def test_json_is_the_answer() -> None:
    data = render("json", ANSWER)
    assert json.loads(data) == ANSWER
    assert "日本語".encode() in data


def test_a_form_feed_stands_between_pages() -> None:
    text = render("text", _answer(_page([HELLO]), _page([], 2), _page([WHOLE], 3))).decode()
    assert text == "Hello <brave> wörld\n\f\fa line without words\n"
    assert text.split("\f") == ["Hello <brave> wörld\n", "", "a line without words\n"]


@GENERATED
@given(_answers())
def test_json_and_text_are_utf_8_whatever_is_in_them(answer: dict[str, Any]) -> None:
    again = json.loads(render("json", answer).decode("utf-8"))
    assert len(again["pages"]) == len(answer["pages"])
    text = render("text", answer).decode("utf-8")
    assert text.count("\f") == len(answer["pages"]) - 1
    assert "\x00" not in text


# --- tables


def test_tsv_is_what_users_of_pytesseract_parse() -> None:
    table = file_to_dict(render("tsv", ANSWER).decode(), "\t", -1)
    assert " ".join(table) == "level page_num block_num par_num line_num word_num left top width height conf text"
    assert table["level"][:6] == [1, 2, 3, 4, 5, 5]
    words = [n for n, level in enumerate(table["level"]) if level == 5]
    assert [table["text"][n] for n in words] == [word for page in _words(ANSWER) for word in page]
    first = words[0]
    assert [table[name][first] for name in ("left", "top", "width", "height", "conf")] == [50, 50, 150, 40, 90]
    assert [table["par_num"][n] for n in words][:6] == [1, 1, 1, 1, 1, 2], "the page's text tells the paragraphs"
    assert table["conf"][words[-1]] == -1, "unknown"
    assert table["page_num"][-1] == 3


@GENERATED
@given(_answers())
def test_tsv_has_its_columns_whatever_is_in_it(answer: dict[str, Any]) -> None:
    rows = [row.split("\t") for row in render("tsv", answer).decode().removesuffix("\n").split("\n")]
    assert all(len(row) == 12 for row in rows)
    assert all(-1 <= float(row[10]) <= 100 and int(row[8]) >= 0 and int(row[9]) >= 0 for row in rows[1:])
    assert [row[11] for row in rows if row[0] == "5"] == [word for page in _words(answer) for word in page]


def test_csv_names_file_page_line_and_word() -> None:
    rows = list(csv.DictReader(io.StringIO(render("csv", ANSWER).decode(), newline="")))
    assert rows[1] == {
        "file": "scan 1.png", "page": "1", "line": "1", "word": "2", "text": "<brave>", "confidence": "0.9",
        "x1": "220", "y1": "50", "x2": "380", "y2": "90",
    }  # fmt: skip
    assert rows[-1]["word"] == ""
    assert rows[-1]["confidence"] == ""
    assert rows[-1]["text"] == "a line without words"


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "＝1", "=cmd|' /C calc'!A0", "'quoted'"])  # noqa: RUF001
def test_no_cell_of_the_csv_is_a_formula(text: str) -> None:
    data = render("csv", _answer(_page([_line(_item(text, (1, 2, 3, 4)))], source=text)))
    (row,) = csv.DictReader(io.StringIO(data.decode(), newline=""))
    assert row["text"] == row["file"] == f"'{text}"


@GENERATED
@given(_answers())
def test_csv_gives_back_what_was_read(answer: dict[str, Any]) -> None:
    rows = list(csv.reader(io.StringIO(render("csv", answer).decode(), newline="")))
    assert all(len(row) == 10 for row in rows)
    assert [row[4].removeprefix("'") for row in rows[1:]] == [word for page in _words(answer) for word in page]
    assert not any(row[column].startswith(("=", "+", "-", "@")) for row in rows[1:] for column in (0, 4))


# --- hOCR


def test_hocr_reads_back_as_the_same_page() -> None:
    page = _page([HELLO, HEBREW, DOWN, UP], text="one\ntwo\n\nthree\n4")
    again = hocr_reader.parse(render("hocr", _answer(page)))
    assert [[word.text for word in line.words] for line in again.lines] == [
        [word["text"] for word in line["words"]] for line in page["lines"]
    ]
    for line, truth in zip(again.lines, page["lines"], strict=True):
        for word, raw in zip(line.words, truth["words"], strict=True):
            assert [list(corner) for corner in word.polygon] == raw["polygon"]
            assert word.confidence == raw["confidence"]
    assert again.text.count("\n\n") == 1


def test_hocr_follows_its_conventions() -> None:
    skewed = {**_item("skew", (100, 100, 300, 130)), "polygon": [[100, 100], [300, 110], [300, 130], [100, 120]]}
    tree = etree.fromstring(render("hocr", _answer(_page([_line(skewed), HEBREW], source='a "b".png'))))
    tree_again = etree.fromstring(render("hocr", _answer(_page([{**skewed, "words": []}]))))
    (page,) = tree.findall(f".//{XHTML}div[@class='ocr_page']")
    assert page.get("title") == "image \"a 'b'.png\"; bbox 0 0 800 600; ppageno 0; scan_res 150 150"
    names = {meta.get("name"): meta.get("content") for meta in tree.iter(f"{XHTML}meta") if meta.get("name")}
    assert names["ocr-system"] == "tesseract, model mödel <1> 2.0"
    used = {element.get("class") for element in tree.iter() if element.get("class")}
    assert used == set(names["ocr-capabilities"].split())
    ids = [element.get("id") for element in tree.iter() if element.get("id")]
    assert len(ids) == len(set(ids))
    lines = tree_again.findall(f".//{XHTML}span[@class='ocr_line']")
    assert lines[0].get("title") == "bbox 100 100 300 130; baseline 0.05 -10"
    assert [line.get("dir") for line in tree.iter(f"{XHTML}span") if line.get("class") == "ocr_line"] == [None, "rtl"]


@GENERATED
@given(_answers())
def test_hocr_parses_whatever_is_in_it(answer: dict[str, Any]) -> None:
    data = render("hocr", answer)
    tree = etree.fromstring(data)
    found = [
        ["".join(word.itertext()) for word in page.iter(f"{XHTML}span") if word.get("class") == "ocrx_word"]
        for page in tree.iter(f"{XHTML}div")
        if page.get("class") == "ocr_page"
    ]
    assert found == _words(answer)
    for element in tree.iter():
        box = re.search(r"bbox (\d+) (\d+) (\d+) (\d+)", element.get("title") or "")
        if element.get("class"):
            assert box
            left, top, right, bottom = map(int, box.groups())
            assert 0 <= left <= right <= 800
            assert 0 <= top <= bottom <= 600
    hocr_reader.parse(data)


# --- ALTO


@pytest.fixture(scope="module")
def alto_schema() -> etree.XMLSchema:
    return etree.XMLSchema(etree.parse(SCHEMA))


def test_alto_says_what_was_read_where_and_by_what(alto_schema: etree.XMLSchema) -> None:
    tree = etree.fromstring(render("alto", _answer(_page([HELLO, DOWN]))))
    alto_schema.assertValid(tree)
    assert tree.find(f".//{ALTO}softwareName").text == "tesseract"
    assert tree.find(f".//{ALTO}processingStepSettings").text == "model mödel <1> 2.0; languages eng deu"
    assert tree.find(f".//{ALTO}fileName").text == "scan 1.png"
    (page,) = tree.iter(f"{ALTO}Page")
    assert (page.get("WIDTH"), page.get("HEIGHT"), page.get("PHYSICAL_IMG_NR")) == ("800", "600", "1")
    strings = list(tree.iter(f"{ALTO}String"))
    assert [string.get("CONTENT") for string in strings] == ["Hello", "<brave>", "wörld", "Sideways", "text"]
    assert dict(strings[0].attrib) == {
        "HPOS": "50", "VPOS": "50", "WIDTH": "150", "HEIGHT": "40", "WC": "0.9", "CONTENT": "Hello",
    }  # fmt: skip
    space = tree.find(f".//{ALTO}SP")
    assert dict(space.attrib) == {"HPOS": "200", "VPOS": "50", "WIDTH": "20"}
    assert strings[0].find(f".//{ALTO}Polygon") is None
    assert strings[3].find(f".//{ALTO}Polygon").get("POINTS") == "740,100 740,300 700,300 700,100"


def test_alto_of_turned_pages_says_how_far(alto_schema: etree.XMLSchema) -> None:
    tree = etree.fromstring(render("alto", _answer(_page([DOWN]), _page([UP], 2, source="other.png"))))
    alto_schema.assertValid(tree)
    assert [block.get("ROTATION") for block in tree.iter(f"{ALTO}TextBlock")] == ["270.0", "90.0"]
    assert tree.find(f".//{ALTO}fileName") is None, "two files, and room for one"


@GENERATED
@given(_answers())
def test_alto_is_valid_whatever_is_in_it(alto_schema: etree.XMLSchema, answer: dict[str, Any]) -> None:
    tree = etree.fromstring(render("alto", answer))
    alto_schema.assertValid(tree)
    found = [[string.get("CONTENT") for string in page.iter(f"{ALTO}String")] for page in tree.iter(f"{ALTO}Page")]
    assert found == _words(answer)


# --- PDF


def _text(data: bytes, page: int = 0) -> str:
    document = pypdfium2.PdfDocument(data)
    # PDFium takes a hyphen at a line's end for a soft one.
    return document[page].get_textpage().get_text_range().replace("\r\n", "\n").replace("\ufffe", "-")


def test_pdf_text_is_found_in_reading_order_in_any_script() -> None:
    data = render("pdf", ANSWER, _jpegs(ANSWER))
    lines = [line.strip() for line in _text(data).split("\n")]
    assert lines == [line["text"] for line in ANSWER["pages"][0]["lines"]]
    assert _text(data, 1).strip() == "a line without words"
    assert _text(data, 2) == ""
    found = pypdfium2.PdfDocument(data)[0].get_textpage().search("wörld")
    assert found.get_next()


@pytest.mark.parametrize("line", [*UPRIGHT, DOWN, UP], ids=lambda line: line["text"])
def test_pdf_text_stands_where_it_was_read(line: dict[str, Any]) -> None:
    answer = _answer(_page([line]))
    textpage = pypdfium2.PdfDocument(render("pdf", answer, _jpegs(answer)))[0].get_textpage()
    scale = 72 / 150
    count = textpage.count_chars()
    boxes = [textpage.get_charbox(n) for n in range(count) if textpage.get_text_range(n, 1).strip()]
    left, bottom, right, top = (min if n < 2 else max for n in range(4))
    found = [edge(box[n] for box in boxes) for n, edge in enumerate((left, bottom, right, top))]
    x1, y1, x2, y2 = line["bbox"]
    truth = [x1 * scale, (600 - y2) * scale, x2 * scale, (600 - y1) * scale]
    assert all(abs(a - b) < 1.5 for a, b in zip(found, truth, strict=True)), (found, truth)


def test_words_that_stand_together_are_not_parted() -> None:
    boxes = ((50, 350, 200, 390), (200, 350, 380, 390), (400, 350, 560, 390))
    words = [_item(text, box) for text, box in zip(("日本語", "文字😀", "𐐀bc"), boxes, strict=True)]
    line = {**_line(*words), "text": "日本語文字😀 𐐀bc"}
    answer = _answer(_page([line]))
    assert _text(render("pdf", answer, [JPEG])).strip() == line["text"]
    assert render("alto", answer).count(b"<SP") == 1
    (element,) = etree.fromstring(render("hocr", answer)).findall(f".//{XHTML}span[@class='ocr_line']")
    assert " ".join("".join(element.itertext()).split()) == line["text"]


def test_pdf_looks_like_its_image_and_is_as_large() -> None:
    image = drawing("RGB", "black", "white")
    jpeg = documents.jpeg(image)
    size = {"width": image.width, "height": image.height}
    answer = _answer(_page([_line(_item("Seven", (40, 40, 200, 100)))], **size), _page([], 2, dpi=None, **size))
    data = render("pdf", answer, [jpeg, jpeg])
    assert data.count(jpeg) == 2, "the image is not encoded again"
    document = pypdfium2.PdfDocument(data)
    assert document[0].get_size() == pytest.approx((760 * 72 / 150, 140 * 72 / 150))
    assert document[1].get_size() == pytest.approx((760 * 72 / 96, 140 * 72 / 96)), "96 dpi where there is no other"
    (first, second) = documents.pages(io.BytesIO(data))
    assert first.image.size == second.image.size == image.size, "the text is invisible, so the page is a scan"
    for page in (first, second):
        assert max(ImageStat.Stat(ImageChops.difference(page.image, image)).mean) < 4
    assert document.get_metadata_dict()["Producer"] == "ocrpack"


def test_pdf_has_the_same_bytes_every_time() -> None:
    images = _jpegs(ANSWER)
    assert render("pdf", ANSWER, images) == render("pdf", ANSWER, images)


def test_pdf_needs_an_image_for_each_page() -> None:
    with pytest.raises(ValueError, match="shorter"):
        render("pdf", ANSWER, _jpegs(ANSWER)[:2])


@pytest.mark.parametrize(("width", "height"), [(1, 1), (32767, 20), (3, 32767)])
def test_pdf_pages_have_sides_that_readers_take(width: int, height: int) -> None:
    answer = _answer(_page([], width=width, height=height, dpi=70))
    page = pypdfium2.PdfDocument(render("pdf", answer, _jpegs(answer)))[0]
    assert max(page.get_size()) <= 14_400.01
    assert page.get_width() / page.get_height() == pytest.approx(width / height, rel=0.01)


def test_the_font_is_one_that_freetype_takes() -> None:
    from PIL import ImageFont

    font = ImageFont.truetype(io.BytesIO(glyphless.true_type()), 100)
    assert font.getmetrics() == (100, 0)


def test_a_character_past_the_last_code_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(glyphless, "MAX_CODES", 3)
    codes = glyphless.Codes()
    assert codes.encode("abcab") == "<00020003000100020003>"
    assert len(codes.to_glyphs()) == 2 * 4


LETTERS = st.characters(codec="utf-8", categories=("Lu", "Ll", "Lo", "Nd"))
# PDFium takes ligatures and other compatibility characters apart.
PLAIN = LETTERS.filter(lambda letter: unicodedata.normalize("NFKC", letter) == letter)


@GENERATED
@given(st.lists(st.lists(st.text(PLAIN, min_size=1, max_size=6), min_size=1, max_size=3), max_size=5))
def test_pdf_gives_back_the_words(lines: list[list[str]]) -> None:
    found = []
    for row, words in enumerate(lines):
        items = [
            _item(word, (20 + 250 * n, 20 + 110 * row, 240 + 250 * n, 70 + 110 * row)) for n, word in enumerate(words)
        ]
        found.append(_line(*items))
    answer = _answer(_page(found))
    text = _text(render("pdf", answer, [JPEG]))
    # PDFium orders what is written from right to left its own way, so letters are compared, and not their order.
    assert sorted("".join(text.split())) == sorted("".join(word for words in lines for word in words))


@GENERATED
@given(_answers())
def test_pdf_opens_whatever_is_in_it(answer: dict[str, Any]) -> None:
    data = render("pdf", answer, [JPEG] * len(answer["pages"]))
    document = pypdfium2.PdfDocument(data)
    assert len(document) == len(answer["pages"])
    for page in document:
        page.get_textpage().get_text_range()
        assert all(map(math.isfinite, page.get_size()))
    assert b"nan" not in data
    assert b"inf" not in data


# --- all of them


def test_a_thousand_pages() -> None:
    answer = _answer(*[_page([HELLO, HEBREW], number) for number in range(1, 1001)])
    for name in FORMATS:
        data = render(name, answer, [JPEG] * 1000)
        assert len(data) > 30_000
    document = pypdfium2.PdfDocument(data if name == "pdf" else render("pdf", answer, [JPEG] * 1000))
    assert len(document) == 1000
    assert "wörld" in _text(render("pdf", answer, [JPEG] * 1000), 999)


def test_paragraphs_fall_back_to_one_where_the_text_does_not_tell() -> None:
    (page,) = pages(_answer(_page([HELLO, HEBREW], text="something else\n\nentirely\n\nhere")))
    assert len(page.paragraphs) == 1
    assert len(page.paragraphs[0]) == 2
