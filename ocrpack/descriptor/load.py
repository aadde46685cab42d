"""From a file to a Descriptor, or to every finding at once.

    bytes -> text -> Document (source.py) -> schema and model (findings.py) -> checks (check.py, folder.py)

The checks that no schema states run on whatever is well-formed, so that one run shows all there is to mend.
"""

from __future__ import annotations

import json
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ocrpack.descriptor import check, folder
from ocrpack.descriptor.files import Selection, survey
from ocrpack.descriptor.findings import model_finding, schema_findings
from ocrpack.descriptor.format.model import Descriptor
from ocrpack.descriptor.format.schema import json_schema
from ocrpack.descriptor.format.values import DESCRIPTOR
from ocrpack.descriptor.source import Document, JsonPath, Located, scan
from ocrpack.errors import DescriptorError, Finding, Where

LIMIT = 1024 * 1024

_AT_KEY = frozenset({"unknown-key", "bad-name"})
_schema = cache(json_schema)

_STAND_INS: dict[JsonPath, object] = {
    ("schema_version",): 1,
    ("name",): "unnamed",
    ("version",): "0",
    ("model",): {"name": "unnamed", "version": "0"},
    ("model", "name"): "unnamed",
    ("model", "version"): "0",
}
"""What the checks see where a required value is missing or wrong; none of them looks at these."""


@dataclass(frozen=True)
class Source:
    """A sound source folder: what its descriptor says, what is worth a warning, and the files that are selected.

    `files` are the app's files, what `files` names in the descriptor, licences and README.md, by names in the bundle.
    """

    folder: Path
    descriptor: Descriptor
    warnings: tuple[Finding, ...]
    files: Mapping[str, Path]
    document: Document

    def where(self, *path: str | int) -> Where:
        """Return where the value at `path` stands, as in `where("model", "weights", 0, "source")`."""
        return self.document.where(path)


def load(path: Path) -> Descriptor:
    """Return the descriptor at `path`, a file or a folder that holds a `descriptor.json`.

    Raises:
        DescriptorError: with every finding.
    """
    file = _descriptor_file(path)
    return read(_bytes(file), str(file)).sound()


def load_source(path: Path, *, built: bool = False) -> Source:
    """Return the descriptor at `path` after checking it against the folder that it stands in.

    `built` tells that the build commands have run, so that nothing they make may be missing any more.

    Raises:
        DescriptorError: with every finding, warnings among them.
    """
    file = _descriptor_file(path)
    reading = read(_bytes(file), str(file))
    selection = Selection({})
    if reading.partial is not None:
        selection = survey(file.parent, reading.partial)
        reading.add_checks(check.findings(reading.partial))
        reading.add_checks(folder.findings(reading.partial, file.parent, selection, built=built))
    return Source(file.parent, reading.sound(), tuple(reading.ordered()), selection.files, reading.document)


class Reading:
    """A descriptor being read: its findings so far, and the part of it that is well-formed."""

    def __init__(self, document: Document, findings: Iterable[Finding] = ()) -> None:
        self.document = document
        self.findings = list(findings)
        self.bad: set[JsonPath] = set()
        self.kept: dict[JsonPath, list[int]] = {}
        self.stand_ins: set[JsonPath] = set()
        self.add(document.faults)
        self.add(schema_findings(_schema(), document.value))
        self.partial = self.model()

    def add(self, located: Iterable[Located]) -> None:
        """Take findings about values; of a value that is known to be bad the first ones are enough."""
        known = frozenset(self.bad)
        for path, finding in located:
            if path not in known:
                if finding.code != "duplicate-key":  # the value that counts, the last one, may be sound
                    self.bad.add(path)
                where = finding.where or self.document.where(path, key=finding.code in _AT_KEY)
                self.findings.append(replace(finding, where=where))

    def add_checks(self, located: Iterable[Located]) -> None:
        """Take findings about the partial descriptor, but for those that follow from another finding."""
        for path, finding in located:
            path = self.original(path)
            rests_on = (path, *check.RESTS_ON.get(finding.code, ()))
            if any(part[: len(bad)] == bad or bad[: len(part)] == part for bad in self.bad for part in rests_on):
                continue
            self.findings.append(finding if finding.where else replace(finding, where=self.document.where(path)))

    def model(self) -> Descriptor | None:
        """Return the descriptor without what is bad in it, or None where nothing is left to look at."""
        while isinstance(self.document.value, dict) and () not in self.bad:
            try:
                return Descriptor.model_validate_json(json.dumps(self.without_bad(self.document.value, ())))
            except ValidationError as error:
                details = error.errors(include_url=False)
            before = len(self.bad) + len(self.stand_ins)
            for detail in details:
                path = self.original(detail["loc"])
                if detail["type"] != "missing":
                    self.add([(self.present(path), model_finding(detail))])
                elif path in _STAND_INS:
                    self.stand_ins.add(path)
                else:
                    self.bad.add(path[:-1])  # an entry of a list without what it needs; that has its finding
            if len(self.bad) + len(self.stand_ins) == before:
                break
        return None

    def without_bad(self, value: Any, path: JsonPath) -> Any:
        """Copy the value without what is bad, noting which entries of the lists are kept."""
        if isinstance(value, list):
            kept = [index for index in range(len(value)) if (*path, index) not in self.bad]
            self.kept[path] = kept
            return [self.without_bad(value[index], (*path, index)) for index in kept]
        if isinstance(value, dict):
            copy = {
                key: self.without_bad(entry, (*path, key))
                for key, entry in value.items()
                if (*path, key) not in self.bad
            }
            fill = {stand_in[-1]: _STAND_INS[stand_in] for stand_in in self.stand_ins if stand_in[:-1] == path}
            return {**copy, **fill}
        return value

    def original(self, path: Iterable[str | int]) -> JsonPath:
        """Turn a path in the partial descriptor into the file's: the entries left out shift the others."""
        result: JsonPath = ()
        for token in path:
            if isinstance(token, int):
                kept = self.kept.get(result)
                if kept is None or token >= len(kept):
                    break
                token = kept[token]
            result = (*result, token)
        return result

    def present(self, path: JsonPath) -> JsonPath:
        """Strip path elements that pydantic adds (union branch, key marker) and the document lacks."""
        value: Any = self.document.value
        for length, token in enumerate(path):
            inside = token in value if isinstance(value, dict) else isinstance(value, list) and isinstance(token, int)
            if not inside:
                return path[:length]
            value = value[token]
        return path

    def ordered(self) -> list[Finding]:
        """Return the findings in the order in which they stand in the file, those on other files last."""
        name = self.document.file

        def key(finding: Finding) -> tuple[bool, str, int, int]:
            where = finding.where or Where(name)
            return where.file != name, where.file, where.line or 0, where.column or 0

        return sorted(self.findings, key=key)

    def sound(self) -> Descriptor:
        """Return the descriptor.

        Raises:
            DescriptorError: there are errors among the findings.
        """
        findings = self.ordered()
        errors = [finding for finding in findings if finding.severity == "error"]
        if errors or self.partial is None:
            raise _refusal(self.document.file, findings)
        return self.partial


def read(data: bytes, file: str) -> Reading:
    """Read a descriptor as far as its bytes can be read.

    Raises:
        DescriptorError: they are no JSON object at all.
    """
    if len(data) > LIMIT:
        raise _refusal(file, [_too_big(file, len(data))])
    text, findings = _text(data, file)
    try:
        document = scan(text, file)
    except DescriptorError as error:
        raise _refusal(file, [*findings, *error.findings]) from None
    return Reading(document, findings)


def _text(data: bytes, file: str) -> tuple[str, list[Finding]]:
    """Decode the file's bytes; a byte order mark is a finding that does not hide the others."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in data[:4]:
        message = "the file is in UTF-16 or UTF-32, or not a text at all (byte 0)"
        raise _refusal(file, [Finding("not-utf-8", message, "save it as UTF-8 without BOM", Where(file, 1, 1))])
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise _refusal(file, [_not_utf8(data, error.start, file)]) from None
    if not text.strip("\ufeff \t\r\n"):
        remedy = "write a descriptor, or start with `ocrpack init`"
        raise _refusal(file, [Finding("descriptor-empty", "the descriptor is empty", remedy, Where(file, 1, 1))])
    if not text.startswith("\ufeff"):
        return text, []
    message = "the file begins with a byte order mark"
    return text[1:], [Finding("byte-order-mark", message, "save it as UTF-8 without BOM", Where(file, 1, 1))]


def _not_utf8(data: bytes, offset: int, file: str) -> Finding:
    line_start = data.rfind(b"\n", 0, offset) + 1
    where = Where(file, data.count(b"\n", 0, offset) + 1, len(data[line_start:offset].decode()) + 1)
    byte = data[offset]
    latin = f" ({chr(byte)!r} in Latin-1)" if byte >= 0xA0 else ""
    message = f"the file is not UTF-8: byte {offset} is 0x{byte:02X}{latin}"
    return Finding("not-utf-8", message, "save it as UTF-8", where, expected="UTF-8", got=f"0x{byte:02X}")


def _descriptor_file(path: Path) -> Path:
    try:
        return path / DESCRIPTOR if path.is_dir() else path
    except (OSError, ValueError):
        return path


def _bytes(file: Path) -> bytes:
    """Read a descriptor, never more than the limit, and never from what is not a plain file."""
    name = str(file)
    try:
        status = file.stat()
        if not stat.S_ISREG(status.st_mode):
            finding = Finding("descriptor-unreadable", f"{name} is not a plain file", "name a file or a source folder")
            raise _refusal(name, [finding])
        if status.st_size > LIMIT:
            raise _refusal(name, [_too_big(name, status.st_size)])
        with file.open("rb") as stream:
            return stream.read(LIMIT + 1)
    except (FileNotFoundError, NotADirectoryError):
        remedy = "name a source folder that holds one, or make one with `ocrpack init`"
        raise _refusal(name, [Finding("descriptor-missing", f"there is no {name}", remedy, Where(name))]) from None
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        finding = Finding("descriptor-unreadable", f"{name} cannot be read: {reason}", "check its permissions")
        raise _refusal(name, [finding]) from None


def _too_big(file: str, size: int) -> Finding:
    message = f"the descriptor has {size:,} bytes"
    remedy = "name a descriptor.json; weights and images are listed in it, not part of it"
    return Finding(
        "descriptor-too-big", message, remedy, Where(file), expected=f"at most {LIMIT:,} bytes", got=f"{size:,}"
    )


def _refusal(file: str, findings: list[Finding]) -> DescriptorError:
    errors = [finding for finding in findings if finding.severity == "error"]
    if len(errors) == 1:
        place = errors[0].where or Where(file)
        return DescriptorError(f"{place}: {errors[0].message}", errors[0].remedy, tuple(findings))
    remedy = "mend them, and look again with `ocrpack validate`"
    return DescriptorError(f"{file} has {len(errors)} errors", remedy, tuple(findings))
