"""Files of one page and of many become upright pictures, a page at a time; faults name the page and the remedy."""

from __future__ import annotations

import base64
import gc
import io
import subprocess
import sys
import weakref

import pypdfium2
import pytest
from PIL import Image, ImageChops, ImageOps, ImageStat

from ocrpack.app.core.problem import Problem
from ocrpack.app.images import decode, documents
from ocrpack.app.images.decode import Limits
from tests.app.drawings import PROJECT, drawing, encoded
from tests.app.pdf_files import FONT, pdf, scan_page, text_page

ENCRYPTED = base64.b64decode("""
JVBERi0xLjcKJb/3ov4KMSAwIG9iago8PCAvUGFnZXMgMiAwIFIgL1R5cGUgL0NhdGFsb2cgPj4KZW5kb2JqCjIgMCBvYmoKPDwg
L0NvdW50IDEgL0tpZHMgWyAzIDAgUiBdIC9UeXBlIC9QYWdlcyA+PgplbmRvYmoKMyAwIG9iago8PCAvQ29udGVudHMgNCAwIFIg
L01lZGlhQm94IFsgMCAwIDYwMCAyMDAgXSAvUGFyZW50IDIgMCBSIC9SZXNvdXJjZXMgPDwgL0ZvbnQgPDwgL0YgPDwgL0Jhc2VG
b250IC9IZWx2ZXRpY2EgL1N1YnR5cGUgL1R5cGUxIC9UeXBlIC9Gb250ID4+ID4+ID4+IC9UeXBlIC9QYWdlID4+CmVuZG9iago0
IDAgb2JqCjw8IC9MZW5ndGggNDMgL0ZpbHRlciAvRmxhdGVEZWNvZGUgPj4Kc3RyZWFtCuNLpftgTLRhbrcRcBk5rC4L+tF7r9Q6
yKdSoUmeNhkRWfecGIfyz/W7CqNlbmRzdHJlYW0KZW5kb2JqCjUgMCBvYmoKPDwgL0ZpbHRlciAvU3RhbmRhcmQgL0xlbmd0aCAx
MjggL08gPDBiYTM4MzVmODhmOTAzODhlNzRlNTQ1ODQxMjVjZTE0MmJlMGRlMjRjNmIwZDM3NzQ2ZTA3NWI4OTE3NTY2NzE+IC9Q
IC00IC9SIDMgL1UgPDFmOTU3NTFhZjI0NWY2NTk2NmVlYjU3YmIzYmE4YWIyMDEyMjQ1NmE5MWJhZTUxMzQyNzNhNmRiMTM0Yzg3
YzQ+IC9WIDIgPj4KZW5kb2JqCnhyZWYKMCA2CjAwMDAwMDAwMDAgNjU1MzUgZiAKMDAwMDAwMDAxNSAwMDAwMCBuIAowMDAwMDAw
MDY0IDAwMDAwIG4gCjAwMDAwMDAxMjMgMDAwMDAgbiAKMDAwMDAwMDI5OSAwMDAwMCBuIAowMDAwMDAwNDEyIDAwMDAwIG4gCnRy
YWlsZXIgPDwgL1Jvb3QgMSAwIFIgL1NpemUgNiAvSUQgWzxiODg3NjI0MDgzYTUxNjM2ZWNkN2YzYTYwMTEwZmYwOD48Yjg4NzYy
NDA4M2E1MTYzNmVjZDdmM2E2MDExMGZmMDg+XSAvRW5jcnlwdCA1IDAgUiA+PgpzdGFydHhyZWYKNjE5CiUlRU9GCg==
""")
"""A PDF that opens with the password `user`, as qpdf writes it."""


def _count(stream: io.BytesIO) -> int:
    return len(documents.page(stream, Limits())[0])


def _pages(data: bytes, limits: Limits = decode.DEFAULT_LIMITS, chosen: str | None = None) -> list[decode.Picture]:
    choice = documents.parse_pages(chosen) if chosen else None
    return list(documents.pages(io.BytesIO(data), limits, choice))


def _refusal(data: bytes, limits: Limits = decode.DEFAULT_LIMITS, chosen: str | None = None) -> Problem:
    with pytest.raises(Problem) as caught:
        _pages(data, limits, chosen)
    return caught.value


def _ink(image: Image.Image) -> tuple[int, int, int, int]:
    box = ImageOps.invert(image.convert("L")).point(lambda value: 255 if value > 100 else 0).getbbox()
    assert box, "nothing is drawn"
    return box


def _tiff(*images: Image.Image, **how: object) -> bytes:
    return encoded(images[0], "TIFF", save_all=True, append_images=images[1:], **how)


# --- what is read


def test_an_image_is_a_document_of_one_page() -> None:
    (picture,) = _pages(encoded(drawing(), dpi=(300, 300)))
    assert (picture.image.size, picture.dpi, picture.number, picture.warnings) == ((760, 140), 300, 1, ())
    assert _count(io.BytesIO(encoded(drawing()))) == 1


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_of_an_animation_the_first_frame_is_read(kind: str) -> None:
    frames = [drawing("RGB", 0, "white", text=text) for text in ("One", "Two", "Three")]
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
    (picture,) = _pages(data)
    assert picture.warnings == ("the file holds several frames; the first was read",)
    assert max(ImageStat.Stat(ImageChops.difference(picture.image, frames[0])).mean) < 2


def test_each_page_of_a_tiff_has_its_own_size_resolution_depth_and_orientation() -> None:
    first = drawing("RGB", "black", "white")
    second = drawing("1", 0, 1, text="Two").resize((400, 300))
    third = drawing("L", text="Three").transpose(Image.Transpose.ROTATE_90)
    parts = [encoded(first, "TIFF", dpi=(300, 300)), encoded(second, "TIFF", dpi=(150, 150))]
    parts.append(encoded(third, "TIFF", tiffinfo={0x0112: 6}))
    buffer = io.BytesIO()
    from PIL.TiffImagePlugin import AppendingTiffWriter

    with AppendingTiffWriter(buffer, new=True) as writer:
        for part in parts:
            writer.write(part)
            writer.newFrame()
    pictures = _pages(buffer.getvalue())
    assert [picture.image.size for picture in pictures] == [(760, 140), (400, 300), (760, 140)]
    assert [picture.dpi for picture in pictures] == [300, 150, None], (
        "a page took over the resolution of the one before"
    )
    assert [picture.number for picture in pictures] == [1, 2, 3]
    assert all(picture.image.mode == "RGB" and not picture.warnings for picture in pictures)
    for picture, truth in zip(pictures, (first, second, drawing("L", text="Three")), strict=True):
        difference = ImageChops.difference(picture.image, truth.convert("RGB"))
        assert max(high for _, high in difference.getextrema()) == 0


def test_the_only_and_the_last_page_of_a_tiff_have_their_resolution() -> None:
    (only,) = _pages(encoded(drawing(), "TIFF", dpi=(200, 200)))
    (last,) = _pages(_tiff(drawing(), drawing(), dpi=(300, 300)), chosen="2")
    assert (only.dpi, last.dpi) == (200, 300)


def test_thumbnails_in_a_tiff_are_no_pages() -> None:
    page, thumbnail = drawing(), drawing().resize((76, 14))
    buffer = io.BytesIO()
    from PIL.TiffImagePlugin import AppendingTiffWriter

    with AppendingTiffWriter(buffer, new=True) as writer:
        for part in (encoded(page, "TIFF"), encoded(thumbnail, "TIFF", tiffinfo={254: 1}), encoded(page, "TIFF")):
            writer.write(part)
            writer.newFrame()
    assert [picture.image.size for picture in _pages(buffer.getvalue())] == [page.size, page.size]


@pytest.mark.parametrize("kind", ["TIFF", "PDF"])
def test_one_page_is_in_memory_at_once(kind: str) -> None:
    data = _tiff(*[drawing("RGB", "black", "white")] * 4) if kind == "TIFF" else pdf(*[text_page("x")] * 4)
    before: list[weakref.ref[Image.Image]] = []
    for picture in documents.pages(io.BytesIO(data)):
        gc.collect()
        assert not any(reference() for reference in before), "an earlier page is still held"
        before.append(weakref.ref(picture.image))
        del picture
    assert len(before) == 4


def test_pages_of_a_tiff_do_not_share_pixels() -> None:
    first, second = _pages(_tiff(drawing("RGB", "black", "white"), drawing("RGB", "white", "black")))
    assert first.image.getpixel((0, 0)) == (255, 255, 255)
    assert second.image.getpixel((0, 0)) == (0, 0, 0)


# --- PDF


def test_a_pdf_is_drawn_at_300_dpi_and_upright() -> None:
    plain, turned = _pages(pdf(text_page("Seven quiet"), text_page("Seven quiet", entries="/Rotate 90")))
    assert plain.image.size == (2500, 834)
    assert turned.image.size == (834, 2500)
    assert (plain.dpi, turned.dpi) == (300, 300)
    upright = turned.image.transpose(Image.Transpose.ROTATE_90)
    assert all(abs(a - b) <= 2 for a, b in zip(_ink(upright), _ink(plain.image), strict=True))


def test_the_crop_box_is_what_is_seen_and_small_pages_are_drawn_large() -> None:
    cropped, tiny = _pages(
        pdf(text_page("Seven", entries="/CropBox [0 0 300 200]"), text_page("a", (60, 20), at=(5, 2)))
    )
    assert cropped.image.size == (1250, 834)
    assert (tiny.image.size, tiny.dpi) == ((1000, 334), 1200)


@pytest.mark.parametrize(
    "more", ["", "BT 3 Tr /F 10 Tf 5 5 Td (hidden text of an earlier OCR) Tj ET"], ids=["bare", "with hidden text"]
)
@pytest.mark.parametrize("dpi", [100, 200, 600])
def test_a_scan_keeps_its_own_pixels(dpi: int, more: str) -> None:
    scan = Image.new("RGB", (850, 1100), "white")
    scan.paste(drawing("RGB", "black", "white"), (40, 500))
    size = (850 * 72 / dpi, 1100 * 72 / dpi)
    jpeg = encoded(scan, "JPEG", quality=95)
    straight, turned = _pages(
        pdf(scan_page(jpeg, scan.size, size, more), scan_page(jpeg, scan.size, size, more, "/Rotate 90"))
    )
    assert (straight.image.size, straight.dpi) == (scan.size, dpi)
    assert (turned.image.size, turned.dpi) == ((1100, 850), dpi)
    difference = ImageChops.difference(straight.image, Image.open(io.BytesIO(jpeg)).convert("RGB"))
    assert max(ImageStat.Stat(difference).mean) < 1


def test_a_picture_under_text_is_no_scan() -> None:
    background = encoded(Image.new("RGB", (85, 110), "ivory"), "JPEG")
    (picture,) = _pages(pdf(scan_page(background, (85, 110), (612, 792), "BT /F 24 Tf 50 400 Td (Shown) Tj ET")))
    assert picture.dpi == 300
    assert picture.image.size == (2550, 3300)


def test_an_image_without_a_size_does_not_hinder_its_page() -> None:
    jpeg = encoded(Image.new("RGB", (85, 110)), "JPEG")
    data = pdf(
        scan_page(jpeg, (85, 110), (0.01, 0.01), "BT /F 24 Tf 50 400 Td (Shown) Tj ET", "/MediaBox [0 0 612 792]")
    )
    for broken in (data, data.replace(b"/Width 85", b"/Wodth 85")):
        (picture,) = _pages(broken)
        assert picture.image.size == (2550, 3300)


def test_a_huge_page_is_scaled_to_the_limit_with_a_warning() -> None:
    (picture,) = _pages(pdf(text_page("big", (20000, 10000))), Limits(megapixels=10))
    width, height = picture.image.size
    assert 9_900_000 < width * height <= 10_000_000
    assert picture.warnings[0].startswith("the page is large and was read at 16 dpi")
    assert picture.dpi is None, "16 dpi would only mislead an engine"


def test_filled_forms_and_annotations_are_seen() -> None:
    look = "/Rect [200 20 500 70] /DA (/F 24 Tf 0 g) /F 4"
    field = f"<< /Type /Annot /Subtype /Widget /FT /Tx /T (a) /V (Filled in) {look} >>"
    form = f"/AcroForm << /Fields [3 0 R] /NeedAppearances true /DA (/F 24 Tf 0 g) /DR << {FONT} >> >>"
    (picture,) = _pages(pdf(text_page("", entries="/Annots [3 0 R]"), catalog=form, more=[field]))
    left, top, right, bottom = _ink(picture.image)
    assert right - left > 200
    assert 530 < top < bottom < 770, "the value stands within the field"


def test_scripts_in_pdfs_cannot_run() -> None:
    assert "V8" not in pypdfium2.version.PDFIUM_INFO.flags
    script = "/OpenAction << /S /JavaScript /JS (while \\(true\\) {}) >>"
    assert len(_pages(pdf(text_page("calm"), catalog=script))) == 1


def test_a_pdf_may_start_late_and_an_image_may_speak_of_pdfs() -> None:
    assert _count(io.BytesIO(b"%!junk before\n" + pdf(text_page("a"), text_page("b")))) == 2
    (picture,) = _pages(encoded(drawing(), "JPEG", comment=b"made from a file with %PDF-1.4"))
    assert picture.image.size == (760, 140)


def test_without_pypdfium2_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pypdfium2", None)
    problem = _refusal(pdf(text_page("a")))
    assert (problem.status, problem.kind) == (415, "no-pdfs")
    assert "pypdfium2" in problem.detail
    assert len(_pages(encoded(drawing()))) == 1, "images need none"


# --- faults


@pytest.mark.parametrize(
    ("data", "status", "kind"),
    [
        (ENCRYPTED, 422, "encrypted-document"),
        (b"%PDF-1.7\n%abcdefgh", 422, "broken-document"),
        (pdf(text_page("a"))[:200], 422, "broken-document"),
        (pdf(), 422, "broken-document"),
        (b"", 400, "empty-image"),
        (b"plain text, no image", 415, "unknown-format"),
    ],
)
def test_faults_are_named(data: bytes, status: int, kind: str) -> None:
    problem = _refusal(data)
    assert (problem.status, problem.kind) == (status, kind)
    assert len(problem.detail) > 20


def test_a_fault_names_its_page_and_is_told_once() -> None:
    good, large = drawing(), Image.new("1", (3000, 2000))
    data = _tiff(good, large, good)
    for _ in range(2):
        problem = _refusal(data, Limits(megapixels=5))
        assert problem.status == 413
        assert problem.detail.startswith(
            "Page 2 of 3: It has 3000 x 2000 pixels, 6.0 megapixels; the limit is 5 megapixels"
        )
        assert problem.members == {"page": 2}
    assert [picture.number for picture in _pages(data, Limits(megapixels=5), "1,3")] == [1, 3]


@pytest.mark.parametrize("kind", ["TIFF", "PDF"])
def test_too_many_pages_and_a_choice_of_them(kind: str) -> None:
    data = _tiff(*[drawing("1", 0, 1)] * 7) if kind == "TIFF" else pdf(*[text_page(str(n)) for n in range(7)])
    problem = _refusal(data, Limits(pages=3))
    assert (problem.status, problem.kind) == (413, "too-many-pages")
    assert "7 pages" in problem.detail
    assert "the limit is 3" in problem.detail
    assert [picture.number for picture in _pages(data, Limits(pages=3), "6-,2")] == [6, 7, 2]
    assert _count(io.BytesIO(data)) == 7
    beyond = _refusal(data, Limits(pages=3), "2,9")
    assert (beyond.status, beyond.kind) == (422, "no-such-page")
    assert "Page 9" in beyond.detail
    assert "7 pages" in beyond.detail


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("1", [1]), ("1-3,5", [1, 2, 3, 5]), (" 2 - 3 , 1 ", [2, 3, 1]), ("4-", [4, 5]), ("2,2,1-3", [2, 1, 3])],
)
def test_choices_of_pages(text: str, numbers: list[int]) -> None:
    assert documents.selected(documents.parse_pages(text), 5, Limits()) == numbers


@pytest.mark.parametrize(
    "text", ["", "0", "3-1", "-2", "a", "1;2", "1-2-3", "1,,2", "1.5", "٣", "9" * 10, "1," * 600 + "1"]
)
def test_nonsense_is_no_choice_of_pages(text: str) -> None:
    with pytest.raises(Problem) as caught:
        documents.parse_pages(text)
    assert (caught.value.status, caught.value.kind) == (400, "bad-pages")
    assert "1-3,5" in caught.value.detail


def test_a_vast_choice_costs_nothing() -> None:
    with pytest.raises(Problem) as caught:
        documents.selected(documents.parse_pages("1-999999999"), 10, Limits())
    assert caught.value.status == 422


# --- what goes out again


def test_preview_is_upright_and_no_larger_than_asked() -> None:
    photo = drawing("RGB", "black", "white").transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6
    shown = Image.open(io.BytesIO(documents.preview(io.BytesIO(encoded(photo, "JPEG", exif=exif)), 1, 200)))
    assert (shown.format, shown.size) == ("JPEG", (200, 37))
    second = documents.preview(io.BytesIO(pdf(text_page("a"), text_page("b", entries="/Rotate 270"))), 2, 100)
    assert Image.open(io.BytesIO(second)).size == (33, 100)
    with pytest.raises(Problem):
        documents.preview(io.BytesIO(encoded(photo)), 2, 100)


def test_jpeg_keeps_size_and_looks() -> None:
    image = drawing("RGB", "black", "white")
    again = Image.open(io.BytesIO(documents.jpeg(image)))
    assert (again.format, again.mode, again.size) == ("JPEG", "RGB", image.size)
    assert max(ImageStat.Stat(ImageChops.difference(again, image)).mean) < 2


def test_pypdfium2_is_loaded_for_pdfs_alone() -> None:
    code = (
        "import io, sys; from ocrpack.app.images import documents; from PIL import Image; data = io.BytesIO();"
        "Image.new('L', (9, 9)).save(data, 'PNG'); list(documents.pages(data)); sys.exit('pypdfium2' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=PROJECT, check=False).returncode == 0
