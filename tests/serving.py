"""The default bundle as a folder, with Tesseract's data from this machine, and any app behind a real socket."""

from __future__ import annotations

import os
import shutil
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from werkzeug.serving import make_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BUNDLE = Path(__file__).parent.parent / "bundles" / "tesseract"
TESSDATA = [
    Path(os.environ.get("TESSDATA_PREFIX") or "/nowhere"),
    *sorted(Path("/usr/share/tesseract-ocr").glob("*/tessdata")),
    Path("/usr/share/tessdata"),
    Path("/usr/local/share/tessdata"),
    Path("/opt/homebrew/share/tessdata"),
]


def traineddata(name: str = "eng") -> Path:
    """Return one of Tesseract's data files, or skip the test where the machine has none of it."""
    for folder in TESSDATA:
        if (folder / f"{name}.traineddata").is_file():
            return folder / f"{name}.traineddata"
    pytest.skip(f"no {name}.traineddata on this machine")


def unpacked(folder: Path) -> Path:
    """Copy the default bundle's source to `folder`, with its weights, as if it had been built and unpacked."""
    shutil.copytree(BUNDLE, folder)
    (folder / "weights").mkdir(exist_ok=True)
    shutil.copy(traineddata(), folder / "weights" / "eng.traineddata")
    return folder


@contextmanager
def served(app: Callable[..., Any]) -> Iterator[str]:
    """Yield the address of a WSGI app, without a slash at its end, while the block lasts."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
