"""JSON by orjson if it is installed, else by the standard library."""

from __future__ import annotations

import json
from typing import Any

try:
    import orjson
except ImportError:
    orjson = None  # type: ignore[assignment]


def dumps(value: Any) -> bytes:
    """Return a value as JSON in UTF-8, with U+FFFD for halves of surrogate pairs, which UTF-8 cannot hold.

    Raises:
        TypeError, ValueError: JSON cannot hold it.
    """
    if orjson is not None:
        try:
            return orjson.dumps(value)
        except TypeError:
            pass  # orjson refuses lone surrogates, and integers beyond 64 bits
    return whole(json.dumps(value, ensure_ascii=False)).encode()


def loads(data: bytes) -> Any:
    """Return the value that JSON in UTF-8 holds.

    Raises:
        ValueError: it is no JSON.
    """
    return json.loads(data) if orjson is None else orjson.loads(data)


def whole(text: str) -> str:
    """Return `text` with U+FFFD for each lone surrogate."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
