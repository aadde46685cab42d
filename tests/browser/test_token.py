"""A server that wants a token: it is asked for once, kept for the tab, and a wrong one is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.browser.pages import SAMPLES, TOKEN, item, read

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page

pytestmark = pytest.mark.browser
expect = pytest.importorskip("playwright.sync_api").expect


@pytest.fixture
def guarded(open_page: Callable[..., Page], guarded_address: str) -> Page:
    return open_page(guarded_address)


def give(page: Page, token: str) -> None:
    expect(page.locator("#token")).to_be_focused()
    page.keyboard.type(token)
    page.keyboard.press("Enter")


def test_the_token_is_asked_for_once_and_kept(guarded: Page) -> None:
    guarded.set_input_files("#file", [SAMPLES / "invoice.png", SAMPLES / "paragraph.png"])
    give(guarded, TOKEN)
    read(guarded, "invoice.png")
    read(guarded, "paragraph.png")
    with guarded.expect_download():
        guarded.click("[data-output=tsv]")
    guarded.reload()
    guarded.set_input_files("#file", SAMPLES / "photo.jpg")
    read(guarded, "photo.jpg")
    expect(guarded.locator("dialog")).to_be_hidden()
    assert guarded.evaluate("localStorage.length") == 0, "the token outlives the tab"


def test_a_wrong_token_is_told(guarded: Page) -> None:
    guarded.click("#example")
    expect(guarded.locator("#token-wrong")).to_be_hidden()
    give(guarded, "not this one")
    expect(guarded.locator("#token-wrong")).to_be_visible()
    expect(guarded.locator("#token")).to_have_attribute("aria-invalid", "true")
    give(guarded, f"  {TOKEN} ")
    read(guarded, "example.png")


def test_without_a_token_nothing_is_read(guarded: Page) -> None:
    guarded.click("#example")
    expect(guarded.locator("dialog")).to_be_visible()
    guarded.keyboard.press("Escape")
    expect(guarded.locator("#failed-title")).to_have_text("A token is needed")
    guarded.click("#retry")
    give(guarded, TOKEN)
    read(guarded, "example.png")
    assert item(guarded, "example.png").get_attribute("data-state") == "done"
