"""What PP-OCR does beyond the engines' contract: pages on a side, small print, columns, models of one's own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jiwer
import pytest
from PIL import Image, ImageDraw, ImageFont

from ocrpack.app.engines import load_engine
from ocrpack.app.engines.base import Model, Weight
from ocrpack.app.engines.order import rows_of
from tests.app.drawings import PROJECT, TRUTH, drawing
from tests.variants import slow

rapidocr = pytest.importorskip("rapidocr")

if TYPE_CHECKING:
    from ocrpack.app.engines.base import Engine

MODELS = Path(rapidocr.__file__).parent / "models"
FILES = {
    "detection": MODELS / "PP-OCRv6_det_small.onnx",
    "classification": MODELS / "ch_ppocr_mobile_v2.0_cls_mobile.onnx",
    "recognition": MODELS / "PP-OCRv6_rec_small.onnx",
}
SAMPLES = PROJECT / "bundles" / "rapidocr" / "samples"


def model(files: dict[str, Path] = FILES, **options: Any) -> Model:
    return Model("m", "1", (), tuple(Weight(path, role) for role, path in files.items()), options)


@pytest.fixture(scope="module")
def engine() -> Engine:
    return load_engine("rapidocr", model())


def opened(path: Path) -> Image.Image:
    from PIL import ImageOps

    with Image.open(path) as image:
        return ImageOps.exif_transpose(image).convert("RGB")


def error(truth: Path, text: str) -> float:
    return float(jiwer.cer(" ".join(truth.read_text("utf-8").split()), " ".join(text.split())))


def text_of(engine: Engine, image: Image.Image) -> str:
    return engine.read(image, None, (), 120).text


@pytest.mark.parametrize("image", sorted({*SAMPLES.glob("*.png"), *SAMPLES.glob("*.jpg")}), ids=lambda path: path.name)
def test_samples_read_without_an_error(engine: Engine, image: Path) -> None:
    assert error(image.with_suffix(".txt"), text_of(engine, opened(image))) == 0


@pytest.mark.parametrize(
    ("name", "angle"), [("phototest-rotated-R.png", 90), *slow(
        ("phototest.tif", 0), ("phototest-rotated-180.png", 180), ("phototest-rotated-L.png", 270), ("eurotext.tif", 0)
    )]
)  # fmt: skip
def test_real_pages_are_read_whichever_way_they_lie(engine: Engine, shared_data: Path, name: str, angle: int) -> None:
    image = opened(shared_data / "pages" / name)
    page = engine.read(image, None, (), 120)
    assert error(shared_data / "pages" / f"{name}.txt", page.text) < 0.01
    assert (page.angle, engine.turn(image)) == (angle, angle // 90)
    (x, y), (far_x, far_y) = page.lines[0].words[0].polygon[0], page.lines[-1].words[-1].polygon[2]
    across, down = far_x - x, far_y - y
    assert {0: across > 0 < down, 90: across < 0 < down, 180: across < 0 > down, 270: across > 0 > down}[angle]


@pytest.mark.slow
def test_receipts_are_read_well(engine: Engine, shared_data: Path) -> None:
    for name in ("062.jpg", "093.jpg"):
        got = text_of(engine, opened(shared_data / "receipts" / name)).casefold()
        truth = (shared_data / "receipts" / f"{name}.txt").read_text("utf-8").casefold()
        assert jiwer.cer(" ".join(truth.split()), " ".join(got.split())) < 0.02


def test_the_wheels_own_models_serve_where_none_are_packed(engine: Engine) -> None:
    image = drawing("RGB", "black", "white")
    assert load_engine("rapidocr", Model("m", "1", (), (), {})).read(image, None, (), 60) == engine.read(
        image, None, (), 60
    )


def test_a_dictionary_may_be_packed(tmp_path: Path) -> None:
    """Every class of the model but blank and space stands for a line of it: here all letters change places."""
    import onnxruntime

    own = onnxruntime.InferenceSession(str(FILES["recognition"])).get_modelmeta().custom_metadata_map["character"]
    dictionary = tmp_path / "keys.txt"
    dictionary.write_text("".join(f"{line.swapcase()}\n" for line in own.splitlines()), encoding="utf-8")
    swapped = load_engine("rapidocr", model({**FILES, "dictionary": dictionary}))
    assert text_of(swapped, drawing("RGB", "black", "white")) == TRUTH.swapcase()


def test_without_a_classifier_upright_pages_are_read(tmp_path: Path) -> None:
    image = drawing("RGB", "black", "white")
    two = {role: path for role, path in FILES.items() if role != "classification"}
    for engine in (load_engine("rapidocr", model(two)), load_engine("rapidocr", model(classify=False))):
        assert text_of(engine, image) == TRUTH
        assert engine.turn(image) is None


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (model(tempo=1), "no option 'tempo'; app.options may hold: megapixels"),
        (model({"recognition": FILES["recognition"]}), "has no detection model"),
        (model({**FILES, "recognition": FILES["classification"]}), "has no dictionary in it"),
        (model({**FILES, "detection": PROJECT / "LICENSE"}), "cannot load .*LICENSE"),
    ],
)
def test_a_model_that_cannot_serve_is_refused(wanted: Model, words: str) -> None:
    with pytest.raises(RuntimeError, match=words):
        load_engine("rapidocr", wanted)


def lines_of(image: Image.Image, lines: list[str], place: tuple[int, int], size: int, ink: str = "black") -> None:
    font = ImageFont.load_default(size)
    for number, line in enumerate(lines):
        ImageDraw.Draw(image).text((place[0], place[1] + number * size * 1.5), line, ink, font)


def test_columns_are_read_one_after_the_other(engine: Engine) -> None:
    image = Image.new("RGB", (1300, 560), "white")
    left = [f"The left column has {word} lines of prose" for word in ("some", "many", "more", "other", "last")]
    right = [f"while the right goes on with {word} words" for word in ("new", "old", "long", "short", "few")]
    lines_of(image, ["A headline that reaches across both of the columns below"], (120, 30), 36)
    lines_of(image, left, (40, 140), 26)
    lines_of(image, right, (700, 140), 26)
    assert text_of(engine, image).split("\n")[1:] == [*left, *right]


def test_small_print_is_looked_at_enlarged(engine: Engine) -> None:
    image = Image.new("RGB", (1400, 1900), "white")
    lines = [f"clause {number} of the terms that nobody reads" for number in range(10, 60)]
    lines_of(image, lines, (60, 40), 13)
    assert jiwer.cer("\n".join(lines), text_of(engine, image)) < 0.02


def test_a_stamp_up_the_side_is_read_too(engine: Engine) -> None:
    image = Image.new("RGB", (900, 700), "white")
    lines_of(image, [f"An upright line of the letter, number {number}" for number in range(8)], (120, 60), 34)
    stamp = Image.new("RGB", (420, 50), "white")
    lines_of(stamp, ["Received in April"], (10, 5), 34)
    image.paste(stamp.rotate(90, expand=True), (20, 100))
    page = engine.read(image, None, (), 60)
    assert page.angle == 0
    (found,) = [line for line in page.lines if line.text == "Received in April"]
    assert found.polygon[0][1] > found.polygon[1][1], "it is read upwards"


def test_threads_are_as_many_as_the_pool_says() -> None:
    script = (
        "import json, os; from pathlib import Path; from ocrpack.app.engines import Model, load_engine\n"
        "engine = load_engine('rapidocr', Model('m', '1', (), (), {}))\n"
        "import cv2; own = engine._detector._session.get_session_options()\n"
        "print(json.dumps([own.intra_op_num_threads, own.inter_op_num_threads, cv2.getNumThreads(),\n"
        "  own.get_session_config_entry('session.intra_op.allow_spinning'), os.environ['ORT_DISABLE_TELEMETRY'],\n"
        "  engine.shares_by_fork]))"
    )
    for threads, limit in ((1, {}), (2, {"OMP_THREAD_LIMIT": "2"})):
        env = {name: value for name, value in os.environ.items() if not name.endswith(("_THREADS", "_LIMIT"))}
        done = subprocess.run(
            [sys.executable, "-c", script], cwd=PROJECT, env=env | limit, capture_output=True, text=True, check=True
        )
        assert json.loads(done.stdout) == [threads, 1, threads, "0", "1", threads == 1]


def test_rows_of_a_table_stay_together() -> None:
    cells = [(x, y, x + width, y + 20) for y in range(0, 200, 25) for x, width in ((0, 180), (300, 40), (500, 60))]
    assert rows_of(cells) == [[3 * row, 3 * row + 1, 3 * row + 2] for row in range(8)]
    assert rows_of([]) == []


def test_tight_lines_are_no_row() -> None:
    """Detected boxes are padded, so that those of lines close together overlap."""
    lines = [(0.0, 20.0 * row, 400.0, 20.0 * row + 36) for row in range(10)]
    assert rows_of(lines) == [[row] for row in range(10)]
