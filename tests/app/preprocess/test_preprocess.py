"""Hard pages are read, words are told where they stand, clean pages cost nothing, and any engine will do."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

import jiwer
import pytest
from PIL import Image, ImageDraw

from benchmarks.accuracy.drawings import KINDS, SIZE, TEXTS, drawings, page
from ocrpack.app import preprocess
from ocrpack.app.engines import load_engine
from ocrpack.app.engines.base import Engine, Line, Model, Page, Weight, Word, corners
from ocrpack.app.images import decode
from ocrpack.app.preprocess.ballot import certainty, vote
from ocrpack.app.preprocess.frame import Frame
from ocrpack.app.preprocess.measure import Ink, level, stroke
from tests.app.drawings import TRUTH, drawing
from tests.serving import traineddata
from tests.variants import some

FACE = "DejaVuSans.ttf"


@pytest.fixture(scope="module")
def engine() -> Engine:
    return load_engine("tesseract", Model("m", "1", ("eng",), (Weight(traineddata(), "language"),), {}))


@dataclass
class Script:
    """An engine that answers from a list, and remembers what it was shown."""

    answers: list[Page | Exception]
    turned: int | None = None
    shown: list[Image.Image] = field(default_factory=list)
    name: str = "script"
    backend: str = "script"
    version: str = "1"
    shares_by_fork: bool = True
    self_reliant: bool = False

    def read(self, image: Image.Image, dpi: int | None, languages: tuple[str, ...], seconds: float) -> Page:
        self.shown.append(image)
        answer = self.answers[min(len(self.shown), len(self.answers)) - 1]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def turn(self, image: Image.Image) -> int | None:
        return self.turned


def said(text: str, confidence: float | None, box: tuple[int, int, int, int] = (40, 40, 600, 100)) -> Page:
    line = Line(text, box, corners(box, 0), confidence, (Word(text, box, corners(box, 0), confidence),))
    return Page(text, 0, (line,))


def rate(truth: str, text: str) -> float:
    return float(jiwer.cer(" ".join(truth.split()), " ".join(text.split())))


def read(engine: Engine, image: Image.Image, effort: str = "auto") -> Page:
    found, notes = preprocess.read(engine, image.convert("RGB"), dpi=None, languages=(), seconds=60, effort=effort)
    assert notes == []
    return found


@pytest.mark.parametrize(
    ("kind", "effort"),
    some(
        [*((kind, "auto") for kind in KINDS), ("inverted bands", "best"), ("uneven light", "best")],
        [(kind, "auto") for kind in ("plain", "turned 90°", "inverted bands", "small print", "columns")]
        + [("uneven light", "best")],
    ),
)
def test_each_difficulty_is_read(engine: Engine, kind: str, effort: str) -> None:
    one = next(one for one in drawings([kind]) if one.kind == kind)
    picture = decode.load(io.BytesIO(one.data))
    found = read(engine, picture.image, effort)
    # Light ink on dark in the middle of a page costs some characters when it is read but twice.
    assert rate(one.text, found.text) <= (0.13 if (kind, effort) == ("inverted bands", "auto") else 0.025)
    for line in found.lines:
        for part in (line, *line.words):
            left, top, right, bottom = part.bbox
            assert 0 <= left < right <= picture.image.width
            assert 0 <= top < bottom <= picture.image.height
            assert all(0 <= x <= picture.image.width and 0 <= y <= picture.image.height for x, y in part.polygon)


@pytest.mark.parametrize(("turn", "slant"), some(product((0, 90, 180, 270), (0, 4, -8)), [(0, 0), (90, 4), (180, -8)]))
def test_words_are_found_where_they_were_drawn(engine: Engine, turn: int, slant: int) -> None:
    upright = page(TEXTS[0], FACE)
    image = upright.rotate(-turn - slant, Image.Resampling.BICUBIC, expand=True, fillcolor=245)
    found = read(engine, image)
    assert abs((found.angle - turn - slant + 180) % 360 - 180) <= 0.5
    words = {word.text: word for line in found.lines for word in line.words}
    first, last = words["ferry"], words["4B."]
    # Every drawn pixel of a word is dark; where it stood upright is known from an upright reading.
    straight = {word.text: word for line in read(engine, upright).lines for word in line.words}
    for name, word in (("ferry", first), ("4B.", last)):
        x, y = ((straight[name].bbox[side] + straight[name].bbox[side + 2]) / 2 for side in (0, 1))
        marked = Image.new("L", upright.size)
        marked.putpixel((int(x), int(y)), 255)
        ImageDraw.Draw(marked).ellipse((x - 3, y - 3, x + 3, y + 3), fill=255)
        box = marked.rotate(-turn - slant, Image.Resampling.BICUBIC, expand=True).getbbox()
        assert box is not None
        centre = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
        middle = sum(p[0] for p in word.polygon) / 4, sum(p[1] for p in word.polygon) / 4
        assert abs(centre[0] - middle[0]) + abs(centre[1] - middle[1]) < SIZE / 2
        assert word.bbox[0] <= centre[0] <= word.bbox[2]
        assert word.bbox[1] <= centre[1] <= word.bbox[3]


def test_none_is_the_engine_alone(engine: Engine) -> None:
    image = page(TEXTS[0], FACE).rotate(180).convert("RGB")
    assert preprocess.read(engine, image, dpi=None, languages=(), seconds=60, effort="none") == (
        engine.read(image, None, (), 60),
        [],
    )
    assert rate(TEXTS[0], engine.read(image, None, (), 60).text) > 0.5


def test_a_clean_page_is_read_once() -> None:
    script = Script([said(TRUTH, 0.97)])
    assert read(script, drawing("RGB", "black", "white")) == script.answers[0]
    assert len(script.shown) == 1


def test_an_engine_without_confidences_is_believed() -> None:
    script = Script([said("nonsense", None, (0, 0, 9, 9))])
    assert read(script, drawing("RGB", "black", "white")).text == "nonsense"
    assert len(script.shown) == 1


def test_an_engine_that_knows_the_turn_is_asked() -> None:
    script = Script([said("sqjou", 0.3), said(TRUTH, 0.97, (60, 40, 700, 100))], turned=2)
    image = drawing("RGB", "black", "white").rotate(180)
    found = read(script, image)
    assert (found.text, found.angle, len(script.shown)) == (TRUTH, 180, 2)
    assert script.shown[1].tobytes() == image.rotate(180).tobytes()
    assert found.lines[0].bbox == (60, 40, 700, 100)  # 760 x 140: the box is its own mirror image
    assert found.lines[0].polygon[0] == (700, 100)


@pytest.mark.parametrize("failure", [TimeoutError(), preprocess.RefusedError("too large")])
def test_what_was_read_first_stays_when_more_fails(failure: Exception) -> None:
    script = Script([said("Seven quiet harbours", 0.7), failure])
    found, notes = preprocess.read(script, drawing("RGB", "black", "white"), dpi=None, languages=(), seconds=60)
    assert found == script.answers[0]
    assert notes == ["the page is hard to read, and there was no time to read it more than once"]


def test_a_first_reading_that_fails_is_the_callers() -> None:
    with pytest.raises(TimeoutError):
        preprocess.read(Script([TimeoutError()]), drawing("RGB", "black", "white"), dpi=None, languages=(), seconds=60)


def test_blank_pages_are_read_once(engine: Engine) -> None:
    script = Script([Page("", 0, ())])
    for size in ((1, 1), (3, 700), (700, 3), (600, 600)):
        assert read(script, Image.new("RGB", size, "grey")).text == ""
        assert read(engine, Image.new("RGB", size, "white")).text == ""
    assert len(script.shown) == 4


@pytest.mark.slow
def test_huge_print_is_made_smaller_and_placed_in_the_original() -> None:
    image = Image.new("RGB", (6000, 3000), "white")
    image.paste(drawing("RGB", "black", "white").resize((4560, 840)), (600, 900))
    script = Script([said(TRUTH, 0.97, (0, 0, 10, 10))])
    found = read(script, image)
    width, height = script.shown[0].size
    assert width * height <= preprocess.HUGE_PIXELS + 6000
    assert found.lines[0].bbox == tuple(round(10 * 6000 / width) * at for at in (0, 0, 1, 1))
    assert stroke(script.shown[0]) >= preprocess.STROKE * 0.9


def test_what_is_read_before_colours_nothing(engine: Engine) -> None:
    hard = [page(TEXTS[0], FACE).rotate(175, expand=True, fillcolor=245), page(TEXTS[1], FACE, ink=200)]
    before = read(engine, hard[0])
    read(engine, hard[1])
    assert read(engine, hard[0]) == before


def test_real_receipts_are_read_better(engine: Engine, shared_data: Path) -> None:
    rates: dict[str, list[float]] = {"none": [], "auto": []}
    for name in ("031.jpg", "062.jpg"):
        truth = (shared_data / "receipts" / f"{name}.txt").read_text("utf-8").upper()
        picture = decode.load(io.BytesIO((shared_data / "receipts" / name).read_bytes()))
        for steps, found in rates.items():
            found.append(rate(truth, read(engine, picture.image, steps).text.upper()))
    assert sum(rates["auto"]) < 0.5 * sum(rates["none"])


@pytest.mark.parametrize(
    "change",
    [
        lambda frame: frame.turned(1),
        lambda frame: frame.turned(2).turned(3),
        lambda frame: frame.scaled(1.5).turned(1),
        lambda frame: frame.straightened(7, (0,)),
        lambda frame: frame.scaled(0.5).straightened(-11, (0,)).turned(3).scaled(2),
    ],
)
def test_frames_know_the_way_back(change: Callable[[Frame], Frame]) -> None:
    image = Image.new("L", (400, 240))
    ImageDraw.Draw(image).rectangle((300, 50, 320, 60), fill=255)
    frame = change(Frame(image))
    box = frame.image.point([0] * 128 + [255] * 128).getbbox()
    assert box is not None
    found = frame.outward(said("x", 1, box), image.size).lines[0]
    assert sum(x for x, _ in found.polygon) / 4 == pytest.approx(310.5, abs=2)
    assert sum(y for _, y in found.polygon) / 4 == pytest.approx(55.5, abs=2)


def test_readings_vote_by_line_and_word() -> None:
    boxes = [(10, 10, 60, 30), (70, 10, 120, 30)]

    def line(top: int, *words: tuple[str, float]) -> Line:
        parts = tuple(
            Word(text, at := (box[0], box[1] + top, box[2], box[3] + top), corners(at, 0), confidence)
            for (text, confidence), box in zip(words, boxes, strict=False)
        )
        around = (parts[0].bbox[0], parts[0].bbox[1], parts[-1].bbox[2], parts[-1].bbox[3])
        return Line(" ".join(part.text for part in parts), around, corners(around, 0), 0.5, parts)

    first = Page("Tofal 9.00\n\njunk", 0, (line(0, ("Tofal", 0.7), ("9.00", 0.9)), line(90, ("junk", 0.2))))
    second = Page(
        "Total 9.0\nCash\nspeck", 0,
        (line(1, ("Total", 0.6), ("9.0", 0.55)), line(40, ("Cash", 0.8)), line(150, ("speck", 0.3))),
    )  # fmt: skip
    third = Page("Total 9.00", 0, (line(-1, ("Total", 0.65), ("9.00", 0.6)),))
    page = vote([first, second, third])
    assert page.text == "Total 9.00\nCash"
    assert page.lines[0].words[0].confidence == 0.65
    assert vote([first]).text == "Tofal 9.00"
    assert certainty(Page("", 0, ())) == 0
    assert certainty(said("x", None)) is None


def test_ink_is_measured_whatever_its_light() -> None:
    for ink, paper in ((0, 255), (255, 0), (120, 160)):
        image = drawing("L", ink, paper)
        marks = Ink(image)
        assert marks.unread(Page("", 0, ())) == 1
        assert marks.unread(said(TRUTH, 1, (30, 30, 740, 120))) == 0
        dark = level(image, 56)
        assert (dark.getpixel((3, 3)), min(dark.tobytes())) == (255, 0)
    assert not Ink(Image.new("L", (300, 200), 77))
    for degrees in (-9, -2, 3):
        slanted = page(TEXTS[0], FACE).rotate(-degrees, expand=True, fillcolor=245)
        assert Ink(slanted).skew(upright=True) == pytest.approx(degrees, abs=0.3)
        assert Ink(slanted.rotate(90, expand=True)).skew(upright=False) == pytest.approx(degrees, abs=0.3)
