"""A pip requirements file, read as pip reads it, for what can be told without an index."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from ocrpack.descriptor.source import shown
from ocrpack.errors import Finding, Where

LIMIT = 1024 * 1024
LONGEST = 4096

_INCLUDE = re.compile(r"(?:-r|-c|--requirements?|--constraints?)(?:\s*=\s*|\s+|(?<=-[rc]))(?P<file>\S.*)$")
_COMMENT = re.compile(r"(?:^|(?<=\s))#.*")
_OPTIONS = re.compile(r"\s--?[A-Za-z]")
_ADDRESS = re.compile(r"[A-Za-z][\w+.-]*://|file:")
_LOCAL = re.compile(r"[./~]|[^\s;@]*[/\\]|\S+\.(whl|zip|tar\.gz|tgz|tar\.bz2)(\[|\s|$)", re.IGNORECASE)
_NAME = re.compile(r"[A-Za-z0-9](?:[\w.-]*[A-Za-z0-9])?(?=\s*(?:$|[\[<>=!~;@(]))")
_SINGLE = re.compile(r"^([A-Za-z0-9][\w.-]*(?:\[[^\]]*\])?)\s*+=?\s*+([0-9][\w.*+!-]*)$")


_INDEX = re.compile(
    r"(?P<option>-i|--index-url|--extra-index-url|-f|--find-links)(?:\s*=\s*|\s+|(?<=-[if]))(?P<url>\S+)$"
)
_LONG_FORMS = {"-i": "--index-url", "-f": "--find-links"}
_USER = re.compile(r"(?P<scheme>[A-Za-z][\w+.-]*)://(?P<user>[^/\s?#]*)@")
_BROKEN_USER = re.compile(r"(?<=://)[^/\s@:\[]+:[^/\s@]*[^0-9/\s@\]][^/\s@]*/\S*@")
"""A password with a slash in it, which no address may have."""
_VARIABLES = re.compile(r"\$\{\w+\}|[\w.%+-]+:\$\{\w+\}|\$\{\w+\}:\$\{\w+\}")


@dataclass(frozen=True)
class Line:
    """One requirement; `name` is the package's in its normal form, empty where the line does not tell."""

    text: str
    name: str
    where: Where


@dataclass(frozen=True)
class Requirements:
    """A requirements file with all that it includes.

    `files` are relative to the source folder; `indexes` are the options that name package indexes, without credentials;
    `links` are folders on this machine that hold packages.
    """

    files: tuple[str, ...]
    findings: tuple[Finding, ...]
    lines: tuple[Line, ...] = ()
    indexes: tuple[str, ...] = ()
    links: tuple[str, ...] = ()


def without_credentials(text: str, *, variables: bool = True) -> str:
    """Return text whose addresses have lost their users and passwords, but for the users of ssh.

    Where the secret is a `${VARIABLE}`, it stays if `variables` may.
    """

    def plain(found: re.Match[str]) -> str:
        scheme, user = found["scheme"], found["user"]
        if scheme.endswith("ssh"):
            return f"{scheme}://{user.partition(':')[0]}@"
        return found[0] if variables and _VARIABLES.fullmatch(user) else f"{scheme}://"

    return _USER.sub(plain, _BROKEN_USER.sub("", text))


def requirement_files(folder: Path, name: str) -> tuple[str, ...]:
    """Return the requirements file `name` of the folder and what it includes, relative to the folder."""
    return read_requirements(folder, name).files


def read_requirements(folder: Path, name: str) -> Requirements:
    """Read the requirements file `name` of the folder and what it includes with `-r` and `-c`; never raises."""
    files: dict[str, None] = {}
    findings: list[Finding] = []
    lines: list[Line] = []
    indexes: dict[str, None] = {}
    links: dict[str, None] = {}
    pending = [name]
    while pending:
        current = pending.pop()
        if current in files:
            continue
        files[current] = None
        path = folder / current
        try:
            text = _text(path)
        except (OSError, ValueError) as error:
            message = f"the requirements file cannot be read: {error}"
            findings.append(Finding("requirements-unreadable", message, "save it as UTF-8 text", Where(str(path))))
            continue
        if without_credentials(text) != text:
            message = f"{current} holds credentials; they are left out of the bundle"
            remedy = "write ${NAME} in their place, or keep them in ~/.netrc"
            findings.append(
                Finding("credential-in-requirements", message, remedy, Where(str(path)), severity="warning")
            )
        for number, line in _logical_lines(text):
            where = Where(str(path), number, 1)
            include, index = _INCLUDE.match(line), _INDEX.match(line)
            if index and index["url"].startswith(("https://", "http://")):
                option = _LONG_FORMS.get(index["option"], index["option"])
                indexes[f"{option} {without_credentials(index['url'], variables=False)}"] = None
            elif index and index["option"] in {"-f", "--find-links"}:
                links[index["url"].removeprefix("file://")] = None
            elif include:
                target = include.group("file").strip().strip("\"'")
                if not _ADDRESS.match(target):
                    pending.extend(_included(folder, path, target, where, findings))
            else:
                findings.extend(_line(line, where))
                lines.append(Line(shown(without_credentials(line), 200).strip('"'), _name(line), where))
    return Requirements(tuple(files), tuple(findings), tuple(lines), tuple(indexes), tuple(links))


def _name(line: str) -> str:
    found = _NAME.match(line)
    return canonicalize_name(found[0]) if found else ""


def _text(path: Path) -> str:
    with path.open("rb") as stream:
        data = stream.read(LIMIT + 1)
    if len(data) > LIMIT:
        raise ValueError(f"it has more than {LIMIT:,} bytes")
    return data.decode("utf-8-sig")


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield each requirement with the line that it begins on: continuations joined, comments removed."""
    begun: list[str] = []
    start = 1
    for number, raw in enumerate([*text.splitlines(), ""], 1):
        start = start if begun else number
        if raw.endswith("\\") and not raw.lstrip().startswith("#"):
            begun.append(raw[:-1])
            continue
        line = _COMMENT.sub("", " ".join([*begun, raw])).strip()
        begun = []
        if line:
            yield start, line


def _included(folder: Path, path: Path, target: str, where: Where, findings: list[Finding]) -> Iterator[str]:
    try:
        root, file = folder.resolve(), (path.parent / target).resolve()
        exists = file.is_file()
    except (OSError, ValueError, RuntimeError):
        root, file, exists = folder, folder, False
    if not file.is_relative_to(root):
        message = f"it includes {shown(target)}, which is not in the source folder"
        findings.append(Finding("include-leaves-folder", message, "copy the file into the source folder", where))
    elif not exists:
        message = f"it includes {shown(target)}, which does not exist"
        findings.append(Finding("include-missing", message, "correct the name, or remove the line", where))
    else:
        yield file.relative_to(root).as_posix()


def _line(line: str, where: Where) -> Iterator[Finding]:
    if line.startswith("-"):
        if re.match(r"(-e|--editable)\b", line):
            yield _local(line, where)
        return
    if "${" in line or _ADDRESS.match(line):
        return
    if _LOCAL.match(line):
        yield _local(line, where)
        return
    text = _OPTIONS.split(line, maxsplit=1)[0].strip()
    try:
        if len(text) > LONGEST:
            raise InvalidRequirement(f"the line has {len(text)} characters")
        Requirement(text)
    except (InvalidRequirement, RecursionError, ValueError) as error:
        single = _SINGLE.match(text)
        remedy = f"write {single[1]}=={single[2]}" if single else "write a requirement such as flask>=3.1"
        reason = shown((str(error).splitlines() or ["it is nested too deep"])[0], 120).strip('"')
        message = f"{shown(text)} is no requirement: {reason}"
        yield Finding("bad-requirement", message, remedy, where, expected="a requirement by PEP 508", got=shown(text))


def _local(line: str, where: Where) -> Finding:
    message = f"{shown(line)} names something on this machine; the target does not have it"
    remedy = "name a release of the package, or put its modules into `files`"
    return Finding("local-requirement", message, remedy, where, severity="warning")
