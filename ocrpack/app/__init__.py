"""Serve one bundle's OCR model over HTTP, with a page for people.

This folder ships inside every bundle that uses it, next to `ocrpack/__init__.py` and without the rest of ocrpack, so it
imports the standard library, Flask, Pillow and a few small libraries, and nothing else. Read it in this order: `server`
(how the parts come together), `api` (the routes) with `intake`, `reader` (a request's way), `pool` and `worker` (the
processes that read), `documents`, `imaging`, `preprocess`, `engines`, `outputs`; then `jobs`, `access`, `metrics`,
`page`, `problem` and `settings`; `foreign` with `mistral` and `docling` (what clients of other services ask), and
`openapi` (the API's description).
"""

from typing import Any

__all__ = ["create_app", "serve"]


def __getattr__(name: str) -> Any:
    """Import the server when it is asked for: the engine's processes run without Flask."""
    if name not in __all__:
        raise AttributeError(name)
    from . import server

    return getattr(server, name)
