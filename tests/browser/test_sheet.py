"""The words on the picture: each in its place, told when pointed at, and there to be selected and copied."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.answers import always, answer, crowd, line, word
from tests.browser.pages import PHONE, PROJECT, SAMPLES, read

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from playwright.sync_api import Page

pytestmark = pytest.mark.browser
expect = pytest.importorskip("playwright.sync_api").expect

DOUBTS = answer(
    line(word("certain", 100, 100, 300, 60), word("likely", 500, 100, 200, 60, 0.7)),
    line(word("guessed", 100, 300, 300, 60, 0.2), word("unknown", 500, 300, 300, 60, None)),
)
PLACES = """() => {
    const sheet = document.getElementById("sheet").getBoundingClientRect();
    return [...document.querySelectorAll("#layer span")].map((span) => {
        const { left, top, right, bottom } = span.getBoundingClientRect();
        return [left - sheet.left, top - sheet.top, right - sheet.left, bottom - sheet.top];
    });
}"""

BETWEEN = """() => [...layer.childNodes].filter(({ nodeType }) => nodeType === 3).map((node) => {
    const range = document.createRange();
    range.selectNode(node);
    const { width, height } = range.getBoundingClientRect();
    return [width, height];
})"""


def show(page: Page, said: dict[str, Any]) -> None:
    """Put a made-up answer on the desk."""
    always(page, said)
    page.set_input_files("#file", SAMPLES / "paragraph.png")
    read(page, "paragraph.png")


def words_of(said: dict[str, Any]) -> list[dict[str, Any]]:
    return [part for row in said["pages"][0]["lines"] for part in row["words"]]


def assert_words_in_place(page: Page, said: dict[str, Any]) -> None:
    """Assert that the selectable text covers the words' boxes to within a pixel and a half of the screen."""
    sheet: Any = page.locator("#sheet").bounding_box()
    scale = sheet["width"] / said["pages"][0]["width"]
    places = page.evaluate(PLACES)
    words = words_of(said)
    assert len(places) == len(words)
    for place, part in zip(places, words, strict=True):
        wanted = [scale * side for side in part["bbox"]]
        assert place == pytest.approx(wanted, abs=1.5), part["text"]


def point(page: Page, part: dict[str, Any], along: float = 0.5) -> tuple[float, float]:
    """Return where on the screen a place in a word is: 0 is its left end, 1 its right one."""
    sheet: Any = page.locator("#sheet").bounding_box()
    scale = sheet["width"] / page.evaluate("document.getElementById('boxes').viewBox.baseVal.width")
    left, top, right, bottom = part["bbox"]
    return sheet["x"] + scale * (left + along * (right - left)), sheet["y"] + scale * (top + bottom) / 2


def copied(page: Page) -> str:
    page.evaluate("navigator.clipboard.writeText('nothing was copied')")
    page.keyboard.press("Control+c")
    return str(page.evaluate("navigator.clipboard.readText()"))


@pytest.fixture
def shared_data() -> Path:
    folder = PROJECT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("no shared/data beside the checkout")
    return folder


def test_text_lies_on_its_words_at_every_zoom(page: Page) -> None:
    with page.expect_response("**/ocr") as response:
        page.set_input_files("#file", SAMPLES / "invoice.png")
    said = response.value.json()
    read(page, "invoice.png")
    assert_words_in_place(page, said)
    page.click("#zoom-in")
    page.click("#zoom-in")
    assert_words_in_place(page, said)
    page.set_viewport_size({"width": 390, "height": 800})
    assert_words_in_place(page, said)


@pytest.mark.parametrize("name", ["pages/phototest-rotated-R.png", "pages/phototest-rotated-180.png"])
def test_turned_text_is_turned_too(page: Page, shared_data: Path, name: str) -> None:
    with page.expect_response("**/ocr") as response:
        page.set_input_files("#file", shared_data / name)
    said = response.value.json()
    read(page, name.partition("/")[2])
    assert words_of(said)[0]["polygon"][0] != words_of(said)[0]["bbox"][:2], "the engine took the text for upright"
    assert_words_in_place(page, said)


def test_pointing_tells_text_and_confidence_and_marks_the_text(page: Page) -> None:
    show(page, DOUBTS)
    for part, sure in zip(words_of(DOUBTS), (" 97 % sure", " 70 % sure", " 20 % sure", ""), strict=True):
        page.mouse.move(*point(page, part))
        expect(page.locator("#tip")).to_have_text(part["text"] + sure.strip())
        expect(page.locator("#text .on")).to_have_text(part["text"])
        tip: Any = page.locator("#tip").bounding_box()
        sheet: Any = page.locator("#sheet").bounding_box()
        assert sheet["x"] <= tip["x"] and tip["x"] + tip["width"] <= sheet["x"] + sheet["width"]
    page.mouse.move(*point(page, word("nothing", 100, 900, 10, 10)))
    expect(page.locator("#tip")).to_be_hidden()
    page.hover("#text .word:has-text('guessed')")
    expect(page.locator("#tip")).to_contain_text("guessed")


def test_doubt_is_told_by_more_than_colour(page: Page) -> None:
    show(page, DOUBTS)
    dashes = page.evaluate(
        "['sure', 'unsure', 'doubtful'].map((tone) => getComputedStyle("
        "document.getElementById(`boxes-${tone}`)).strokeDasharray)"
    )
    assert len(set(dashes)) == 3
    lines = page.evaluate(
        "[...document.querySelectorAll('#text .word')].map((word) => getComputedStyle(word).textDecorationStyle)"
    )
    assert lines == ["solid", "dashed", "wavy", "solid"]
    spoken = page.locator("#text").aria_snapshot()
    assert "likely (unsure)" in spoken and "guessed (doubtful)" in spoken
    expect(page.locator("#doubt-count")).to_have_text("2 to check")
    for button, text in [("next", "likely"), ("next", "guessed"), ("next", "likely"), ("previous", "guessed")]:
        page.click(f"#doubt-{button}")
        expect(page.locator("#text .on")).to_have_text(text)
    expect(page.locator("#said")).to_have_text("guessed, 20 % sure")


def test_text_is_selected_on_the_picture_with_a_mouse(page: Page) -> None:
    show(page, DOUBTS)
    certain, likely, guessed, _ = words_of(DOUBTS)
    page.mouse.move(*point(page, certain, 0.01))
    page.mouse.down()
    page.mouse.move(*point(page, likely, 0.5))
    page.mouse.move(*point(page, guessed, 0.99))
    page.mouse.up()
    assert copied(page) == "certain likely\nguessed"
    expect(page.locator("#tip")).to_be_hidden()
    assert page.evaluate(BETWEEN) == [[0, 0]] * 3, "the blanks between words show when they are selected"
    page.mouse.dblclick(*point(page, likely))
    assert copied(page) == "likely"
    page.mouse.click(*point(page, likely), click_count=3)
    assert copied(page) == "certain likely"
    page.mouse.click(*point(page, certain, 0.0))
    page.keyboard.down("Shift")
    page.mouse.click(*point(page, certain, 3.001 / 7))
    page.keyboard.up("Shift")
    assert copied(page) == "cer"
    page.keyboard.press("Control+a")
    assert copied(page) == "certain likely\nguessed unknown"


def test_dragging_beside_the_words_keeps_to_the_nearest(page: Page) -> None:
    show(page, DOUBTS)
    certain, likely, _, _ = words_of(DOUBTS)
    page.mouse.move(*point(page, certain, -0.2))
    page.mouse.down()
    page.mouse.move(*point(page, likely, 1.8))
    page.mouse.up()
    assert copied(page) == "certain likely"


def test_the_text_pane_copies_without_its_marks(page: Page) -> None:
    show(page, DOUBTS)
    page.evaluate("getSelection().selectAllChildren(document.getElementById('text'))")
    assert copied(page).split() == ["certain", "likely", "guessed", "unknown"]


def test_words_are_walked_by_keyboard_and_said(page: Page) -> None:
    show(page, DOUBTS)
    page.focus("#sheet")
    steps = ["ArrowRight", "ArrowRight", "ArrowDown", "ArrowLeft", "ArrowUp", "End", "Home"]
    walked = ["certain", "likely", "unknown", "guessed", "certain", "unknown", "certain"]
    for key, text in zip(steps, walked, strict=True):
        page.keyboard.press(key)
        expect(page.locator("#text .on")).to_have_text(text)
        expect(page.locator("#said")).to_contain_text(text)
    page.keyboard.press("Escape")
    expect(page.locator("#tip")).to_be_hidden()


def test_a_finger_shows_a_word(open_page: Callable[..., Page]) -> None:
    page = open_page(**PHONE)
    show(page, DOUBTS)
    page.locator("#sheet").scroll_into_view_if_needed()
    page.touchscreen.tap(*point(page, words_of(DOUBTS)[0]))
    expect(page.locator("#tip")).to_contain_text("certain")


def test_lines_without_words_do(page: Page) -> None:
    said = answer({**line(word("a line of text", 100, 100, 500, 50, None)), "words": []})
    show(page, said)
    expect(page.locator("#list .state")).to_have_text("1 word")
    assert page.locator("#layer span").all_inner_texts() == ["a line of text"]
    assert page.inner_text("#text") == "a line of text"


def test_text_that_is_not_made_of_the_lines_does(page: Page) -> None:
    said = json.loads(json.dumps(DOUBTS))
    said["pages"][0]["text"] = "# A heading\n\ncertain likely\n\n| guessed | unknown |\n"
    show(page, said)
    assert page.inner_text("#text") == "certain likely\nguessed unknown"


def test_boxes_can_be_hidden(page: Page) -> None:
    show(page, DOUBTS)
    expect(page.locator("#boxes-sure")).to_be_visible()
    page.click("#show-boxes")
    expect(page.locator("#boxes-sure")).to_be_hidden()
    expect(page.locator("#show-boxes")).to_have_attribute("aria-pressed", "false")


def test_two_thousand_words_are_fast(page: Page) -> None:
    show(page, crowd(2000))
    assert page.locator("#layer span").count() == 2000
    laid = page.evaluate("""async () => {
        const before = performance.now();
        document.querySelector(".pick").click();
        const sheet = document.getElementById("sheet");
        const { left, top, width, height } = sheet.getBoundingClientRect();
        for (let step = 0; step < 100; step++) {
            const how = { clientX: left + (width * step) / 100, clientY: top + (height * step) / 100, bubbles: true };
            sheet.dispatchEvent(new PointerEvent("pointermove", how));
        }
        await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
        return performance.now() - before;
    }""")
    assert laid < 1000, f"a hundred moves over the page took {laid:.0f} ms"
