"""The API's reference in a real Chromium: for everyone, in every look, with nothing from elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.browser.pages import PHONE

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page

pytestmark = pytest.mark.browser
axe = pytest.importorskip("axe_playwright_python.sync_playwright")

LOOKS = [
    {"viewport": {"width": 1400, "height": 900}},
    {"viewport": {"width": 1400, "height": 900}, "color_scheme": "dark"},
    PHONE,
    {**PHONE, "color_scheme": "dark"},
]


@pytest.mark.parametrize("look", LOOKS, ids=["light", "dark", "phone", "dark phone"])
def test_axe_finds_nothing(open_page: Callable[..., Page], guarded_address: str, look: dict[str, object]) -> None:
    page = open_page(f"{guarded_address}reference", **look)
    page.evaluate("document.querySelectorAll('details').forEach((part) => { part.open = true; })")
    found = axe.Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "the page scrolls sideways"


def test_it_asks_for_its_own_files_alone_and_can_be_walked(open_page: Callable[..., Page], address: str) -> None:
    page = open_page(address)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{address}reference")
    assert asked
    assert all(url.startswith(address) for url in asked)
    assert f"OCR={address.rstrip('/')}" in page.inner_text("main")
    page.click("nav a[href='#preview']")
    assert page.url.endswith("#preview")
    assert page.locator("#preview").is_visible()
    page.click("#preview summary >> text=Answers")
    assert page.locator("#preview >> text=image/jpeg").is_visible()
