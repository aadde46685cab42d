"""The app with its real engine behind a socket, a real Chromium, and pages that must not complain."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ocrpack.app import create_app
from tests.browser.pages import TOKEN
from tests.serving import served, traineddata, unpacked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser, Page

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an unpacked bundle of two languages."""
    folder = unpacked(tmp_path_factory.mktemp("page") / "bundle")
    shutil.copy(traineddata(), folder / "weights" / "deu.traineddata")
    descriptor = json.loads((folder / "descriptor.json").read_text(encoding="utf-8"))
    model = descriptor["model"]
    model["languages"] = ["eng", "deu"]
    model["weights"].append(model["weights"][0] | {"path": "weights/deu.traineddata"})
    (folder / "descriptor.json").write_text(json.dumps(descriptor), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def address(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OCRPACK_DATA", str(tmp_path_factory.mktemp("data")))
        app = create_app(folder)
    with served(app) as address:
        yield f"{address}/"


@pytest.fixture(scope="session")
def guarded_address(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the address of the same app, which lets only those read who bring the token."""
    locked = tmp_path_factory.mktemp("locked") / "bundle"
    shutil.copytree(folder, locked)
    descriptor = json.loads((locked / "descriptor.json").read_text(encoding="utf-8"))
    descriptor["app"]["tokens"] = ["OCR_API_TOKEN"]
    (locked / "descriptor.json").write_text(json.dumps(descriptor), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OCR_API_TOKEN", TOKEN)
        patch.setenv("OCRPACK_DATA", str(tmp_path_factory.mktemp("data")))
        app = create_app(locked)
    with served(app) as address:
        yield f"{address}/"


@pytest.fixture(scope="session")
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
def open_page(browser: Browser, address: str) -> Iterator[Callable[..., Page]]:
    """Return what opens the page, in a context of these arguments; a complaint in its console fails the test."""
    complaints: list[str] = []
    contexts = []

    def open_page(at: str = address, **how: Any) -> Page:
        context = browser.new_context(permissions=["clipboard-read", "clipboard-write"], **how)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
        page.goto(at)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert [complaint for complaint in complaints if "Failed to load resource" not in complaint] == []


@pytest.fixture
def page(open_page: Callable[..., Page]) -> Page:
    return open_page()
