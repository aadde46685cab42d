"""Stand-in until the real one is merged."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Format:
    mimetype: str
    extension: str


FORMATS = {
    "json": Format("application/json", "json"),
    "text": Format("text/plain; charset=utf-8", "txt"),
    "pdf": Format("application/pdf", "pdf"),
}


def render(name: str, answer: dict[str, Any], images: Sequence[bytes] = ()) -> bytes:
    if name == "text":
        return (answer["text"] + "\n").encode()
    return (json.dumps(answer, ensure_ascii=False) + "\n").encode()
