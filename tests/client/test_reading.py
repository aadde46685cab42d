"""Many inputs through real Tesseract: results in their places, resumed, annotated, and never over what is there."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import threading
import time
from pathlib import Path

import pypdfium2
import pytest
from PIL import Image, ImageDraw, ImageFont

from ocrpack.client import Order, Place, Source, gather, read_all
from ocrpack.errors import BootError
from tests.client.servers import SAMPLES, Misbehaving, answer
from tests.patience import PATIENCE


@pytest.fixture
def scans(tmp_path):
    """Three images that Tesseract reads, in a tree."""
    folder = tmp_path / "scans ä"
    (folder / "sub").mkdir(parents=True)
    for name, place in (("paragraph.png", "b.png"), ("photo.jpg", "a.jpg"), ("invoice.png", "sub/c.png")):
        shutil.copy(SAMPLES / name, folder / place)
    return folder


def read(service, folder, order, threads=2):
    sources = gather([str(folder)], bytes)
    order.check(sources)
    with contextlib.closing(read_all(service, sources, order, threads)) as outcomes:
        return {outcome.source.relative.as_posix(): outcome for outcome in outcomes}


def words(path):
    return path.read_text("utf-8").split()


def test_results_stand_beside_their_images(connect, tesseract, scans):
    found = read(connect(tesseract), scans, Order(place=Place(None)))
    assert {name: outcome.state for name, outcome in found.items()} == dict.fromkeys(
        ("a.jpg", "b.png", "sub/c.png"), "read"
    )
    assert words(scans / "b.png.ocr.txt") == words(SAMPLES / "paragraph.txt")
    assert (scans / "sub" / "c.png.ocr.txt").read_bytes().endswith(b"\n")
    assert not list(scans.rglob("*.part"))


def test_a_second_run_reads_what_is_missing_alone(connect, tesseract, scans):
    service, order = connect(tesseract), Order(place=Place(None))
    read(service, scans, order)
    (scans / "b.png.ocr.txt").write_text("corrected by hand")
    (scans / "a.jpg.ocr.txt").unlink()
    os.utime(scans / "b.png", (time.time() + 5, time.time() + 5))
    found = read(connect(tesseract), scans, order)
    assert {name: outcome.state for name, outcome in found.items()} == {
        "a.jpg": "read", "b.png": "skipped", "sub/c.png": "skipped",
    }  # fmt: skip
    assert (scans / "b.png.ocr.txt").read_text() == "corrected by hand"
    assert (found["b.png"].stale, found["sub/c.png"].stale) == (True, False)
    found = read(connect(tesseract), scans, Order(place=Place(None), force=True))
    assert {outcome.state for outcome in found.values()} == {"read"}
    assert words(scans / "b.png.ocr.txt") == words(SAMPLES / "paragraph.txt")


def test_truth_beside_the_images_is_never_touched(connect, tesseract, scans):
    truths = [scans / "b.txt", scans / "b.png.txt"]
    for truth in truths:
        truth.write_text("the truth")
    read(connect(tesseract), scans, Order(place=Place(scans), force=True))
    assert [truth.read_text() for truth in truths] == ["the truth"] * 2
    assert (scans / "b.png.ocr.txt").exists()


def test_results_handed_back_come_in_order(connect):
    """The first image is the slowest."""

    def react(_, handler):
        name = handler.body.partition(b'filename="')[2].partition(b'"')[0].decode()
        time.sleep(0.3 if name == "0.png" else 0)
        handler.send(document=answer(name))

    sources = [Source(f"{n}.png", None, Path(f"{n}.png"), b"x") for n in range(6)]
    with Misbehaving(react) as server:
        found = list(read_all(connect(server.url), sources, Order(), 3))
    assert [outcome.answer.text for outcome in found] == [f"{n}.png" for n in range(6)]


def test_as_many_at_once_as_asked_for(connect):
    running, most, guard = [0], [0], threading.Lock()

    def react(_, handler):
        with guard:
            running[0] += 1
            most[0] = max(most[0], running[0])
        time.sleep(0.1)
        with guard:
            running[0] -= 1
        handler.send(document=answer())

    sources = [Source(f"{n}", None, Path(f"{n}"), b"x") for n in range(8)]
    with Misbehaving(react) as server:
        list(read_all(connect(server.url), sources, Order(), 3))
    assert most == [3]


def test_one_bad_image_does_not_hinder_the_others(connect, tesseract, scans):
    (scans / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    (scans / "empty.png").touch()
    found = read(connect(tesseract), scans, Order(place=Place(None)))
    assert {name for name, outcome in found.items() if outcome.state == "failed"} == {"bad.png", "empty.png"}
    assert found["bad.png"].finding.message.startswith(f"{scans / 'bad.png'}: The ")
    assert sum(outcome.state == "read" for outcome in found.values()) == 3
    assert not (scans / "bad.png.ocr.txt").exists()


def test_a_service_that_is_gone_ends_the_run(connect, scans):
    with Misbehaving(lambda *_: None) as server:
        url = server.url
    with pytest.raises(BootError):
        read(connect(url, seconds=0.2), scans, Order(place=Place(None)))
    assert not list(scans.rglob("*.ocr.txt"))


def test_nothing_is_written_once_the_run_is_closed(connect, scans):
    held = threading.Event()

    def react(_, handler):
        if handler.number:
            held.wait(PATIENCE)
        handler.send(document=answer())

    with Misbehaving(react) as server:
        outcomes = read_all(connect(server.url), gather([str(scans)], bytes), Order(place=Place(None)), 3)
        next(outcomes)
        outcomes.close()
        held.set()
        time.sleep(0.5)
    assert len(list(scans.rglob("*.ocr.txt"))) == 1


def test_annotated_images_are_upright_and_coloured(connect, tesseract, tmp_path):
    upright = Image.new("RGB", (400, 120), "white")
    ImageDraw.Draw(upright).text((20, 30), "Seven harbours", "black", ImageFont.load_default(44))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: the pixels lie on their side
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "a.jpg", exif=exif)
    found = read(connect(tesseract), tmp_path, Order(place=Place(None), pictures=Place(None)))
    assert found["a.jpg"].written == (tmp_path / "a.jpg.annotated.png", tmp_path / "a.jpg.ocr.txt")
    assert words(tmp_path / "a.jpg.ocr.txt") == ["Seven", "harbours"]
    (page,) = found["a.jpg"].answer.pages
    picture = Image.open(tmp_path / "a.jpg.annotated.png")
    assert picture.size == (page["width"], page["height"]) == (400, 120)
    for word in page["lines"][0]["words"]:
        left, top, _, _ = word["bbox"]
        red, green, blue = picture.getpixel((left, top))
        assert green > 100 > red, "a word that is surely right has a green frame"
        assert blue < 120
    assert picture.getpixel((395, 115)) == (255, 255, 255)
    again = read(connect(tesseract), tmp_path, Order(place=Place(None), pictures=Place(None)))
    assert again["a.jpg"].state == "skipped"
    (tmp_path / "a.jpg.annotated.png").write_bytes(b"mine")
    (tmp_path / "a.jpg.ocr.txt").unlink()
    again = read(connect(tesseract), tmp_path, Order(place=Place(None), pictures=Place(None)))
    assert again["a.jpg"].kept == (tmp_path / "a.jpg.annotated.png",)
    assert (tmp_path / "a.jpg.annotated.png").read_bytes() == b"mine"


def _boxed(*boxes):
    """Return an answer with a page of 80 x 40 pixels for each box."""
    pages = []
    for number, box in enumerate(boxes, 1):
        word = {"text": "X", "bbox": box, "polygon": None, "confidence": None}
        line = {"text": "X", "bbox": box, "polygon": None, "confidence": None, "words": []}
        pages.append({"index": number - 1, "page_number": number, "width": 80, "height": 40, "lines": [line, word]})
    return {"text": "X", "pages": pages}


def test_annotated_pages_of_documents(connect, tmp_path):
    (tmp_path / "in").mkdir()
    frames = [Image.new("L", (80, 40), shade) for shade in (255, 200)]
    frames[0].save(tmp_path / "in" / "two.tif", save_all=True, append_images=frames[1:])
    document = pypdfium2.PdfDocument.new()
    for _ in range(2):
        document.new_page(40, 20)
    document.save(tmp_path / "in" / "two.pdf")
    document.close()
    with Misbehaving(lambda _, handler: handler.send(document=_boxed([10, 10, 30, 30], [50, 10, 70, 30]))) as server:
        order = Order(place=Place(tmp_path / "out"), pictures=Place(tmp_path / "out"))
        found = read(connect(server.url), tmp_path / "in", order)
        assert {outcome.state for outcome in found.values()} == {"read"}
        again = read(connect(server.url), tmp_path / "in", order)
        assert {outcome.state for outcome in again.values()} == {"skipped"}
    for name, paper in (("two.tif", 200), ("two.pdf", 255)):
        one, two = (Image.open(tmp_path / "out" / f"{name}.annotated-{number}.png") for number in (1, 2))
        assert one.size == two.size == (80, 40)
        assert one.getpixel((10, 20)) != (255, 255, 255)
        assert two.getpixel((10, 20)) == (paper,) * 3
        assert two.getpixel((50, 20)) != (paper,) * 3


@pytest.mark.parametrize(
    "page",
    [{}, {"width": 10**9, "height": 10**9}, {"width": 80, "height": 40, "lines": [{"bbox": "x"}]}, {"width": "8"}],
)
def test_pages_that_are_not_described_cannot_be_drawn_on(connect, image, tmp_path, page):
    with Misbehaving(lambda _, handler: handler.send(document={"text": "HELLO", "pages": [page]})) as server:
        order = Order(place=Place(tmp_path), pictures=Place(tmp_path))
        (outcome,) = read_all(connect(server.url), [image], order, 1)
    assert (outcome.state, outcome.finding.code) == ("failed", "annotate")
    assert (tmp_path / "page.png.ocr.txt").read_text() == "HELLO\n", "it was read all the same"


def test_json_is_kept_as_the_service_gave_it(connect, tesseract, scans):
    read(connect(tesseract), scans, Order("json", place=Place(None)))
    document = json.loads((scans / "b.png.ocr.json").read_bytes())
    assert document["pages"][0]["lines"][0]["words"]


def test_a_place_that_cannot_be_written_to(connect, image, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "t").write_text("a file where a folder is needed")
    inside = Source("page.png", image.path, Path("t/page.png"))
    with Misbehaving(lambda _, handler: handler.send(document=answer())) as server:
        (outcome,) = read_all(connect(server.url), [inside], Order(place=Place(tmp_path / "out")), 1)
    assert (outcome.state, outcome.finding.code) == ("failed", "unwritable")
    assert str(tmp_path / "out" / "t" / "page.png.ocr.txt") in outcome.finding.message
