"""Damaged and hostile files end as pictures or as problems of the input, in bounded time and without a crash."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from ocrpack.app.images import decode, documents
from tests.app.drawings import PROJECT, drawing, encoded
from tests.app.mutations import outcome
from tests.app.pdf_files import pdf, scan_page, text_page
from tests.patience import PATIENCE, processor_seconds

if TYPE_CHECKING:
    from collections.abc import Callable

SECONDS = 10


def _images() -> dict[str, bytes]:
    small = drawing("RGB", "black", "white").resize((190, 35))
    kinds = [kind for kind in decode.FORMATS if kind != "DIB"]
    deep = small.convert("L").convert("I").point(lambda value: value * 257).convert("I;16")
    return {
        **{kind: encoded(small, kind) for kind in kinds},
        "transparent": encoded(small.convert("RGBA"), "WEBP", lossless=True),
        "palette": encoded(small.quantize(8), "PNG"),
        "deep": encoded(deep, "PNG"),
        "animated": encoded(small, "GIF", save_all=True, append_images=[small.rotate(180)]),
        "CMYK": encoded(small.convert("CMYK"), "JPEG"),
    }


def _tiffs() -> dict[str, bytes]:
    small = drawing("RGB", "black", "white").resize((190, 35))
    more = {"save_all": True, "append_images": [small.convert("1"), small]}
    return {
        "plain": encoded(small, "TIFF", **more),
        "group 4": encoded(small.convert("1"), "TIFF", compression="group4", save_all=True),
        "LZW": encoded(small, "TIFF", compression="tiff_lzw", **more),
        "JPEG": encoded(small, "TIFF", compression="jpeg"),
        "turned": encoded(small, "TIFF", tiffinfo={0x0112: 6}),
    }


def _pdfs() -> dict[str, bytes]:
    small = drawing("RGB", "black", "white").resize((190, 35))
    scan = scan_page(encoded(small, "JPEG"), small.size, (190, 35))
    return {"text": pdf(text_page("Seven"), text_page("eight", entries="/Rotate 90")), "scan": pdf(scan, scan)}


def _damage(tmp_path: Path, files: dict[str, bytes], seed: int, rounds: int) -> None:
    paths = []
    for name, data in files.items():
        path = tmp_path / name
        path.write_bytes(data)
        paths.append(str(path))
    command = [sys.executable, "-m", "tests.app.mutations", str(seed), str(rounds), *paths]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, f"the reader crashed with {done.returncode}: {done.stderr[-2000:]}"
    found = json.loads(done.stdout)
    wrong = [name for name in found["outcomes"] if name != "read" and not name.startswith("4")]
    assert not wrong
    assert found["slowest"] < SECONDS
    assert found["outcomes"]["read"], "damage is too heavy to tell anything"
    assert sum(found["outcomes"].values()) == rounds
    assert len(found["outcomes"]) > 2


@pytest.mark.parametrize(
    ("files", "rounds"), [(_images, 1200), (_tiffs, 400), (_pdfs, 240)], ids=["images", "TIFFs", "PDFs"]
)
def test_damaged_files_do_no_harm(tmp_path: Path, files: Callable[[], dict[str, bytes]], rounds: int) -> None:
    _damage(tmp_path, files(), 20, rounds)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("files", [_images, _tiffs, _pdfs], ids=["images", "TIFFs", "PDFs"])
def test_much_damage_does_no_harm(tmp_path: Path, files: Callable[[], dict[str, bytes]], seed: int) -> None:
    _damage(tmp_path, files(), seed, 6000 if files is not _pdfs else 2500)


def test_damaged_real_images_do_no_harm(tmp_path: Path, shared_data: Path) -> None:
    files = {
        file.name: file.read_bytes() for file in sorted((shared_data / "small").iterdir()) if file.suffix != ".txt"
    }
    _damage(tmp_path, files, 7, 1000)


def test_hostile_images_do_no_harm(shared_data: Path) -> None:
    for file in sorted((shared_data / "hostile-images").iterdir()):
        with processor_seconds(SECONDS):
            result = outcome(file.read_bytes())
        assert result == "read" or result.startswith("4"), (file.name, result)


def test_a_circle_of_tiff_pages_ends() -> None:
    data = bytearray(encoded(Image.new("L", (4, 4)), "TIFF"))
    first = int.from_bytes(data[4:8], "little")
    entries = int.from_bytes(data[first : first + 2], "little")
    place = first + 2 + 12 * entries
    data[place : place + 4] = first.to_bytes(4, "little")
    assert documents.page(io.BytesIO(data), decode.Limits())[0] == [1]


def test_what_does_not_fit_the_memory_is_the_inputs_fault(tmp_path: Path) -> None:
    large = Image.new("RGB", (4400, 4400))
    files = {kind: encoded(large, kind) for kind in ("PNG", "JPEG", "TIFF", "GIF", "BMP", "JPEG2000")}
    files["PDF"] = pdf(text_page("a", (1050, 1050)))
    files["small PDF"] = pdf(text_page("a", (50, 50)))
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    program = (
        "import pathlib, resource, sys; from tests.app import mutations;"
        "*files, small = [pathlib.Path(file).read_bytes() for file in sys.argv[1:]];"
        "assert mutations.outcome(small) == 'read';"  # what pdfium takes for itself counts as used
        "used = int(pathlib.Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize();"
        "resource.setrlimit(resource.RLIMIT_AS, (used + 42 * 2**20,) * 2);"
        "print({mutations.outcome(data) for data in files})"
    )
    command = [sys.executable, "-c", program, *(str(tmp_path / name) for name in files)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=PROJECT, check=True)
    assert done.stdout.strip() == "{'413 too-large-for-memory'}"
