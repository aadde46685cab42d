"""What the words of a command line name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ocrpack.client import gather
from ocrpack.client.inputs import natural
from ocrpack.errors import NotFoundError, PreflightError, UsageError


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def make(*names):
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x")
        return tmp_path

    return make


def shown(*words, without=None):
    return [source.shown.replace(os.sep, "/") for source in gather(words, lambda: b"data", without)]


def relative(*words):
    return [source.relative.as_posix() for source in gather(words, lambda: b"data")]


def test_folders_hold_images_and_documents_in_natural_order(place):
    place("s/p10.png", "s/p2.PNG", "s/sub/a.pdf", "s/note.txt", "s/p1.jpeg", "s/.hidden.png", "s/.git/x.png", "s/ä.tif")
    assert shown("s") == ["s/p1.jpeg", "s/p2.PNG", "s/p10.png", "s/ä.tif", "s/sub/a.pdf"]
    assert relative("s")[-1] == "sub/a.pdf"


def test_results_of_an_earlier_run_are_no_inputs(place):
    place("s/a.png", "s/a.png.ocr.pdf", "s/a.png.annotated.png", "s/a.png.annotated-2.png", "s/b.annotated.png")
    assert shown("s") == ["s/a.png", "s/b.annotated.png"]
    assert shown("s/a.png", "s/a.png.annotated.png") == ["s/a.png"]
    Path("s/a.png").unlink()
    assert shown("s/a.png.annotated.png") == ["s/a.png.annotated.png"], "what it was made from is gone: it is an image"


def test_the_output_folder_is_passed_over(place):
    place("s/a.png", "s/out/a.png")
    assert shown("s", without=Path("s/out")) == ["s/a.png"]
    assert shown("s", without=Path("s")) == ["s/a.png", "s/out/a.png"]


def test_each_file_once(place):
    folder = place("s/a.png", "s/b.png")
    (folder / "link.png").symlink_to(folder / "s" / "a.png")
    assert shown("s/b.png", "s", "s/../s/a.png", str(folder / "s" / "b.png"), "link.png") == ["s/b.png", "s/a.png"]


def test_patterns_that_the_shell_left(place):
    place("s/a.png", "s/b.jpg", "s/x.txt", "s/t/c.png")
    assert shown("s/*") == ["s/a.png", "s/b.jpg"]
    assert shown("s/**/*.png") == ["s/a.png", "s/t/c.png"]
    assert relative("s/**/*.png") == ["a.png", "t/c.png"]
    place("odd[1].png")
    assert shown("odd[1].png") == ["odd[1].png"], "a file of that very name comes first"


def test_several_folders_keep_their_names(place):
    place("a/1.png", "b/1.png")
    assert relative("a", "b") == ["a/1.png", "b/1.png"]
    assert relative("a") == ["1.png"]


def test_a_named_file_is_taken_whatever_it_is_called(place):
    place("scan", "x.txt")
    assert shown("scan", "x.txt") == ["scan", "x.txt"]


def test_standard_input(place):
    place("a.png")
    (source,) = gather(["-"], lambda: b"%PDF-1.7")
    assert (source.content(), source.path, source.is_document) == (b"%PDF-1.7", None, True)
    with pytest.raises(UsageError):
        gather(["-", "-"], lambda: b"x")
    with pytest.raises(UsageError, match="empty"):
        gather(["-"], bytes)


def test_what_is_missing_is_told_at_once(place):
    place("s/note.txt", "a.png")
    with pytest.raises(NotFoundError) as caught:
        gather(["no.png", "a.png", "n*.png"], bytes)
    assert [finding.where.file for finding in caught.value.findings] == ["no.png", "n*.png"]
    with pytest.raises(NotFoundError, match="nothing to read in s"):
        gather(["s"], bytes)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="permissions bind")
def test_a_folder_that_cannot_be_searched(place):
    place("s/a.png", "s/t/b.png")
    Path("s/t").chmod(0)
    try:
        with pytest.raises(PreflightError, match="cannot search"):
            gather(["s"], bytes)
    finally:
        Path("s/t").chmod(0o755)


def test_folders_that_hold_themselves(place):
    folder = place("s/a.png")
    (folder / "s" / "loop").symlink_to(folder / "s", target_is_directory=True)
    assert shown("s") == ["s/a.png"]


@pytest.mark.skipif(os.name == "nt", reason="file names are bytes elsewhere")
def test_names_that_are_no_unicode_can_be_printed(place):
    folder = place("s/a.png")
    (folder / "s" / "a.png").rename(os.fsdecode(bytes(folder / "s") + b"/caf\xe9.png"))
    assert shown("s") == ["s/caf\\udce9.png"]


def test_natural_order():
    names = ["10.png", "2.png", "B3", "b20", "a", "1"]
    assert sorted(names, key=lambda name: natural(Path(name))) == ["1", "2.png", "10.png", "a", "B3", "b20"]
