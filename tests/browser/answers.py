"""Answers of the app that a test makes up, where the real engine gives no such ones."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Page, Route

Part = dict[str, Any]


def word(text: str, left: int, top: int, width: int, height: int, confidence: float | None = 0.97) -> Part:
    right, bottom = left + width, top + height
    corners = [[left, top], [right, top], [right, bottom], [left, bottom]]
    return {"text": text, "bbox": [left, top, right, bottom], "polygon": corners, "confidence": confidence}


def line(*words: Part) -> Part:
    """Return the line of some words; its box need not be true."""
    text = " ".join(part["text"] for part in words)
    return {**words[0], "text": text, "words": list(words)}


def answer(*lines: Part, width: int = 1000, height: int = 1400, **more: Any) -> Part:
    text = "\n".join(part["text"] for part in lines)
    page = {"index": 0, "page_number": 1, "width": width, "height": height, "unit": "pixel", "dpi": None, "angle": 0.0}
    return {
        "id": "made-up",
        "model": {"name": "none", "version": "0"},
        "engine": "none",
        "languages": ["eng"],
        "text": text,
        "warnings": [],
        "timings": {"queue": 0.0, "decode": 0.0, "ocr": 0.1, "total": 0.1},
        "pages": [{**page, "text": text, "lines": list(lines)}],
        **more,
    }


def crowd(count: int) -> Part:
    """Return a page of so many words, forty lines of them at most."""
    across = -(-count // 40)
    lines = [
        line(*[word(f"w{row}x{place}", 20 + place * 40, 20 + row * 34, 36, 24) for place in range(across)])
        for row in range(count // across)
    ]
    return answer(*lines, width=40 + across * 40)


def always(page: Page, said: Part, status: int = 200) -> None:
    """Make POST /ocr give this answer on a page."""
    page.route("**/ocr", lambda route: reply(route, said, status))


def reply(route: Route, said: Part, status: int = 200, **headers: str) -> None:
    kind = "application/json" if status < 400 else "application/problem+json"
    route.fulfill(status=status, content_type=kind, body=json.dumps(said), headers={"Content-Type": kind, **headers})
