"""The page for everyone: axe finds nothing in any state, the keyboard is enough, and nothing comes from elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.browser.answers import answer, line, reply, word
from tests.browser.pages import PHONE, SAMPLES, item, read

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page

pytestmark = pytest.mark.browser
expect = pytest.importorskip("playwright.sync_api").expect
axe = pytest.importorskip("axe_playwright_python.sync_playwright")

LOOKS = {
    "light": {"viewport": {"width": 1400, "height": 900}},
    "dark": {"viewport": {"width": 1400, "height": 900}, "color_scheme": "dark"},
    "phone": PHONE,
    "dark phone": {**PHONE, "color_scheme": "dark"},
}
TWO_PAGES = answer(line(word("sure", 10, 10, 200, 40), word("unsure", 300, 10, 200, 40, 0.6)), warnings=["page 1: odd"])
TWO_PAGES["pages"].append({**TWO_PAGES["pages"][0], "index": 1, "page_number": 2})


def empty(page: Page) -> None:
    expect(page.locator("#choose")).to_be_visible()


def languages(page: Page) -> None:
    page.click("summary")


def reading(page: Page) -> None:
    page.route("**/ocr", lambda _: None)
    page.set_input_files("#file", [SAMPLES / name for name in ("invoice.png", "paragraph.png", "photo.jpg")])
    expect(page.locator("#list .state")).to_have_text(["Reading", "Reading", "Waiting"])


def result(page: Page) -> None:
    page.click("#example")
    read(page, "example.png")
    page.focus("#sheet")
    page.keyboard.press("ArrowRight")


def pages(page: Page) -> None:
    page.route("**/ocr", lambda route: reply(route, TWO_PAGES))
    page.click("#example")
    read(page, "example.png")


def failure(page: Page) -> None:
    page.set_input_files("#file", {"name": "letter.png", "mimeType": "image/png", "buffer": b"no image at all"})
    expect(page.locator("#failed")).to_be_visible()


def notice(page: Page) -> None:
    page.route("**/example", lambda route: route.fulfill(status=404))
    page.click("#example")
    expect(page.locator("#notice")).to_be_visible()


def token(page: Page) -> None:
    page.route("**/ocr", lambda route: route.fulfill(status=401))
    page.click("#example")
    page.fill("#token", "wrong")
    page.keyboard.press("Enter")
    expect(page.locator("#token-wrong")).to_be_visible()


STATES = [empty, languages, reading, result, pages, failure, notice, token]


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
def test_axe_finds_nothing(open_page: Callable[..., Page], look: str, state: Callable[[Page], None]) -> None:
    page = open_page(**LOOKS[look], reduced_motion="reduce")
    state(page)
    found = axe.Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "the page scrolls sideways"
    page.unroute_all(behavior="ignoreErrors")


def test_axe_would_find_something(page: Page) -> None:
    page.evaluate("document.getElementById('theme').removeAttribute('aria-label')")
    page.evaluate("document.getElementById('theme').removeAttribute('title')")
    assert "button-name" in axe.Axe().run(page).generate_report()


def test_the_keyboard_is_enough(page: Page) -> None:
    for wanted in ("SUMMARY", "A", "theme", "choose", "example"):
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.id || document.activeElement.tagName") == wanted
    page.keyboard.press("Enter")
    read(page, "example.png")
    assert page.evaluate("document.activeElement.className") == "pick", "the focus is lost"
    seen = []
    while len(seen) < 9:
        page.keyboard.press("Tab")
        seen.append(page.evaluate("document.activeElement.id || document.activeElement.className"))
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid", "focus cannot be seen"
    assert seen == ["remove", "show-boxes", "zoom-in", "sheet", "copy", "text", "plain", "plain", "plain"]
    page.focus("#sheet")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#tip")).to_contain_text("Harbour")
    item(page, "example.png").locator(".remove").press("Enter")
    expect(page.locator("#choose")).to_be_focused()


def test_what_happens_is_said(page: Page) -> None:
    page.click("#example")
    expect(page.locator("#said")).to_have_text("example.png is read: 38 words")
    assert page.locator("#said").get_attribute("role") == "status"
    page.set_input_files("#file", {"name": "letter.png", "mimeType": "image/png", "buffer": b"no image at all"})
    expect(page.locator("#failed")).to_be_visible()
    assert page.locator("#failed").get_attribute("role") == "alert"


def test_the_theme_is_the_systems_until_chosen(open_page: Callable[..., Page]) -> None:
    page = open_page(color_scheme="dark")
    ground = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(ground)
    expect(page.locator("#theme")).to_have_attribute("aria-pressed", "true")
    page.emulate_media(color_scheme="light")
    expect(page.locator("#theme")).to_have_attribute("aria-pressed", "false")
    light = page.evaluate(ground)
    assert light != dark
    page.click("#theme")
    assert page.evaluate(ground) == dark
    page.reload()
    assert page.evaluate(ground) == dark
    expect(page.locator("#theme")).to_have_attribute("aria-pressed", "true")


def test_nothing_comes_from_elsewhere(page: Page, address: str) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.reload()
    page.click("#example")
    read(page, "example.png")
    assert asked
    assert all(url.startswith((address, f"blob:{address}")) for url in asked), asked
    assert page.evaluate("document.querySelectorAll('script:not([src]), style').length") == 0
