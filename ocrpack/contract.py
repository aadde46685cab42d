"""How an app's inference endpoint is asked, and where the text stands in its answer.

The gate of a deploy and the client of a running service ask in the same way, so that what passes one can be read by
the other.
"""

from __future__ import annotations

import mimetypes
from collections.abc import Mapping
from typing import Any

IMAGE_FIELD = "image"
"""The form field that holds the image."""
TEXT_KEYS = ("text", "extracted_text", "response_message")
"""Where the text may stand in an answer in JSON; the first one that is there counts."""


def image_form(name: str, content: bytes, fields: Mapping[str, str] | None = None) -> tuple[bytes, str]:
    """Return the body of a multipart form with an image and other fields, and its content type."""
    from urllib3 import encode_multipart_formdata  # slow to import, and most commands send no image

    name = name.encode("utf-8", "replace").decode()  # a file's name may hold bytes that are not UTF-8
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    return encode_multipart_formdata({**(fields or {}), IMAGE_FIELD: (name, content, kind)})


def text_in(document: Any) -> str | None:
    """Return the text of an answer in JSON, or None where there is none."""
    if not isinstance(document, dict):
        return None
    return next((document[key] for key in TEXT_KEYS if isinstance(document.get(key), str)), None)
