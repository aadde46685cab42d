"""What the tests of the page share: where things lie, and how a file goes in and is waited for."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

PROJECT = Path(__file__).parents[2]
BUNDLE = PROJECT / "bundles" / "tesseract"
SAMPLES = BUNDLE / "samples"
TOKEN = "a-token-of-the-tests"
PHONE = {"has_touch": True, "is_mobile": True, "viewport": {"width": 390, "height": 844}}

# Hands a file to the page the way the browser does when a person drops or pastes it.
TRANSFER = """([kind, name, type, text]) => {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const data = new DataTransfer();
    data.items.add(new File([bytes], name, { type }));
    const how = { bubbles: true, cancelable: true };
    document.body.dispatchEvent(kind === "drop"
        ? new DragEvent("drop", { dataTransfer: data, ...how })
        : new ClipboardEvent("paste", { clipboardData: data, ...how }));
}"""


def transfer(page: Page, kind: str, name: str, data: bytes) -> None:
    page.evaluate(TRANSFER, [kind, name, "image/png", base64.b64encode(data).decode()])


def item(page: Page, name: str) -> Locator:
    """Return a file's row in the list."""
    return page.locator("#list li").filter(has=page.locator(f".name[title='{name}']"))


def read(page: Page, name: str) -> None:
    """Wait until a file is read."""
    done = item(page, name).and_(page.locator("[data-state=done], [data-state=failed]"))
    done.wait_for()
    assert done.get_attribute("data-state") == "done", page.locator("#list").inner_text()
