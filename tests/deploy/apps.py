"""Apps of all interfaces that answer as the embedded one does and need no engine."""

from __future__ import annotations

from tests.conftest import MINI_APP, changed
from tests.variants import slow

ASGI_APP = """
import json


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    text = body.split(b"\\r\\n\\r\\n", 1)[1].rsplit(b"\\r\\n--", 1)[0].decode() if body else ""
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps({"text": text, "version": VERSION}).encode()})
"""
AIOHTTP_APP = """
from aiohttp import web


async def ocr(request):
    image = await (await request.multipart()).next()
    return web.json_response({"text": (await image.read()).decode(), "version": VERSION})


async def health(request):
    return web.json_response({"status": "ok", "version": VERSION})


app = web.Application()
app.router.add_post("/ocr", ocr)
for path in ("/", "/healthz", "/readyz"):
    app.router.add_get(path, health)
"""
APPS = {"wsgi": MINI_APP, "asgi": ASGI_APP, "aiohttp": AIOHTTP_APP}
INTERFACES = ["wsgi", *slow("asgi", "aiohttp")]
OCR = 'answer = {"text": text_of(body)'


def app_reading(text):
    """Return an app that answers OCR requests with what a Python expression makes of `body`."""
    return changed(MINI_APP, OCR, f'answer = {{"text": {text}')
