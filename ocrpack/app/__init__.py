"""Serve one bundle's OCR model over HTTP, with a page for people.

Every bundle that uses this folder carries a copy of it, next to `ocrpack/__init__.py` and without the rest of ocrpack.
So it imports the standard library, Flask, Pillow and a few small libraries, and nothing else. Its folders, each
importing those before it: `engines`, `core`, `preprocess`, `images`, `outputs`, `engine_pool`, `work`, `web`. A request
goes the other way: `web` receives it, `work` takes its documents apart into pages, `engine_pool` has the pages read.
"""

from typing import Any

__all__ = ["create_app", "serve"]


def __getattr__(name: str) -> Any:
    """Import the server on first use: the engine processes run without Flask."""
    if name not in __all__:
        raise AttributeError(name)
    from .web import server

    return getattr(server, name)
