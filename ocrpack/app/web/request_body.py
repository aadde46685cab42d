"""Receive the documents of a request, each in an open file without a name, and its options."""

from __future__ import annotations

import base64
import json
import re
import tempfile
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from functools import cached_property
from http import HTTPStatus
from typing import IO, Any

from flask import Request, request
from werkzeug.exceptions import ClientDisconnected
from werkzeug.wsgi import get_input_stream

from ..core.problem import Problem
from ..core.shared_file import SharedFile
from ..outputs import FORMATS
from ..work.options import OPTIONS, Options
from ..work.request_work import Upload

_FIELDS = ("image", "file")
_PREPROCESS = ("auto", "best", "none")
_CHUNK = 1 << 18
HOW_TO_SEND = (
    "Send an image or a PDF as the file field `image` of a multipart form, as a raw body with its content type, "
    'or as JSON: {"image_base64": "..."}.'
)
Fetch = Callable[[str], SharedFile]
"""Fetches the content of an address into an open file."""


class FileRequest(Request):
    """Write uploaded files to disk from their first byte on, so that engine processes can open them.

    A body of known length that ends early raises `ClientDisconnected`, and is never taken for complete.
    """

    @cached_property
    def stream(self) -> IO[bytes]:
        """The body. Werkzeug's own stream ends without an error where the server's ends too early."""
        environ = self.environ | {"wsgi.input": _Input(self.environ["wsgi.input"])}
        if self.content_length is not None:
            environ.pop("wsgi.input_terminated", None)
        return get_input_stream(environ, max_content_length=self.max_content_length)

    def _get_file_stream(self, *_: Any, **__: Any) -> IO[bytes]:
        return self._closing.enter_context(tempfile.TemporaryFile("rb+"))

    @cached_property
    def _closing(self) -> ExitStack:
        return ExitStack()

    def close(self) -> None:
        """Close all files, even those of a form that was not parsed to its end."""
        self._closing.close()
        super().close()


class _Input:
    """Wrap a server's input stream: its own errors, such as gunicorn's for wrong chunks, mean a cut-off request."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def read(self, size: int) -> bytes:
        try:
            return self._stream.read(size)
        except Exception as error:
            raise ClientDisconnected from error


def options(languages: tuple[str, ...]) -> Options:
    """Return the options of the current request, for a model of these languages.

    Raises:
        Problem: an option is invalid (422).
    """
    given: dict[str, Any] = dict(request.args)
    parsed(given, languages)  # the body overrides the query, whose options have to be valid all the same
    if request.mimetype == "multipart/form-data":
        given |= dict(request.form)
    elif request.is_json:
        given |= {name: value for name, value in document().items() if value is not None}
    return parsed(given, languages)


def parsed(given: Mapping[str, Any], languages: tuple[str, ...]) -> Options:
    """Return the options among these names and values; ignore other names.

    Raises:
        Problem: a value is invalid (422).
    """
    given = {name: given[name] for name in OPTIONS if name in given}
    output = _one_of("output", given.get("output", "json"), FORMATS)
    preprocess = _one_of("preprocess", given.get("preprocess", "auto"), _PREPROCESS)
    pages = given.get("pages")
    if pages is not None and (not isinstance(pages, str | int) or isinstance(pages, bool)):
        raise bad_option("pages", 'Write it as "1-3,5".')
    return Options(
        output=output,
        languages=tuple(_languages(given.get("languages"), languages)),
        region=_region(given.get("region")),
        preprocess=preprocess,
        pages=None if pages in (None, "") else str(pages),
    )


def _one_of(name: str, value: Any, known: Iterable[str]) -> str:
    if value not in tuple(known):
        raise bad_option(name, f"It may be: {', '.join(known)}.")
    return str(value)


def _languages(value: Any, known: tuple[str, ...]) -> list[str]:
    wanted = re.findall(r"[^+,\s]+", value) if isinstance(value, str) else [] if value is None else value
    if not isinstance(wanted, list) or not all(isinstance(one, str) and one in known for one in wanted):
        raise bad_option("languages", f"The model reads: {', '.join(known) or 'no language by name'}.")
    return list(dict.fromkeys(wanted))


def _region(value: Any) -> tuple[int, int, int, int] | None:
    if value is None or value == "":
        return None
    parts = value.split(",") if isinstance(value, str) else value if isinstance(value, list) else []
    texts = [str(part).strip() for part in parts if isinstance(part, str | int) and not isinstance(part, bool)]
    good = len(texts) == len(parts) == 4 and all(re.fullmatch(r"[0-9]{1,10}", text) for text in texts)
    left, top, right, bottom = map(int, texts) if good else (0, 0, 0, 0)
    if not (left < right < 2**31 and top < bottom < 2**31):
        raise bad_option("region", "Write it as x1,y1,x2,y2: pixels of the upright image, from its top left.")
    return left, top, right, bottom


def bad_option(name: str, advice: str) -> Problem:
    """Return the problem of an option with an invalid value."""
    title = "An option has no meaning here"
    return Problem(
        HTTPStatus.UNPROCESSABLE_ENTITY, "bad-option", title, f"`{name}` is not understood. {advice}", option=name
    )


def uploads(fetch: Fetch | None) -> list[Upload]:
    """Return the documents of the current request, in their order; `fetch` is None if addresses are not allowed.

    Raises:
        Problem: there is none, or it cannot be fetched.
    """
    if request.mimetype == "multipart/form-data":
        return uploaded(*_FIELDS)
    if request.is_json:
        return [_from_json(document(), fetch)]
    if request.mimetype.startswith("image/") or request.mimetype in ("application/octet-stream", "application/pdf"):
        return [Upload(None, body())]
    raise unsupported(HOW_TO_SEND)


def uploaded(*names: str) -> list[Upload]:
    """Return the documents in the file fields of these names.

    Raises:
        Problem: there is none, or the request is not a multipart form.
    """
    if request.mimetype != "multipart/form-data":
        raise unsupported(f"Send a multipart form with the file field `{names[0]}`.")
    for name in names:
        if name in request.form:
            raise no_image(f"The field `{name}` holds text and no file: with curl, write -F {name}=@page.png.")
    files = [file for name in names for file in request.files.getlist(name)]
    if not files:
        there = ", ".join(filter(None, [*request.files, *request.form])) or "no field at all"
        raise no_image(f"The form has no file field named `{names[0]}` (it has: {there}).")
    return [Upload(file.filename or None, SharedFile.same_as(file.stream)) for file in files]


def body() -> SharedFile:
    """Return the body of the current request in an open file."""
    return SharedFile.copy_of(iter(lambda: request.stream.read(_CHUNK), b""))


def from_base64(text: str, name: str) -> SharedFile:
    """Return the document in a base64 text or a `data:` address.

    Raises:
        Problem: it is not base64 (400).
    """
    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        return SharedFile.copy_of([base64.b64decode("".join(text.split()), validate=True)])
    except ValueError as error:
        raise no_image(f"`{name}` is not valid base64.") from error


def from_address(address: str, name: str, fetch: Fetch | None) -> SharedFile:
    """Return the document at an address: `data:` holds it, others are fetched if that is allowed.

    Raises:
        Problem: it cannot be fetched.
    """
    if address.startswith("data:"):
        return from_base64(address, name)
    if fetch is None:
        detail = f"This service fetches nothing: `{name}` may be a data: address alone. {HOW_TO_SEND}"
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "address-refused", "The address is refused", detail)
    return fetch(address)


def unsupported(advice: str) -> Problem:
    """Return the problem of a request whose content type its route does not take."""
    sent = request.mimetype or "no content type"
    title, detail = "The request holds no image", f"The request came with {sent}. {advice}"
    return Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported-body", title, detail)


def no_image(detail: str) -> Problem:
    """Return the problem of a request without a document."""
    return Problem(HTTPStatus.BAD_REQUEST, "no-image", "The request holds no image", detail)


def document() -> dict[str, Any]:
    """Return the JSON object in the body of the current request.

    Raises:
        Problem: there is none (400), or the content type is another (415).
    """
    if not request.is_json:
        raise unsupported("Send JSON, as application/json.")
    if "document" not in request.environ:
        text = request.get_data()
        request.stream.read(1)  # raises where a body of unknown length was cut at the limit
        try:
            parsed_body: Any = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise no_image(f"The body is not valid JSON. {HOW_TO_SEND}") from error
        if not isinstance(parsed_body, dict):
            raise no_image(f"The JSON is no object. {HOW_TO_SEND}")
        request.environ["document"] = parsed_body
    found: dict[str, Any] = request.environ["document"]
    return found


def _from_json(values: dict[str, Any], fetch: Fetch | None) -> Upload:
    found = {name: values[name] for name in ("image_base64", "image_url") if values.get(name) is not None}
    if found and all(isinstance(value, str) for value in found.values()):
        if "image_base64" in found:
            return Upload(None, from_base64(found["image_base64"], "image_base64"))
        return Upload(None, from_address(found["image_url"], "image_url", fetch))
    raise no_image(f"The JSON has no string `image_base64` or `image_url`. {HOW_TO_SEND}")
