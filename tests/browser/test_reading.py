"""Files come in by every door, wait their turn, and are read; what goes wrong is told in plain words."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from tests.browser.answers import always, answer, line, reply, word
from tests.browser.pages import PHONE, SAMPLES, item, read, transfer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from playwright.sync_api import FilePayload, Page, Request, Route

pytestmark = pytest.mark.browser
expect = pytest.importorskip("playwright.sync_api").expect

JOB = {"id": "j1", "status": "queued", "progress": {"done": 0, "total": None}}
ONE_WORD = answer(line(word("harbour", 100, 100, 300, 60)))


def truth(sample: str) -> list[str]:
    return (SAMPLES / sample).with_suffix(".txt").read_text(encoding="utf-8").split()


def document(tmp_path: Path, *samples: str, kind: str = "pdf") -> Path:
    """Write some samples as the pages of one file."""
    pages = [Image.open(SAMPLES / sample).convert("RGB") for sample in samples]
    path = tmp_path / f"several pages.{kind}"
    pages[0].save(path, save_all=True, append_images=pages[1:], resolution=200)
    return path


def payload(name: str, data: bytes, kind: str = "image/png") -> FilePayload:
    return {"name": name, "mimeType": kind, "buffer": data}


def failure(page: Page) -> str:
    expect(page.locator("#failed")).to_be_visible()
    expect(page.locator("#viewer, #reader").first).to_be_hidden()
    return page.inner_text("#failed")


def test_a_chosen_photo_is_read_and_shown_upright(page: Page) -> None:
    page.set_input_files("#file", SAMPLES / "photo.jpg")
    read(page, "photo.jpg")
    assert page.inner_text("#text").split() == truth("photo.jpg")
    expect(page.locator("#image")).to_be_visible()
    shape: Any = page.locator("#image").bounding_box()
    assert shape["width"] > shape["height"], "the photo is shown lying on its side"


@pytest.mark.parametrize("kind", ["drop", "paste"])
def test_dropped_and_pasted_images_are_read(page: Page, kind: str) -> None:
    transfer(page, kind, "paragraph.png", (SAMPLES / "paragraph.png").read_bytes())
    read(page, "paragraph.png")
    assert page.inner_text("#text").split() == truth("paragraph.png")


def test_the_example_is_one_click_away(page: Page) -> None:
    page.click("#example")
    read(page, "example.png")
    assert page.inner_text("#text").split() == truth("invoice.png")


def test_several_files_are_read_two_at_once(page: Page) -> None:
    held: list[Route] = []
    page.route("**/ocr", lambda route: held.append(route))
    page.set_input_files("#file", [SAMPLES / name for name in ("invoice.png", "paragraph.png", "photo.jpg")])
    states = page.locator("#list .state")
    expect(states).to_have_text(["Reading", "Reading", "Waiting"])
    page.wait_for_timeout(300)
    assert len(held) == 2
    held[1].continue_()
    read(page, "paragraph.png")
    expect(states).to_have_text(["Reading", "46 words", "Reading"])
    held[0].continue_()
    held[2].continue_()
    expect(states).to_have_text(["38 words", "46 words", "31 words"])
    item(page, "photo.jpg").locator(".pick").click()
    assert page.inner_text("#text").split() == truth("photo.jpg")
    expect(item(page, "photo.jpg").locator(".pick")).to_have_attribute("aria-current", "true")


def test_a_pdf_is_read_as_a_job_with_its_pages_drawn(page: Page, tmp_path: Path) -> None:
    asked: list[str] = []
    page.route(
        "**/ocr/**", lambda route: (asked.append(f"{route.request.method} {route.request.url}"), route.continue_())
    )
    page.set_input_files("#file", document(tmp_path, "invoice.png", "paragraph.png", "photo.jpg"))
    expect(page.locator("#list .state")).to_contain_text("of 3")
    assert page.locator("#list progress").get_attribute("max") == "3"
    read(page, "several pages.pdf")
    expect(page.locator("#list .state")).to_have_text("3 pages, 115 words")
    for number, sample in enumerate(("invoice.png", "paragraph.png"), 1):
        assert page.inner_text("#text").split() == truth(sample)
        expect(page.locator("#image")).to_have_attribute("alt", f"several pages.pdf, page {number}")
        assert page.evaluate("document.getElementById('image').decode().then(() => image.naturalWidth > 500)")
        page.click("#page-next")
    expect(page.locator("#page-next")).to_be_disabled()
    page.select_option("#page", "1")
    assert page.inner_text("#text").split() == truth("paragraph.png")
    assert asked[0].endswith("/ocr/jobs")
    assert sum(request.startswith("DELETE") for request in asked) == 1, "the server keeps the file"
    assert sum("/ocr/preview?page=" in request for request in asked) == 3


def test_a_tiff_of_several_pages_is_drawn_by_the_server(page: Page, tmp_path: Path) -> None:
    page.set_input_files("#file", document(tmp_path, "paragraph.png", "invoice.png", kind="tif"))
    read(page, "several pages.tif")
    expect(page.locator("#image")).to_be_visible()
    page.focus("#sheet")
    page.keyboard.press("PageDown")
    assert page.inner_text("#text").split() == truth("invoice.png")


def test_without_a_picture_the_boxes_are_still_there(page: Page, tmp_path: Path) -> None:
    page.route("**/ocr/preview*", lambda route: route.fulfill(status=404))
    page.set_input_files("#file", document(tmp_path, "paragraph.png"))
    read(page, "several pages.pdf")
    expect(page.locator("#blind")).to_be_visible()
    expect(page.locator("#image")).to_be_hidden()
    assert page.locator("#layer span").count() == 46
    box: Any = page.locator("#sheet").bounding_box()
    assert box["height"] > 100


def test_an_image_that_takes_long_becomes_a_job(page: Page) -> None:
    looks = iter(["running", "running", "done"])
    page.route("**/ocr", lambda route: reply(route, JOB, 202))
    page.route("**/ocr/jobs/j1", lambda route: reply(route, {**JOB, "status": next(looks, "cancelled")}))
    page.route("**/ocr/jobs/j1/result", lambda route: reply(route, ONE_WORD))
    page.set_input_files("#file", SAMPLES / "paragraph.png")
    read(page, "paragraph.png")
    assert page.inner_text("#text") == "harbour"


def test_taking_a_file_away_cancels_its_job(page: Page, tmp_path: Path) -> None:
    deleted: list[str] = []

    def look(route: Route) -> None:
        if route.request.method == "DELETE":
            deleted.append(route.request.url)
        reply(route, {**JOB, "status": "running", "progress": {"done": 1, "total": 9}})

    page.route("**/ocr/jobs", lambda route: reply(route, JOB, 202))
    page.route("**/ocr/jobs/j1", look)
    page.set_input_files("#file", document(tmp_path, "invoice.png"))
    expect(page.locator("#wait-label")).to_have_text("Reading page 2 of 9 …")
    with page.expect_request(lambda request: request.method == "DELETE"):
        page.click("button[aria-label='Cancel several pages.pdf']")
    expect(page.locator("#welcome")).to_be_visible()
    expect(page.locator("#choose")).to_be_focused()
    assert len(deleted) == 1


def test_a_busy_server_is_asked_again(page: Page) -> None:
    answers = iter([429, 503])

    def refuse(route: Route) -> None:
        status = next(answers, 200)
        if status == 200:
            route.continue_()
        else:
            reply(route, {"title": "Busy", "detail": "Later."}, status, **{"Retry-After": "1"})

    page.route("**/ocr", refuse)
    page.set_input_files("#file", SAMPLES / "paragraph.png")
    expect(page.locator("#list .state")).to_have_text("Waiting for the server")
    read(page, "paragraph.png")


def test_the_servers_words_are_shown_and_other_files_go_on(page: Page) -> None:
    good = payload("good.png", (SAMPLES / "paragraph.png").read_bytes())
    page.set_input_files("#file", [payload("letter.png", b"no image at all, sorry"), good])
    read(page, "good.png")
    words = failure(page)
    assert "letter.png" in words
    assert "not a known image" in words
    item(page, "good.png").locator(".pick").click()
    expect(page.locator("#failed")).to_be_hidden()
    assert page.inner_text("#text").split() == truth("paragraph.png")


def test_a_failed_job_tells_its_problem(page: Page) -> None:
    page.set_input_files("#file", payload("torn.pdf", b"%PDF-1.7 and nothing more", "application/pdf"))
    assert len(failure(page).split()) > 8
    expect(page.locator("#list .state")).not_to_have_text("Reading failed")


@pytest.mark.parametrize(
    ("status", "said"), [(502, "not answering"), (504, "too long"), (413, "too large"), (500, "status was 500")]
)
def test_faults_without_words_get_some(page: Page, status: int, said: str) -> None:
    page.route("**/ocr", lambda route: route.fulfill(status=status, body="<h1>nginx</h1>", content_type="text/html"))
    page.set_input_files("#file", SAMPLES / "paragraph.png")
    assert said in failure(page)


def test_an_unreachable_server_is_told_and_tried_again(page: Page) -> None:
    page.route("**/ocr", lambda route: route.abort())
    page.set_input_files("#file", SAMPLES / "paragraph.png")
    assert "cannot be reached" in failure(page)
    page.unroute("**/ocr")
    page.click("#retry")
    read(page, "paragraph.png")
    expect(page.locator("#failed")).to_be_hidden()


def test_empty_and_too_large_files_never_leave_the_browser(open_page: Callable[..., Page], address: str) -> None:
    page = open_page("about:blank")
    limits = {"status": "ready", "limits": {"body_mb": 1}}
    page.route("**/readyz", lambda route: reply(route, limits))
    page.goto(address)
    expect(page.locator("#limit")).to_have_text(", up to 1 MB each")
    sent: list[Request] = []
    page.on("request", lambda request: sent.append(request) if request.method == "POST" else None)
    page.set_input_files("#file", payload("nothing.png", b""))
    assert "The file is empty" in failure(page)
    page.set_input_files("#file", payload("huge.png", bytes(2**21)))
    expect(page.locator("#failed-title")).to_have_text("The file is too large")
    expect(page.locator("#failed-detail")).to_contain_text("It has 2 MB; this server takes 1 MB")
    assert sent == []


def test_text_on_the_clipboard_is_no_image(page: Page) -> None:
    page.evaluate("dispatchEvent(new ClipboardEvent('paste', { clipboardData: new DataTransfer(), cancelable: true }))")
    expect(page.locator("#notice")).to_contain_text("no image on the clipboard")
    page.click("#notice-close")
    expect(page.locator("#notice")).to_be_hidden()


def test_languages_are_chosen_and_a_file_read_again(page: Page) -> None:
    sent: list[str] = []

    def keep(route: Route) -> None:
        sent.append(base64.b64encode(route.request.post_data_buffer or b"").decode())
        reply(route, ONE_WORD)

    page.route("**/ocr", keep)
    page.set_input_files("#file", SAMPLES / "paragraph.png")
    read(page, "paragraph.png")
    page.click("summary")
    page.get_by_label("German").check()
    expect(page.locator("#language-label")).to_have_text("German")
    page.click("#again")
    expect(page.locator("#languages")).not_to_have_attribute("open", "")
    read(page, "paragraph.png")
    first, second = (base64.b64decode(body) for body in sent)
    assert b'name="languages"' not in first
    assert b'name="languages"\r\n\r\ndeu\r\n' in second


def test_a_page_without_text_says_so(page: Page) -> None:
    blank = io.BytesIO()
    Image.new("RGB", (600, 300), "white").save(blank, "PNG")
    page.set_input_files("#file", payload("blank.png", blank.getvalue()))
    read(page, "blank.png")
    expect(page.locator("#text")).to_have_text("No text was found on this page.")
    expect(page.locator("#warnings li")).to_have_count(1)


def test_warnings_are_shown(page: Page) -> None:
    always(page, {**ONE_WORD, "warnings": ["page 1: the file claims 1 dpi"]})
    page.set_input_files("#file", SAMPLES / "paragraph.png")
    expect(page.locator("#warnings")).to_have_text("page 1: the file claims 1 dpi")


def test_the_camera_is_offered_where_fingers_are(open_page: Callable[..., Page]) -> None:
    assert not open_page().locator("#welcome .camera").is_visible()
    phone = open_page(**PHONE)
    with phone.expect_file_chooser() as chosen:
        phone.locator("#welcome .camera").tap()
    assert chosen.value.element.get_attribute("capture") == "environment"
    chosen.value.set_files(SAMPLES / "photo.jpg")
    read(phone, "photo.jpg")
