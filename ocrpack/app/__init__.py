"""Serve one bundle's OCR model over HTTP, with a page for people.

This folder ships inside every bundle that uses it, next to `ocrpack/__init__.py` and without the rest of ocrpack, so it
imports the standard library, Flask, Pillow and its engine's library, and nothing else. Read it in this order: `server`
(the routes), `reader` (what happens to an image), `imaging`, `engines`, then `page`, `problem` and `settings`.
"""

from .server import create_app, serve

__all__ = ["create_app", "serve"]
