"""Serve one bundle's OCR model over HTTP, with a page for people.

This folder ships inside every bundle that uses it, next to `ocrpack/__init__.py` and without the rest of ocrpack, so it
imports the standard library, Flask, Pillow and a few small libraries, and nothing else. Its folders, each importing
those before it: `engines`, `core`, `preprocess`, `images`, `outputs`, `engine_pool`, `work`, `web`. A request goes the
other way: `web` takes it in, `work` makes pages of it, `engine_pool` has them read.
"""

from typing import Any

__all__ = ["create_app", "serve"]


def __getattr__(name: str) -> Any:
    """Import the server when it is asked for: the engine's processes run without Flask."""
    if name not in __all__:
        raise AttributeError(name)
    from .web import server

    return getattr(server, name)
