"""Where results go, and that they are whole or not there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ocrpack.client import Output, Place, Source, write_result
from ocrpack.client.results import check_places
from ocrpack.errors import UsageError


def source(name, relative=None):
    return Source(name, Path(name), Path(relative or Path(name).name))


def test_no_result_has_the_name_of_a_truth():
    for output in Output:
        name = Place(None).result(source("s/page.png"), output)
        assert name == Path(f"s/page.png.ocr.{output.extension}")
        assert name.name not in {"page.txt", "page.png.txt"}


def test_the_tree_is_mirrored():
    assert Place(Path("out")).result(source("s/t/page.png", "t/page.png"), "hocr") == Path("out/t/page.png.ocr.hocr")
    assert Place(Path("out")).picture(source("a.pdf"), 2, 3) == Path("out/a.pdf.annotated-2.png")
    assert Place(None).picture(source("s/a.png"), 1, 1) == Path("s/a.png.annotated.png")


def test_two_inputs_never_share_a_result(tmp_path):
    check_places(Place(None), [source("a/1.png"), source("b/1.png"), source("a/1.jpg")])
    with pytest.raises(UsageError, match="the same result"):
        check_places(Place(tmp_path), [source("a/1.png"), source("b/1.png")])
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="no folder"):
        check_places(Place(tmp_path / "file"), [])
    with pytest.raises(UsageError, match="standard input"):
        check_places(Place(None), [Source("standard input", None, Path("stdin"), b"x")])


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    target = tmp_path / "deep" / "page.png.ocr.txt"
    write_result(target, b"one")
    write_result(target, b"two")
    assert target.read_bytes() == b"two"
    if os.name != "nt":
        mask = os.umask(0o022)
        os.umask(mask)
        assert target.stat().st_mode & 0o777 == 0o666 & ~mask
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError, match="taken"):
        write_result(tmp_path / "taken", b"three")
    assert [path.name for path in target.parent.iterdir()] == [target.name]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["deep", "taken"]
