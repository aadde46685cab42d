"""The page at / in a real Chromium: an image goes in by every door, its words show, and faults are told plainly."""

from __future__ import annotations

import base64
import json
import shutil
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from werkzeug.serving import make_server

from ocrpack.app import create_app

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser

BUNDLE = Path(__file__).parents[2] / "bundles" / "tesseract"
SAMPLES = BUNDLE / "samples"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

# Hands a file to the page the way the browser does when a person drops or pastes it.
TRANSFER = """([kind, name, type, text]) => {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const data = new DataTransfer();
    data.items.add(new File([bytes], name, { type }));
    const how = { bubbles: true, cancelable: true };
    document.getElementById("drop").dispatchEvent(kind === "drop"
        ? new DragEvent("drop", { dataTransfer: data, ...how })
        : new ClipboardEvent("paste", { clipboardData: data, ...how }));
}"""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    places = [Path("/usr/share/tessdata"), *Path("/usr/share/tesseract-ocr").glob("*/tessdata")]
    found = [place / "eng.traineddata" for place in places if (place / "eng.traineddata").is_file()]
    if not found:
        pytest.skip("no eng.traineddata on this machine")
    folder = tmp_path_factory.mktemp("page") / "bundle"
    shutil.copytree(BUNDLE, folder)
    (folder / "weights").mkdir(exist_ok=True)
    shutil.copy(found[0], folder / "weights")
    server = make_server("127.0.0.1", 0, create_app(folder), threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.port}/"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    api = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if not chromium:
        pytest.skip("no Chromium on this machine")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    """Return the opened page; anything it complains about but refused requests fails the test."""
    context = browser.new_context(permissions=["clipboard-read", "clipboard-write"])
    page = context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
    page.goto(address)
    yield page
    context.close()
    assert [complaint for complaint in complaints if "Failed to load resource" not in complaint] == []


def assert_read(page: Page, sample: str) -> None:
    """Assert that the page shows a sample's words, each with its box on the image."""
    page.wait_for_selector("#result:not([hidden])")
    truth = (SAMPLES / sample).with_suffix(".txt").read_text(encoding="utf-8")
    assert page.inner_text("#text").split() == truth.split()
    boxes = page.locator("#boxes polygon")
    assert boxes.count() == len(truth.split())
    sheet: Any = page.locator("#sheet").bounding_box()
    for box in (boxes.first.bounding_box(), boxes.last.bounding_box()):
        assert box
        assert sheet["x"] < box["x"] < box["x"] + box["width"] < sheet["x"] + sheet["width"]
        assert sheet["y"] < box["y"] < box["y"] + box["height"] < sheet["y"] + sheet["height"]


def transfer(page: Page, kind: str, name: str, data: bytes) -> None:
    page.evaluate(TRANSFER, [kind, name, "image/png", base64.b64encode(data).decode()])


def test_a_chosen_image_is_read(page: Page) -> None:
    page.set_input_files("#file", SAMPLES / "photo.jpg")
    assert_read(page, "photo.jpg")
    shape: Any = page.locator("#image").bounding_box()
    assert shape["width"] > shape["height"], "the photo is shown lying on its side"


@pytest.mark.parametrize("kind", ["drop", "paste"])
def test_a_dropped_or_pasted_image_is_read(page: Page, kind: str) -> None:
    transfer(page, kind, "paragraph.png", (SAMPLES / "paragraph.png").read_bytes())
    assert_read(page, "paragraph.png")


def test_the_example_can_be_explored_and_copied(page: Page) -> None:
    page.click("#example")
    assert_read(page, "invoice.png")
    page.hover("#boxes polygon:nth-child(2)")
    assert page.inner_text("#tip").startswith("Paper")
    assert "% sure" in page.inner_text("#tip")
    assert page.inner_text("#text .word.on") == "Paper"
    page.click("#copy")
    page.wait_for_selector("text=Copied")
    assert "Harbour Paper Supplies" in page.evaluate("navigator.clipboard.readText()")
    page.click("#copy-json")
    page.wait_for_function("navigator.clipboard.readText().then((text) => text.startsWith('{'))")
    assert json.loads(page.evaluate("navigator.clipboard.readText()"))["engine"] == "tesseract"


def test_works_by_keyboard(page: Page) -> None:
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "file"
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert_read(page, "invoice.png")
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    assert page.inner_text("#tip").startswith("Paper")


def test_faults_are_told_plainly_and_pass(page: Page) -> None:
    transfer(page, "drop", "letter.png", b"%PDF-1.7 and so on")
    page.wait_for_selector("#error:not([hidden])")
    assert "This is a PDF" in page.inner_text("#error")
    assert page.is_hidden("#result")
    page.set_input_files("#file", SAMPLES / "paragraph.png")
    assert_read(page, "paragraph.png")
    assert page.is_hidden("#error")


def test_says_when_the_server_is_gone(page: Page) -> None:
    page.route("**/ocr", lambda route: route.abort())
    page.set_input_files("#file", SAMPLES / "paragraph.png")
    page.wait_for_selector("#error:not([hidden])")
    assert "cannot be reached" in page.inner_text("#error")
