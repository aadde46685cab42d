"""JSON with and without orjson: the same values, and nothing that UTF-8 cannot hold."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ocrpack.app.core import fastjson


@pytest.mark.parametrize("installed", [True, False])
@pytest.mark.parametrize(
    ("value", "read"),
    [
        ({"text": "Grüße, 世界 😀", "box": (1, 2), "angle": -0.5, "dpi": None}, None),
        ({"text": "half \ud83d of a pair"}, {"text": "half \ufffd of a pair"}),
        ([2**80], None),
    ],
)
def test_what_is_written_is_read(monkeypatch: pytest.MonkeyPatch, installed: bool, value: Any, read: Any) -> None:
    if not installed:
        monkeypatch.setattr(fastjson, "orjson", None)
    data = fastjson.dumps(value)
    data.decode()
    expected = read or json.loads(json.dumps(value))
    assert json.loads(data) == expected
    if isinstance(value, dict):
        assert fastjson.loads(data) == expected


@pytest.mark.parametrize("installed", [True, False])
def test_what_is_no_json_is_refused(monkeypatch: pytest.MonkeyPatch, installed: bool) -> None:
    if not installed:
        monkeypatch.setattr(fastjson, "orjson", None)
    with pytest.raises(ValueError, match=r"line 1 column|char"):
        fastjson.loads(b"{")
    with pytest.raises(TypeError):
        fastjson.dumps({"image": object()})
