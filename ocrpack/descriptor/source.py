"""Where each value and key stands in a JSON text.

`scan` is a strict JSON parser (RFC 8259) written as a loop: it keeps the offset of every key and value, tells of
duplicate keys, and says of broken JSON what was expected where. The standard library's parser gives no positions, is
silent on duplicate keys and NaN, and recurses.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ocrpack.errors import DescriptorError, Finding, Where

JsonPath = tuple[str | int, ...]
"""The keys and indices that lead from the top of the document to a value."""

Located = tuple[JsonPath, Finding]
"""A finding and the value it speaks of; `Document.where` turns the path into a line and column."""

MAX_DEPTH = 32
MAX_VALUES = 50_000
LARGEST = 2**63

_SPACE = re.compile(r"[ \t\n\r]*+")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?")
_STRING = re.compile(r'"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9A-Fa-f]{4}))*+')
_WORD = re.compile(r"-?[^\W\d]\w*")
_CONSTANTS: dict[str, bool | None] = {"true": True, "false": False, "null": None}
_FOREIGN = {"True": "true", "False": "false", "None": "null", "undefined": "null", "nil": "null"}
_NOT_NUMBERS = frozenset({"NaN", "Infinity", "-Infinity"})


def pointer(path: Sequence[str | int]) -> str:
    """Return the path as a JSON pointer (RFC 6901)."""
    return "".join("/" + str(token).replace("~", "~0").replace("/", "~1") for token in path)


def shown(value: object, limit: int = 60) -> str:
    """Return a value as it may stand in a message: short, on one line, with nothing that a terminal would obey."""
    if isinstance(value, dict):
        return f"an object of {len(value)} keys" if value else "{}"
    if isinstance(value, (list, tuple)):
        return f"a list of {len(value)} values" if value else "[]"
    text = json.dumps(value[: limit + 1] if isinstance(value, str) else value, ensure_ascii=False)
    if isinstance(value, str) and len(value) > limit:
        text = f'{json.dumps(value[:limit], ensure_ascii=False)[:-1]}…" ({len(value)} characters)'
    return _printable(text)


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text)


@dataclass(frozen=True)
class Document:
    """A JSON text, its value, and where everything in it stands.

    `faults` are the things that the grammar allows, or that the scan could step over, and that no descriptor may hold.
    """

    file: str
    value: Any
    faults: tuple[Located, ...]
    _lines: tuple[int, ...] = field(repr=False)
    _children: dict[tuple[int, str | int], int] = field(repr=False)
    _values: tuple[int, ...] = field(repr=False)
    _keys: tuple[int, ...] = field(repr=False)

    def where(self, path: Sequence[str | int] = (), *, key: bool = False) -> Where:
        """Return where the value at `path`, or its key, stands: for an absent value, where its parent does."""
        node = 0
        for depth, token in enumerate(path):
            child = self._children.get((node, token))
            if child is None:
                key = key and depth < len(path) - 1
                break
            node = child
        offset = self._keys[node] if key and self._keys[node] >= 0 else self._values[node]
        return _place(self.file, self._lines, offset, path)


def _place(file: str, lines: Sequence[int], offset: int, path: Sequence[str | int]) -> Where:
    line = bisect_right(lines, offset)
    name = _printable(pointer(path))
    return Where(file, line, offset - lines[line - 1] + 1, name if len(name) <= 300 else name[:299] + "…")


def scan(text: str, file: str, *, max_depth: int = MAX_DEPTH, max_values: int = MAX_VALUES) -> Document:
    """Parse a JSON text and note where everything in it stands.

    Raises:
        DescriptorError: the text is not JSON, nests deeper than `max_depth` or holds more than `max_values` values.
    """
    return _Scanner(text, file, max_depth, max_values).document()


class _BrokenError(Exception):
    """The scan cannot go on."""

    def __init__(self, offset: int, finding: Finding) -> None:
        super().__init__(finding.message)
        self.offset = offset
        self.finding = finding


@dataclass
class _Open:
    """An object or a list that is not closed yet."""

    value: dict[str, Any] | list[Any]
    node: int
    start: int
    token: str | int | None
    keys: dict[str, int] = field(default_factory=dict)


class _Scanner:
    def __init__(self, text: str, file: str, max_depth: int, max_values: int) -> None:
        self.text, self.file, self.max_depth, self.max_values = text, file, max_depth, max_values
        self.at = 0
        self.open: list[_Open] = []
        self.faults: list[Located] = []
        self.lines = (0, *(match.end() for match in re.finditer("\n", text)))
        self.children: dict[tuple[int, str | int], int] = {}
        self.values: list[int] = []
        self.keys: list[int] = []

    def document(self) -> Document:
        try:
            self.skip()
            top = self.begin(None, -1)
            while self.open:
                innermost = self.open[-1]
                if isinstance(innermost.value, dict):
                    self.member(innermost, innermost.value)
                else:
                    self.item(innermost, innermost.value)
            self.skip()
            if self.at < len(self.text):
                raise self.broken("the end of the file", remedy="remove what follows the closing bracket")
        except _BrokenError as error:
            raise self.refusal(error) from None
        return Document(
            self.file,
            top,
            tuple(self.faults),
            _lines=self.lines,
            _children=self.children,
            _values=tuple(self.values),
            _keys=tuple(self.keys),
        )

    def refusal(self, error: _BrokenError) -> DescriptorError:
        last = Finding(**{**error.finding.__dict__, "where": _place(self.file, self.lines, error.offset, self.path())})
        findings = (*(finding for _, finding in self.faults), last)
        return DescriptorError(f"{last.where}: {last.message}", last.remedy, findings)

    def path(self, *last: str | int) -> JsonPath:
        return (*(entry.token for entry in self.open if entry.token is not None), *last)

    def skip(self) -> None:
        match = _SPACE.match(self.text, self.at)
        self.at = match.end() if match else self.at

    def peek(self) -> str:
        return self.text[self.at : self.at + 1]

    def begin(self, token: str | int | None, key: int) -> Any:
        """Read a scalar, or open a list or an object; what is in it is read by the loop."""
        if len(self.values) >= self.max_values:
            raise self.broken_with(
                "too-many-values", f"the file holds more than {self.max_values} values", "shorten it"
            )
        node = len(self.values)
        if self.open and token is not None:
            self.children[self.open[-1].node, token] = node
        self.values.append(self.at)
        self.keys.append(key)
        character = self.peek()
        if character not in ("{", "["):
            return self.scalar(token)
        if len(self.open) >= self.max_depth:
            raise self.broken_with(
                "too-deep", f"more than {self.max_depth} lists and objects in one another", "flatten it"
            )
        value: dict[str, Any] | list[Any] = {} if character == "{" else []
        self.open.append(_Open(value, node, self.at, token))
        self.at += 1
        return value

    def separator(self, innermost: _Open, closing: str) -> bool:
        """Step over the comma before the next entry; False where the list or object ends."""
        self.skip()
        first = not innermost.value
        if self.peek() == closing:
            self.at += 1
            self.open.pop()
            return False
        if first:
            return True
        if self.peek() != ",":
            raise self.broken(f"a comma or {closing!r}", opened=innermost)
        comma = self.at
        self.at += 1
        self.skip()
        if self.peek() == closing:
            self.at = comma
            raise self.broken("no comma after the last entry", got="a trailing comma", remedy="remove the comma")
        return True

    def item(self, innermost: _Open, value: list[Any]) -> None:
        if self.separator(innermost, "]"):
            value.append(self.begin(len(value), -1))

    def member(self, innermost: _Open, value: dict[str, Any]) -> None:
        if not self.separator(innermost, "}"):
            return
        key_at = self.at
        if self.peek() != '"':
            raise self.broken("a key in double quotes", opened=innermost)
        key = self.string(None)
        if key in innermost.keys:
            self.duplicate(innermost.keys[key], key_at, key)
        innermost.keys[key] = key_at
        self.skip()
        if self.peek() != ":":
            raise self.broken("a colon after the key")
        self.at += 1
        self.skip()
        value[key] = self.begin(key, key_at)

    def duplicate(self, first: int, second: int, key: str) -> None:
        places = [_place(self.file, self.lines, offset, self.path(key)) for offset in (first, second)]
        message = f"the key {shown(key)} stands twice: at line {places[0].line}, column {places[0].column} and here"
        finding = Finding("duplicate-key", message, "keep one of the two", places[1])
        self.faults.append((self.path(key), finding))

    def scalar(self, token: str | int | None) -> Any:
        start = self.at
        if self.peek() == '"':
            return self.string(token)
        number = _NUMBER.match(self.text, start)
        word = _WORD.match(self.text, start)
        if number:
            self.at = number.end()
            return self.number(number.group(), start, token)
        if word and word.group() in _CONSTANTS:
            self.at = word.end()
            return _CONSTANTS[word.group()]
        if word and word.group() in _NOT_NUMBERS:
            self.at = word.end()
            self.fault("not-a-number", f"{word.group()} is no JSON value", "write a finite number", start, token)
            return 0
        if word and word.group() in _FOREIGN:
            right = _FOREIGN[word.group()]
            raise self.broken("a JSON value", got=word.group(), remedy=f"write {right}, in lower case")
        raise self.broken("a value")

    def number(self, literal: str, start: int, token: str | int | None) -> int | float:
        """Return a whole number as an int however it is written: 1, 1.0 and 1e0 are one number to JSON."""
        number = float(literal)
        if abs(number) >= LARGEST:
            self.fault("number-out-of-range", "the number is too large", "write a number below 2^63", start, token)
            return 0
        if not number.is_integer():
            return number
        return int(literal) if literal.lstrip("-").isdigit() else int(number)

    def string(self, token: str | int | None) -> str:
        """Read a string; with no token it is a key."""
        start = self.at
        match = _STRING.match(self.text, start)
        end = match.end() if match else start
        if self.text[end : end + 1] != '"':
            self.at = end
            raise self.broken_string(start)
        self.at = end + 1
        text: str = json.loads(self.text[start : self.at])
        last = text if token is None and self.open else token
        if "\0" in text:
            self.fault("nul-character", "a NUL character inside text", "remove \\u0000", start, last)
        if any("\ud800" <= character <= "\udfff" for character in text):
            remedy = "write the character itself, or both halves of its surrogate pair"
            self.fault("lone-surrogate", "half a character: a lone UTF-16 surrogate", remedy, start, last)
        return text

    def fault(self, code: str, message: str, remedy: str, offset: int, token: str | int | None) -> None:
        path = self.path() if token is None else self.path(token)
        self.faults.append((path, Finding(code, message, remedy, _place(self.file, self.lines, offset, path))))

    def broken_with(self, code: str, message: str, remedy: str) -> _BrokenError:
        return _BrokenError(self.at, Finding(code, message, remedy))

    def broken_string(self, start: int) -> _BrokenError:
        character = self.peek()
        opened = _place(self.file, self.lines, start, ())
        if character == "\\":
            got, remedy = (
                shown(self.text[self.at : self.at + 2]),
                "write a backslash as \\\\, a path with forward slashes",
            )
            return self.broken("an escape that JSON knows", got=got, remedy=remedy)
        if character and character not in "\r\n":
            remedy = f"write it as \\u{ord(character):04x}, or remove it"
            return self.broken("text", got=f"the control character U+{ord(character):04X}", remedy=remedy)
        got = "the end of the line" if character else "the end of the file"
        remedy = f"close the text that opens at line {opened.line}, column {opened.column}; a line break is written \\n"
        return self.broken("a closing double quote", got=got, remedy=remedy)

    def broken(
        self, expected: str, *, got: str | None = None, remedy: str = "", opened: _Open | None = None
    ) -> _BrokenError:
        got = got or self.found()
        if not remedy:
            remedy = next(self.advice(opened), f"write {expected} here")
        return _BrokenError(
            self.at, Finding("not-json", f"expected {expected}, got {got}", remedy, expected=expected, got=got)
        )

    def found(self) -> str:
        rest = self.text[self.at : self.at + 24]
        if not rest:
            return "the end of the file"
        word = re.match(r"[\w.+-]+", rest)
        return shown(word.group() if word else rest[0])

    def advice(self, opened: _Open | None) -> Iterator[str]:
        rest = self.text[self.at : self.at + 2]
        if rest.startswith("'"):
            yield "use double quotes"
        if rest in ("//", "/*") or rest.startswith("#"):
            yield "JSON has no comments: remove it"
        if not rest and opened:
            place = _place(self.file, self.lines, opened.start, ())
            bracket = self.text[opened.start]
            yield f"close the {bracket!r} that opens at line {place.line}, column {place.column}"
        if opened and opened.value and rest.startswith('"'):
            yield "write a comma between the two entries"
        if _WORD.match(rest):
            yield "put text in double quotes"
