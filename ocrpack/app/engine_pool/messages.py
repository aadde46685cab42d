"""What the web process and the engine processes say to each other.

A message travels as the JSON array `[name, fields]`; a picture travels beside it, as it is. The template greets with
`Ready`, which names the version of the protocol: count `PROTOCOL` up with every change that an older or newer process
would not understand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeAlias

from ..core import fastjson
from ..core.problem import Problem
from . import frames

if TYPE_CHECKING:
    import socket

PROTOCOL = 1

JsonPage: TypeAlias = dict[str, Any]
"""A page as the API shows it, less its place in the request. It has hundreds of words, so it stays what JSON makes."""


class ProtocolError(RuntimeError):
    """Say that the other process does not speak this protocol."""


class Message:
    """Send itself as JSON; `BLOB` names the field that travels as bytes."""

    BLOB: ClassVar[str | None] = None

    def to_json(self) -> dict[str, Any]:
        """Return the fields, ready for JSON, but for `BLOB`."""
        return {name: value for name, value in vars(self).items() if name != self.BLOB}

    @classmethod
    def from_json(cls, values: dict[str, Any], blob: bytes = b"") -> Self:
        """Return the message that `to_json` described.

        Raises:
            TypeError: a field is missing or unknown.
        """
        return cls(**values, **({cls.BLOB: blob} if cls.BLOB else {}))


# --- orders to an engine process; the document comes as an open file


@dataclass(frozen=True, kw_only=True)
class ReadPage(Message):
    """Read one page within `seconds`."""

    page: int | None
    """None: the first of the chosen pages."""
    pages: str | None
    """The choice, such as "1-3,5"; None: all."""
    region: Sequence[int] | None
    """Left, top, right, bottom in pixels of the upright page; None: all of it."""
    languages: Sequence[str]
    preprocess: str
    picture: bool
    """Answer with the page's picture, too."""
    seconds: float


@dataclass(frozen=True, kw_only=True)
class PreviewPage(Message):
    """Show one page as a JPEG of at most `side` pixels a side, within `seconds`."""

    page: int
    side: int
    seconds: float


Order: TypeAlias = ReadPage | PreviewPage


# --- answers of an engine process


@dataclass(frozen=True, kw_only=True)
class Answer(Message):
    """End an order, whatever came of it."""

    grown_mb: float = 0.0
    """By how much the process's memory exceeds what it held at its start, in MiB."""


@dataclass(frozen=True, kw_only=True)
class PageRead(Answer):
    """Hold what was read; seconds of `decode` and `ocr`. Its JSON also stands in the store of jobs."""

    BLOB = "image"

    numbers: list[int]
    """The numbers of all chosen pages of the document."""
    decode: float
    ocr: float
    warnings: list[str]
    page: JsonPage
    image: bytes = field(default=b"", repr=False)
    """A JPEG of the whole page where the order asked for one."""


@dataclass(frozen=True, kw_only=True)
class PagePreviewed(Answer):
    """Hold the small picture."""

    BLOB = "jpeg"

    jpeg: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, kw_only=True)
class Refused(Answer):
    """Say what is wrong with the document or the order."""

    problem: Problem

    def to_json(self) -> dict[str, Any]:
        """Return the fields, ready for JSON."""
        return super().to_json() | {"problem": self.problem.as_dict()}

    @classmethod
    def from_json(cls, values: dict[str, Any], blob: bytes = b"") -> Self:
        """Return the message that `to_json` described."""
        return cls(**values | {"problem": Problem.from_dict(values["problem"])})


@dataclass(frozen=True, kw_only=True)
class Fault(Answer):
    """Say that the app or its engine is at fault; the log has the traceback."""


# --- between the web process and the template


@dataclass(frozen=True, kw_only=True)
class Fork(Message):
    """Order a new engine process, on the socket that comes along."""


@dataclass(frozen=True, kw_only=True)
class Kill(Message):
    """Order the end of an engine process."""

    pid: int


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Hold what an engine says about itself; /readyz and /version show it."""

    engine: str
    backend: str
    engine_version: str
    threads: int | None
    """With how many threads its libraries were told to work."""


@dataclass(frozen=True, kw_only=True)
class Ready(Message):
    """Greet: the engine is loaded."""

    facts: Facts
    protocol: int = PROTOCOL

    def to_json(self) -> dict[str, Any]:
        """Return the fields, ready for JSON."""
        return super().to_json() | {"facts": vars(self.facts)}

    @classmethod
    def from_json(cls, values: dict[str, Any], blob: bytes = b"") -> Self:
        """Return the greeting of a process that speaks the same protocol.

        Raises:
            ProtocolError: it speaks another.
        """
        # This comes first: nothing is known of the other fields of another version.
        if (theirs := values.get("protocol")) != PROTOCOL:
            raise ProtocolError(f"its protocol is {theirs}, and {PROTOCOL} is needed")
        return cls(facts=Facts(**values["facts"]), protocol=theirs)


@dataclass(frozen=True, kw_only=True)
class Failed(Message):
    """Say why the engine cannot be loaded."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class Forked(Message):
    """Say that an engine process is there."""

    pid: int


@dataclass(frozen=True, kw_only=True)
class Ended(Message):
    """Say that an engine process ended, with the negative number of a signal or an exit status."""

    pid: int
    status: int


_ORDERS = (ReadPage, PreviewPage)
_ANSWERS = (PageRead, PagePreviewed, Refused, Fault)
_OF_THE_TEMPLATE = (Fork, Kill, Ready, Failed, Forked, Ended)
_KINDS: dict[str, type[Message]] = {kind.__name__: kind for kind in (*_ORDERS, *_ANSWERS, *_OF_THE_TEMPLATE)}


def send(connection: socket.socket, message: Message, descriptor: int | None = None) -> None:
    """Send one message, and an open file with it.

    Raises:
        OSError: the other side is gone.
    """
    text = fastjson.dumps([type(message).__name__, message.to_json()])
    blob = getattr(message, message.BLOB) if message.BLOB else b""
    frames.send(connection, frames.Frame(text, blob, descriptor))


def receive(connection: socket.socket) -> tuple[Message, int | None]:
    """Return the next message, and the open file that came with it, which the caller closes.

    Raises:
        EOFError: the other side is gone.
        OSError: the connection broke, or timed out.
        ProtocolError: the other side speaks another protocol.
    """
    frame = frames.receive(connection)
    try:
        name, values = fastjson.loads(frame.text)
        return _KINDS[name].from_json(values, frame.blob), frame.descriptor
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ProtocolError(f"it said {frame.text[:80]!r}, which this protocol does not have") from error


def stored_page(values: dict[str, Any], image: bytes) -> PageRead:
    """Return a page from the store of jobs, where a newer version may have kept more of it.

    Raises:
        TypeError: a field is missing.
    """
    names = {known.name for known in fields(PageRead)}
    return PageRead.from_json({name: value for name, value in values.items() if name in names}, image)
