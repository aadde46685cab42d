"""The messages between a command and a supervisor: one JSON object a line, over the control socket.

A supervisor lives for months, so the two may be of different versions. A connection begins with `GetStatus` and its
answer, in which each side says which protocol it speaks. Every version can read those two: fields may be added to
them, and a reader ignores what it does not know. All other messages are strict, since a field that is ignored
could change what runs.
"""

from __future__ import annotations

import dataclasses
import json
import types
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from ocrpack.deploy.store.state import Launch
from ocrpack.errors import BootError, OcrpackError

PROTOCOL = 2
"""Raise it with every change of a message. ocrpack 0.1.0 speaks protocol 1, and sends no number."""

SEE_LOG = "see logs/supervisor.log below the deployment's folder"
USE_THE_NEWER = "use the newer ocrpack for this deployment"


class SupervisorError(BootError):
    """The supervisor is gone, does not answer, or is of another version of ocrpack."""


@dataclass(frozen=True, kw_only=True)
class GetStatus:
    """Ask how the supervisor and its generations stand; the first request of a connection."""

    protocol: int = 1


@dataclass(frozen=True, kw_only=True)
class LaunchRelease:
    """Start a release behind its gate. It ends with this connection unless it is promoted."""

    release: str
    launch: Launch
    secrets: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Poll:
    """Ask whether a generation still runs."""

    number: int


@dataclass(frozen=True, kw_only=True)
class Promote:
    """Let a generation take the public address from the one that serves."""

    number: int


@dataclass(frozen=True, kw_only=True)
class Discard:
    """End a generation; if it serves, the one before it takes over first."""

    number: int


@dataclass(frozen=True, kw_only=True)
class Settle:
    """Drain and end all generations but one; None spares none."""

    number: int | None


@dataclass(frozen=True, kw_only=True)
class Stop:
    """Drain and end all generations, then the supervisor."""


@dataclass(frozen=True, kw_only=True)
class GenerationStatus:
    """How one generation stands."""

    number: int
    release: str
    pid: int
    started: float
    """Seconds since the epoch."""
    alive: bool
    private: str
    """The path of its private socket."""


@dataclass(frozen=True, kw_only=True)
class SupervisorStatus:
    """How a supervisor and its generations stand; answers `GetStatus`."""

    pid: int
    host: str
    port: int
    managed: bool
    """Whether a service manager started it."""
    serving: int | None
    """The number of the generation that serves."""
    restarts: int
    generations: tuple[GenerationStatus, ...]
    protocol: int = 1

    @property
    def serving_generation(self) -> GenerationStatus | None:
        """The generation that serves, or None."""
        return next((one for one in self.generations if one.number == self.serving), None)


@dataclass(frozen=True, kw_only=True)
class Launched:
    """The generation that was started; answers `LaunchRelease`."""

    number: int
    pid: int
    private: str


@dataclass(frozen=True, kw_only=True)
class Polled:
    """The exit status of a generation, or None while it runs; answers `Poll`."""

    status: int | None


@dataclass(frozen=True, kw_only=True)
class Settled:
    """The numbers of the generations that ended, and of those that were killed; answers `Settle` and `Stop`."""

    drained: tuple[int, ...]
    forced: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Done:
    """Answers `Promote` and `Discard`."""


@dataclass(frozen=True, kw_only=True)
class Refused:
    """Why a request was not fulfilled; may answer every request. `code` is that of the error's class."""

    error: str
    remedy: str = SEE_LOG
    code: str = BootError.code


Request = GetStatus | LaunchRelease | Poll | Promote | Discard | Settle | Stop
Answer = SupervisorStatus | Launched | Polled | Settled | Done | Refused
A = TypeVar("A", SupervisorStatus, Launched, Polled, Settled, Done)

FOR_ALL_VERSIONS = (GetStatus, Stop)
"""What a supervisor does for commands of every version, and every supervisor does for a command."""
_LENIENT = (GetStatus, SupervisorStatus, GenerationStatus)
_REQUESTS: dict[str, type[Request]] = {
    "status": GetStatus,
    "launch": LaunchRelease,
    "poll": Poll,
    "promote": Promote,
    "discard": Discard,
    "settle": Settle,
    "stop": Stop,
}
_NAMES = {kind: name for name, kind in _REQUESTS.items()}


def encode_request(request: Request) -> bytes:
    """Return a request as a line."""
    return _line({"do": _NAMES[type(request)], **dataclasses.asdict(request)})


def decode_request(line: bytes) -> Request:
    """Read a command's request.

    Raises:
        SupervisorError: it is none, or one of another version of ocrpack.
    """
    values = _object(line, "the command")
    name = values.pop("do", None)
    if name not in _REQUESTS:
        raise SupervisorError(f"the command is newer than the supervisor, which knows no {name!r}", USE_THE_NEWER)
    return _build(_REQUESTS[name], values, "the command", "the supervisor")


def encode_answer(answer: Answer) -> bytes:
    """Return an answer as a line."""
    return _line(dataclasses.asdict(answer))


def decode_answer(line: bytes, kind: type[A]) -> A:
    """Read a supervisor's answer of a kind, or raise what it refused the request with.

    Raises:
        SupervisorError: it is none, one of another version of ocrpack, or a fault of the protocol.
        OcrpackError: the supervisor refused the request.
    """
    values = _object(line, "the supervisor")
    if "error" in values:
        refused = _build(Refused, values, "the supervisor", "the command")
        raise _error_class(refused.code)(refused.error, refused.remedy)
    return _build(kind, values, "the supervisor", "the command")


def refusal(error: Exception) -> Refused:
    """Return an error as an answer."""
    if isinstance(error, OcrpackError):
        return Refused(error=error.message, remedy=error.remedy, code=error.code)
    return Refused(error=str(error) or type(error).__name__)


def _error_class(code: str) -> type[OcrpackError]:
    """Return the class of an error that the other side raised; one that is unknown here is the supervisor's fault."""
    classes = [OcrpackError]
    for one in classes:
        classes += one.__subclasses__()
    return next((one for one in classes if one.code == code), SupervisorError)


def _line(values: dict[str, Any]) -> bytes:
    return json.dumps(values).encode() + b"\n"


def _object(line: bytes, sender: str) -> dict[str, Any]:
    try:
        values = json.loads(line)
    except ValueError:
        raise SupervisorError(f"{sender} sent what is not JSON: {line[:80]!r}", SEE_LOG) from None
    if not isinstance(values, dict):
        raise SupervisorError(f"{sender} sent what is not an object: {line[:80]!r}", SEE_LOG)
    return values


K = TypeVar("K")


def _build(kind: type[K], values: dict[str, Any], sender: str, reader: str) -> K:
    """Make a message of its fields; fields that the reader does not know, or misses, tell which side is newer."""
    known = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    if kind in _LENIENT:
        values = {name: value for name, value in values.items() if name in known}
    required = {name for name, field in known.items() if _has_no_default(field)}
    for names, newer, older in ((values.keys() - known, sender, reader), (required - values.keys(), reader, sender)):
        if names:
            text = f"{newer} is newer than {older}: {kind.__name__} has {', '.join(sorted(names))} there alone"
            raise SupervisorError(text, USE_THE_NEWER)
    hints = get_type_hints(kind)
    try:
        return kind(**{name: _value(hints[name], value, sender, reader) for name, value in values.items()})
    except TypeError as error:
        raise SupervisorError(f"{sender} sent a {kind.__name__} that is none: {error}", SEE_LOG) from None


def _has_no_default(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _value(hint: Any, value: Any, sender: str, reader: str) -> Any:
    """Make a field's value from its JSON.

    Raises:
        TypeError: it is of another type.
    """
    origin, inner = get_origin(hint) or hint, get_args(hint)
    if origin is types.UnionType:
        return None if value is None else _value(inner[0], value, sender, reader)
    if dataclasses.is_dataclass(origin) and isinstance(value, dict):
        return _build(origin, value, sender, reader)  # type: ignore[arg-type]
    if origin is tuple and isinstance(value, list):
        return tuple(_value(inner[0], one, sender, reader) for one in value)
    if origin is dict and isinstance(value, Mapping):
        return {_value(str, name, sender, reader): _value(inner[1], one, sender, reader) for name, one in value.items()}
    if origin is float and type(value) is int:  # JSON may write a whole number without its point
        return float(value)
    if type(value) is not origin:
        raise TypeError(f"{value!r} is not {origin.__name__}")
    return value
