"""Both ways of calling Tesseract answer alike, use the packed weights alone, and keep nothing between images."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jiwer
import pytest
from PIL import Image, ImageDraw

from ocrpack.app.engines import load_engine
from ocrpack.app.engines.base import Line, Model, Weight, Word, corners
from ocrpack.app.engines.hocr import parse
from tests.app.drawings import BACKENDS, BUNDLE, drawing
from tests.serving import traineddata
from tests.variants import slow
from tools.draw_samples import font

if TYPE_CHECKING:
    from flask.testing import FlaskClient


@pytest.fixture
def weights(tmp_path: Path, language_data: Path) -> Path:
    folder = tmp_path / "poids d'été"
    folder.mkdir()
    (folder / "eng.traineddata").symlink_to(language_data)
    return folder


def model(folder: Path, languages: tuple[str, ...] = ("eng",), **options: Any) -> Model:
    return Model("m", "1", languages, (Weight(folder / "eng.traineddata", "language"),), options)


def read(client: FlaskClient, path: Path) -> dict[str, Any]:
    answer = client.post("/ocr", data=path.read_bytes(), content_type="application/octet-stream")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json
    return found


def words(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("name", ["invoice.png", "paragraph.png", "photo.jpg"])
def test_samples_read_without_an_error(client: FlaskClient, name: str) -> None:
    image = BUNDLE / "samples" / name
    truth = image.with_suffix(".txt").read_text(encoding="utf-8")
    assert jiwer.cer(words(truth), words(read(client, image)["text"])) == 0


@pytest.mark.parametrize(("folder", "bound"), [("small", 0.0), *slow(("pages", 0.03))])
def test_real_images_read_within_bounds(client: FlaskClient, shared_data: Path, folder: str, bound: float) -> None:
    for truth in sorted((shared_data / folder).glob("*.txt")):
        answer = read(client, truth.with_suffix(""))
        rate = jiwer.cer(words(truth.read_text(encoding="utf-8")), words(answer["text"]))
        assert rate <= bound, (truth.name, rate)


def test_what_is_read_before_colours_nothing(client: FlaskClient) -> None:
    first, other = BUNDLE / "samples" / "photo.jpg", BUNDLE / "samples" / "invoice.png"
    before = read(client, first)["pages"]
    read(client, other)
    assert read(client, first)["pages"] == before


@pytest.mark.parametrize(("name", "angle"), [("R", 90), ("180", 180), ("L", 270)])
def test_turned_pages_are_read_and_located(client: FlaskClient, shared_data: Path, name: str, angle: int) -> None:
    page = read(client, shared_data / "pages" / f"phototest-rotated-{name}.png")["pages"][0]
    assert page["angle"] == angle
    first, last = page["lines"][0]["words"][0], page["lines"][-1]["words"][-1]
    assert (first["text"], last["text"]) == ("This", "fox.")
    # The reader's top left is where the first word begins; further down in reading is away from it.
    (x, y), (far_x, far_y) = first["polygon"][0], last["polygon"][2]
    across, down = far_x - x, far_y - y
    assert {90: across < 0 < down, 180: across < 0 and down < 0, 270: down < 0 < across}[angle]
    for line in page["lines"]:
        for part in [line, *line["words"]]:
            left, top, right, bottom = part["bbox"]
            assert 0 <= left < right <= page["width"]
            assert 0 <= top < bottom <= page["height"]
            assert {tuple(point) for point in part["polygon"]} == {
                (left, top), (right, top), (right, bottom), (left, bottom)
            }  # fmt: skip


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("size", [(1, 1), (2, 300), (300, 2), (10, 10)])
def test_specks_have_no_text(weights: Path, backend: str, size: tuple[int, int]) -> None:
    page = load_engine("tesseract", model(weights, backend=backend)).read(Image.new("RGB", size, "white"), None, (), 60)
    assert (page.text, page.lines, page.angle) == ("", (), 0)


@pytest.mark.parametrize("backend", BACKENDS)
def test_user_words_decide_between_look_alikes(weights: Path, backend: str) -> None:
    image = Image.new("L", (900, 130), 255)
    ImageDraw.Draw(image).text((20, 40), "IlI1lI and Kl1ng0 were kept", 0, font("DejaVuSansMono.ttf", 14))
    image = image.resize((1300, 188)).convert("RGB")
    plain, told = (
        load_engine("tesseract", model(weights, backend=backend, **options)).read(image, None, (), 60).text
        for options in ({}, {"user_words": ["IlI1lI"]})
    )
    assert "IlI1lI" not in plain
    assert "IlI1lI" in told


@pytest.mark.parametrize("backend", BACKENDS)
def test_orientation_data_tells_the_turn(weights: Path, backend: str) -> None:
    (weights / "osd.traineddata").symlink_to(traineddata("osd"))
    with Image.open(BUNDLE / "samples" / "paragraph.png") as sample:
        image = sample.convert("RGB")
    files = tuple(Weight(weights / f"{name}.traineddata", "language") for name in ("eng", "osd"))
    engine = load_engine("tesseract", Model("m", "1", (), files, {"backend": backend}))
    turned = [image.rotate(-90 * quarters, expand=True) for quarters in range(4)]
    assert [engine.turn(one) for one in turned] == [0, 1, 2, 3]
    assert engine.turn(Image.new("RGB", (300, 200), "white")) is None
    assert "lighthouse" in engine.read(image, None, (), 60).text
    assert load_engine("tesseract", model(weights, backend=backend)).turn(turned[1]) is None


def test_the_angle_follows_the_lines(weights: Path) -> None:
    engine = load_engine("tesseract", model(weights))
    with Image.open(BUNDLE / "samples" / "paragraph.png") as sample:
        image = sample.convert("RGB")
    for degrees, angle in ((0, 0), (1.5, 1.5), (-1, 359)):
        slanted = image.rotate(-degrees, Image.Resampling.BICUBIC, fillcolor="white")
        assert engine.read(slanted, None, (), 60).angle == pytest.approx(angle, abs=0.2)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_is_flat(weights: Path) -> None:
    engine = load_engine("tesseract", model(weights, backend="tesserocr"))
    images = [drawing("RGB", "black", "white", text=text).resize((380, 70)) for text in ("one", "two three")]

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def many(count: int) -> None:
        for number in range(count):
            engine.read(images[number % 2], None, (), 60)

    many(100)
    before = resident()
    many(400)
    assert resident() - before < 4 << 20


@pytest.mark.parametrize("backend", BACKENDS)
def test_reading_ends_at_its_deadline(weights: Path, backend: str) -> None:
    crowded = Image.new("RGB", (3000, 3000), "white")
    for y in range(0, 3000, 140):
        for x in range(0, 3000, 760):
            crowded.paste(drawing("RGB", "black", "white"), (x, y))
    engine = load_engine("tesseract", model(weights, backend=backend))
    with pytest.raises(TimeoutError):
        engine.read(crowded, None, (), 0.05)
    assert engine.read(drawing("RGB", "black", "white"), None, (), 60).text == "Seven quiet harbours"


@pytest.mark.parametrize("backend", BACKENDS)
def test_only_packed_language_data_is_used(tmp_path: Path, backend: str) -> None:
    (tmp_path / "eng.traineddata").write_bytes(b"not language data" * 100)
    with pytest.raises(Exception, match=r"."):
        load_engine("tesseract", model(tmp_path, backend=backend)).read(drawing("RGB", "black", "white"), None, (), 60)


def test_missing_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"eng\.traineddata are missing"):
        load_engine("tesseract", model(tmp_path))


def test_undeclared_language_data_is_named(weights: Path) -> None:
    with pytest.raises(RuntimeError, match=r"weights/deu\.traineddata"):
        load_engine("tesseract", model(weights, languages=("eng", "deu")))


def test_unknown_names_list_the_known(weights: Path) -> None:
    with pytest.raises(RuntimeError, match="may be: tesseract"):
        load_engine("tesserakt", model(weights))
    with pytest.raises(RuntimeError, match="may be: auto, tesserocr, pytesseract"):
        load_engine("tesseract", model(weights, backend="cli"))


def test_falls_back_where_tesserocr_is_not_installed(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tesserocr", None)
    assert load_engine("tesseract", model(weights)).backend == "pytesseract"
    with pytest.raises(RuntimeError, match="tesserocr cannot be imported"):
        load_engine("tesseract", model(weights, backend="tesserocr"))


def test_names_the_system_package_where_the_command_is_missing(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(RuntimeError, match="system package tesseract-ocr"):
        load_engine("tesseract", model(weights, backend="pytesseract"))


def test_prefers_tesserocr(weights: Path) -> None:
    assert load_engine("tesseract", model(weights)).backend == "tesserocr"


HOCR = """<div class='ocr_page' title='image "unknown"; bbox 0 0 100 200; ppageno 0'>
 <p class='ocr_par' title="bbox 10 10 90 40">
  <span class='ocr_line' title="bbox 10 10 90 20; baseline 0 -2">
   <span class='ocrx_word' title='bbox 10 10 40 20; x_wconf 90'>A &amp; &lt;B&gt;</span>
   <span class='ocrx_word' title='bbox 50 10 90 20'><strong>C</strong></span></span>
  <span class='ocr_header' title="bbox 10 30 90 40; textangle 180">
   <span class='ocrx_word' title='bbox 10 30 90 40; x_wconf 96'>down</span></span>
 </p>
 <p class='ocr_par' title="bbox 0 0 9 9"><span class='ocr_line' title="bbox 0 0 9 9">
  <span class='ocrx_word' title='bbox 0 0 9 9; x_wconf 95'> </span></span></p>
 <p class='ocr_par' title="bbox 0 50 9 190"><span class='ocr_line' title="bbox 0 50 9 190">
  <span class='ocrx_word' title='bbox 0 50 9 190; x_wconf -1'>x</span></span></p>
</div>"""


def test_hocr_becomes_a_page() -> None:
    page = parse(HOCR)
    assert page.text == "A & <B> C\ndown\n\nx"
    assert page.angle == 0
    upright, over, side = page.lines
    assert [word.confidence for word in upright.words] == [0.9, None]
    assert upright.confidence == 0.9
    assert over.polygon[0] == (90, 40)
    assert (side.polygon[0], side.confidence) == ((9, 50), 0)
    assert isinstance(upright, Line)
    assert list(asdict(Word("a", (0, 0, 1, 1), corners((0, 0, 1, 1), 0), None))) == [
        "text", "bbox", "polygon", "confidence"
    ]  # fmt: skip


def test_corners_follow_the_reader() -> None:
    box = (1, 2, 3, 4)
    assert corners(box, 0) == ((1, 2), (3, 2), (3, 4), (1, 4))
    assert corners(box, 1)[0] == (3, 2)
    assert corners(box, 2)[0] == (3, 4)
    assert corners(box, 3)[0] == (1, 4)
