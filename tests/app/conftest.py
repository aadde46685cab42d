"""A working folder of the Tesseract bundle, and apps on it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ocrpack.app import create_app
from tests.app.drawings import BACKENDS, PROJECT
from tests.serving import traineddata, unpacked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from flask.testing import FlaskClient


@pytest.fixture(scope="session", autouse=True)
def data_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the jobs of these tests out of the machine's own folder for them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OCRPACK_DATA", str(tmp_path_factory.mktemp("data")))
        yield


@pytest.fixture(autouse=True)
def own_jobs(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no app that a test makes take up the jobs of another test's, which live on in the same process."""
    monkeypatch.setenv("OCRPACK_DATA", str(tmp_path_factory.mktemp("jobs")))


@pytest.fixture(scope="session")
def language_data() -> Path:
    return traineddata()


@pytest.fixture(scope="session")
def make_bundle(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Return a maker of unpacked bundles; keyword arguments change the descriptor's `app` part."""

    def make(**app: Any) -> Path:
        folder = unpacked(tmp_path_factory.mktemp("bundle") / "un dossier nommé d'été")
        descriptor = json.loads((folder / "descriptor.json").read_text(encoding="utf-8"))
        descriptor["app"] |= app
        (folder / "descriptor.json").write_text(json.dumps(descriptor), encoding="utf-8")
        return folder

    return make


@pytest.fixture(scope="session", params=BACKENDS)
def client(request: pytest.FixtureRequest, make_bundle: Callable[..., Path]) -> FlaskClient:
    """Return a client of the real app, once with each backend."""
    return create_app(make_bundle(options={"backend": request.param})).test_client()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real images beside the checkout."""
    folder = PROJECT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("no shared/data beside the checkout")
    return folder
