"""What a person takes away: text on the clipboard, and the answer as a file of every format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.pages import SAMPLES, read

if TYPE_CHECKING:
    from playwright.sync_api import Page, Request, Route

pytestmark = pytest.mark.browser
expect = pytest.importorskip("playwright.sync_api").expect


@pytest.fixture
def invoice(page: Page) -> Page:
    """Return the page with an invoice read."""
    page.set_input_files("#file", SAMPLES / "invoice.png")
    read(page, "invoice.png")
    return page


def taken(page: Page, output: str) -> tuple[str, str]:
    """Download a format; return the file's name and text."""
    with page.expect_download() as download:
        page.click(f"[data-output={output}]")
    return download.value.suggested_filename, Path(download.value.path()).read_text(encoding="utf-8", errors="replace")


def test_text_is_copied(invoice: Page) -> None:
    invoice.click("#copy")
    expect(invoice.locator("#copy")).to_have_text("Copied")
    assert "Harbour Paper Supplies" in invoice.evaluate("navigator.clipboard.readText()")
    expect(invoice.locator("#copy")).to_have_text("Copy text")


def test_text_is_copied_where_the_browser_keeps_its_clipboard(invoice: Page) -> None:
    invoice.evaluate(
        "() => { navigator.clipboard.writeText = () => Promise.reject(new Error('not over plain HTTP')); }"
    )
    invoice.click("#copy")
    expect(invoice.locator("#copy")).to_have_text("Copied")
    assert "Harbour Paper Supplies" in invoice.evaluate("navigator.clipboard.readText()")


def test_every_format_is_had_without_reading_again(invoice: Page) -> None:
    reads: list[Request] = []
    invoice.on("request", lambda request: reads.append(request) if request.url.endswith("/ocr") else None)
    name, text = taken(invoice, "json")
    assert name == "invoice.json"
    assert json.loads(text)["engine"] == "tesseract"
    for output, ending in {"text": "txt", "hocr": "hocr", "alto": "xml", "tsv": "tsv", "csv": "csv"}.items():
        with invoice.expect_request(f"**/ocr/render?output={output}") as asked:
            name, text = taken(invoice, output)
        assert asked.value.post_data_json["answer"]["pages"][0]["width"] == 1600
        assert name == f"invoice.{ending}"
        assert "Harbour" in text
    assert reads == []


def test_a_searchable_pdf_reads_the_file_once_more(invoice: Page) -> None:
    bodies: list[bytes] = []

    def searchable(route: Route) -> None:
        bodies.append(route.request.post_data_buffer)
        route.fulfill(content_type="application/pdf", body=b"%PDF-1.7 made up")

    invoice.route("**/ocr", searchable)
    name, text = taken(invoice, "pdf")
    assert (name, text) == ("invoice.pdf", "%PDF-1.7 made up")
    assert b'name="output"\r\n\r\npdf\r\n' in bodies[0]
    assert b'name="image"; filename="invoice.png"' in bodies[0]


def test_a_format_that_cannot_be_had_is_told(invoice: Page) -> None:
    invoice.route("**/ocr/render*", lambda route: route.fulfill(status=404))
    invoice.click("[data-output=alto]")
    expect(invoice.locator("#notice")).to_contain_text("The server does not offer this")
    expect(invoice.locator("[data-output=alto]")).not_to_have_attribute("aria-busy", "true")
