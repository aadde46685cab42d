"""What a bundle needs to be served: the requirements that `build` adds to the packager's own."""

from __future__ import annotations

from ocrpack.descriptor import App, Interface

_GUNICORN = 'gunicorn>=27,<28 ; sys_platform != "win32"'
_NEEDED: dict[Interface, tuple[str, ...]] = {
    "wsgi": (_GUNICORN,),
    "asgi": (_GUNICORN, "uvicorn-worker>=0.3,<1"),
    "aiohttp": (_GUNICORN, "aiohttp>=3.11,<4"),
}


def requirements(app: App) -> bytes:
    """Return a requirements file that names the server for the app's interface."""
    return "".join(f"{line}\n" for line in _NEEDED[app.interface]).encode()
