"""What every engine promises, whichever library it stands on."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
from dataclasses import replace
from importlib import metadata
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image, ImageDraw, ImageFont

from ocrpack.app.engines import ENTRY_POINTS, REGISTRY, load_engine
from ocrpack.app.engines.base import Model, Page, Weight
from tests.app.drawings import PROJECT, TRUTH, drawing
from tests.patience import PATIENCE
from tests.variants import slow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from ocrpack.app.engines.base import Engine

LIBRARIES = {"tesseract": "tesserocr", "rapidocr": "rapidocr"}
INK = "#202020"


@pytest.fixture(scope="session")
def make_model(language_data: Path) -> Callable[[str], Model]:
    """Return a maker of the smallest model that an engine loads."""
    models = {
        "tesseract": lambda: Model("m", "1", ("eng",), (Weight(language_data, "language"),), {}),
        "rapidocr": lambda: Model("m", "1", ("eng", "deu"), (), {}),
    }

    def make(name: str) -> Model:
        pytest.importorskip(LIBRARIES[name])
        return models[name]()

    return make


@pytest.fixture(scope="session", params=sorted(REGISTRY))
def model(request: pytest.FixtureRequest, make_model: Callable[[str], Model]) -> Model:
    made = make_model(request.param)
    return replace(made, name=request.param)


@pytest.fixture(scope="session")
def engine(model: Model) -> Engine:
    return load_engine(model.name, model)


def said(rows: int, text: str = TRUTH) -> list[str]:
    """Return the lines of a page; none ends in what passes for a letter."""
    return [f"{text} {row}" for row in range(2, rows + 2)]


def page_of(rows: int, text: str = TRUTH) -> Image.Image:
    image = Image.new("RGB", (900, 60 + rows * 70), "white")
    draw = ImageDraw.Draw(image)
    for row, line in enumerate(said(rows, text)):
        draw.text((40, 30 + 70 * row), line, INK, ImageFont.load_default(36))
    return image


def parts(page: Page) -> Iterator[Any]:
    for line in page.lines:
        yield line
        yield from line.words


def lines_of(text: str) -> list[str]:
    """Return the lines of a text; an engine may set off paragraphs."""
    return [line for line in text.split("\n") if line]


def check(page: Page, size: tuple[int, int]) -> None:
    assert 0 <= page.angle < 360
    for line in page.lines:
        assert line.text.split()
        if line.words:
            assert line.text == " ".join(word.text for word in line.words)
    for part in parts(page):
        assert part.text == part.text.strip() != ""
        assert part.confidence is None or 0 <= part.confidence <= 1
        left, top, right, bottom = part.bbox
        assert 0 <= left < right <= size[0]
        assert 0 <= top < bottom <= size[1]
        assert all(isinstance(number, int) for number in part.bbox)
        xs, ys = zip(*part.polygon, strict=True)
        assert (min(xs), min(ys), max(xs), max(ys)) == part.bbox
    together = [word for line in page.lines for word in line.text.split()]
    assert sorted(page.text.split()) == sorted(together), "the page's text is its lines', in its own order"


def test_every_engine_is_tested() -> None:
    assert set(LIBRARIES) == set(REGISTRY)


def test_an_engine_says_what_it_is(engine: Engine, model: Model) -> None:
    assert engine.name == model.name
    assert engine.backend
    assert engine.version[0].isdigit()
    assert isinstance(engine.shares_by_fork, bool)
    assert isinstance(engine.self_reliant, bool)


def test_text_is_read_with_its_places(engine: Engine) -> None:
    image = page_of(4)
    page = engine.read(image, None, (), 60)
    check(page, image.size)
    assert lines_of(page.text) == said(4)
    assert page.angle == 0
    for row, line in enumerate(page.lines):
        ink = (40, 30 + 70 * row, 40 + 480, 30 + 70 * row + 45)
        assert abs(line.bbox[0] - ink[0]) < 15
        assert ink[1] - 15 < line.bbox[1] < line.bbox[3] < ink[3] + 15
        assert [word.text for word in line.words] == line.text.split()
        starts = [word.bbox[0] for word in line.words]
        assert starts == sorted(starts)
        for word, following in zip(line.words, line.words[1:], strict=False):
            assert word.bbox[2] <= following.bbox[0] + 3, "words do not overlap"
        font = ImageFont.load_default(36)
        for word, text_before in zip(line.words, ("", "Seven ", "Seven quiet ", f"{TRUTH} "), strict=True):
            assert abs(word.bbox[0] - (40 + font.getlength(text_before))) < 22, word


LONG_SIZES = [(1, 4000), (4000, 1), (20000, 30), (30, 20000)]


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (31, 33), (640, 480), *slow(*((size,) for size in LONG_SIZES))])
def test_images_without_text(engine: Engine, size: tuple[int, int]) -> None:
    for paper in ("white", "black"):
        page = engine.read(Image.new("RGB", size, paper), None, (), 60)
        assert (page.text, page.lines, page.angle) == ("", (), 0)


def test_a_wide_and_a_tall_image(engine: Engine) -> None:
    line = drawing("RGB", "black", "white")
    wide, tall = Image.new("RGB", (6080, 140), "white"), Image.new("RGB", (760, 5600), "white")
    for number in range(8):
        wide.paste(line, (760 * number, 0))
    for number in range(40):
        tall.paste(line, (0, 140 * number))
    for image, times in ((wide, 8), (tall, 40)):
        page = engine.read(image, None, (), 120)
        check(page, image.size)
        assert " ".join(page.text.split()) == " ".join([TRUTH] * times)


def test_noise_is_no_fault(engine: Engine) -> None:
    image = Image.effect_noise((500, 400), 90).convert("RGB")
    check(engine.read(image, 1, (), 60), image.size)


def test_nothing_carries_over(engine: Engine) -> None:
    first, other = page_of(3), page_of(6, "The quick brown fox; 1,234.50")
    before = engine.read(first, None, (), 60)
    engine.read(other, 300, (), 60)
    assert engine.read(first, None, (), 60) == before


def test_a_deadline_ends_a_reading_and_not_the_engine(engine: Engine) -> None:
    with pytest.raises(TimeoutError):
        engine.read(page_of(60), None, (), 0.05)
    with pytest.raises(TimeoutError):
        engine.read(page_of(60), None, (), -1)
    assert engine.read(page_of(1), None, (), 60).text == said(1)[0]


def test_languages_may_be_chosen(engine: Engine, model: Model) -> None:
    image = page_of(2)
    whole = engine.read(image, None, (), 60)
    for language in model.languages:
        assert engine.read(image, None, (language,), 60).text == whole.text
    assert engine.read(image, None, model.languages, 60) == whole


def test_the_turn_is_right_or_unknown(engine: Engine) -> None:
    page = page_of(8)
    for turn in range(4):
        assert engine.turn(page.rotate(-90 * turn, expand=True)) in (turn, None)
    assert engine.turn(Image.new("RGB", (300, 300), "white")) is None


CHILD = """
import json, sys, time
from pathlib import Path
from PIL import Image
from ocrpack.app.engines import Model, Weight, load_engine
told = json.loads(sys.argv[1])
weights = tuple(Weight(Path(path), role) for path, role in told["weights"])
engine = load_engine(told["name"], Model("m", "1", tuple(told["languages"]), weights, {}))
for name in told["images"] * 3:
    page = engine.read(Image.open(name).convert("RGB"), None, (), 120)
    print(json.dumps([name, page.text]), flush=True)
def threads():
    return len(list(Path("/proc/self/task").iterdir())) if Path("/proc/self/task").is_dir() else None
for _ in range(100):
    if threads() in (1, None):
        break
    time.sleep(0.05)  # one that has ended is listed for a moment more
print(json.dumps(threads()), flush=True)
"""


def without_settings() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.endswith(("_THREADS", "_LIMIT"))}


def child(model: Model, images: list[str]) -> subprocess.Popen[str]:
    told = {
        "name": model.name, "languages": model.languages, "images": images,
        "weights": [(str(weight.path), weight.role) for weight in model.weights],
    }  # fmt: skip
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, json.dumps(told)], cwd=PROJECT, env=without_settings(), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def finished(process: subprocess.Popen[str]) -> list[Any]:
    out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, err) == (0, "")
    return [json.loads(line) for line in out.splitlines()]


def test_processes_at_once_do_not_mix(model: Model, tmp_path: Path) -> None:
    truths = {}
    for kind in ("Amber", "Copper", "Silver"):
        name = str(tmp_path / f"{kind}.png")
        page_of(2, f"{kind} lanterns").save(name)
        truths[name] = said(2, f"{kind} lanterns")
    names = list(truths)
    processes = [child(model, names), child(model, names[::-1])]
    for answers in [finished(process)[:-1] for process in processes]:
        assert len(answers) == 9
        assert all(lines_of(text) == truths[name] for name, text in answers), answers


@pytest.mark.skipif(sys.platform != "linux", reason="no /proc: permissions bind elsewhere")
def test_a_process_has_one_thread_and_tells_nothing(model: Model, tmp_path: Path) -> None:
    """No library starts threads of its own unasked, and none logs, least of all what was read."""
    name = str(tmp_path / "a.png")
    page_of(2).save(name)
    (_, text), *_, threads = finished(child(model, [name]))
    assert lines_of(text) == said(2)
    assert threads == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork: permissions bind elsewhere")
def test_what_is_shared_by_fork_works_in_forked_processes(model: Model) -> None:
    script = textwrap.dedent(
        f"""
        import os, sys
        sys.path.insert(0, {str(PROJECT)!r})
        from pathlib import Path, PosixPath
        from ocrpack.app.engines import Model, Weight, load_engine
        from tests.app.engines.test_contract import page_of
        engine = load_engine({model.name!r}, {model!r})
        assert engine.shares_by_fork
        for _ in range(5):
            children = []
            for _ in range(3):
                if not (pid := os.fork()):
                    os._exit(engine.read(page_of(1), None, (), 60).text != {said(1)[0]!r})
                children.append(pid)
            assert [os.waitpid(pid, 0)[1] for pid in children] == [0, 0, 0]
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=PROJECT,
        env=without_settings(),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr


ANOTHER = """
from ocrpack.app.engines import Page

class Deaf:
    name, backend, version, shares_by_fork, self_reliant = "deaf", "none", "0", True, True
    def __init__(self, model):
        self.model = model
    def read(self, image, dpi, languages, seconds):
        return Page(self.model.name, 0.0, ())
    def turn(self, image):
        return None
"""


@pytest.fixture
def another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install a distribution that brings an engine."""
    (tmp_path / "deaf_engine.py").write_text(ANOTHER)
    about = tmp_path / "deaf_engine-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: deaf-engine\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(f"[{ENTRY_POINTS}]\ndeaf = deaf_engine:Deaf\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert metadata.version("deaf-engine") == "1.0"


@pytest.mark.usefixtures("another")
def test_another_package_may_bring_an_engine() -> None:
    engine = load_engine("deaf", Model("from afar", "1", (), (), {}))
    assert engine.read(Image.new("RGB", (1, 1)), None, (), 1).text == "from afar"
    with pytest.raises(RuntimeError, match=f"may be: {', '.join(REGISTRY)}, deaf"):
        load_engine("deaff", Model("m", "1", (), (), {}))


def test_an_unknown_engine_is_told_of_those_there_are() -> None:
    with pytest.raises(RuntimeError, match=f"no engine 'rapid'.* may be: {', '.join(REGISTRY)}"):
        load_engine("rapid", Model("m", "1", (), (), {}))


def test_missing_weights_are_named(model: Model, tmp_path: Path) -> None:
    missing = replace(model, weights=(Weight(tmp_path / "gone.bin", "recognition"),))
    with pytest.raises(RuntimeError, match=r"gone\.bin are missing"):
        load_engine(model.name, missing)


def test_weights_that_are_none_are_refused(model: Model, tmp_path: Path) -> None:
    shutil.copy(PROJECT / "LICENSE", tmp_path / "eng.traineddata")
    roles = ("language", "detection", "recognition")
    wrong = replace(
        model, languages=("eng",), weights=tuple(Weight(tmp_path / "eng.traineddata", role) for role in roles)
    )
    with pytest.raises(RuntimeError):
        load_engine(model.name, wrong).read(page_of(1), None, (), 60)
