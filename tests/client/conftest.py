"""A real service for the whole session."""

from __future__ import annotations

import pytest
from PIL import Image

from ocrpack.client import Address, Connection, Patience, Service, Source
from tests.client.servers import real_app
from tests.patience import PATIENCE


@pytest.fixture(scope="session")
def tesseract(tmp_path_factory):
    """The address of the default bundle's app with real Tesseract."""
    with real_app(tmp_path_factory.mktemp("served") / "bundle") as url:
        yield url


@pytest.fixture
def connect():
    """Return services at addresses; no attempt waits for long."""

    def make(url, *, seconds=PATIENCE, on_wait=lambda _: None, timeout=PATIENCE, **more):
        quick = Patience(seconds, chance=lambda: -0.95)
        return Service(Connection(Address.of(url, timeout=timeout, **more), quick, 4, on_wait))

    return make


@pytest.fixture
def image(tmp_path):
    """A small image as a source."""
    path = tmp_path / "page.png"
    Image.new("L", (80, 40), 255).save(path)
    return Source("page.png", path, path.relative_to(tmp_path))
