"""The lock: every package with its version, where it is installed, its hashes and its licence.

It is a requirements file that pip and uv install as it is, with hashes required.
"""

from __future__ import annotations

import hashlib
import re
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from packaging.markers import Marker, UndefinedEnvironmentName
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name, parse_sdist_filename, parse_wheel_filename

from ocrpack.errors import BundleError

LOCK = "requirements.lock"
_HEAD = "# Every package with its version and hashes, for Python {}; made by ocrpack\n"
_INPUTS, _PINS, _PLATFORMS = "# inputs: ", "# pins: ", "# platforms: "
_LICENCE, _ORIGIN = "# licence: ", "# built from: "
_LONGEST = 16 << 20
_LONGEST_MARKER = 4000
_OPTION = re.compile(r"--(index-url|extra-index-url|find-links) https?://[^\s$@]+")
_HASH = re.compile(r"--hash[= ]sha256:([0-9a-f]{64})\b")


@dataclass(frozen=True)
class Pin:
    """One package of a lock.

    `marker` tells on which machines it is installed, empty for all; `hashes` are SHA-256 in hex, sorted; `url` is where
    it is fetched from if that is no index; `origin` is what the wheel that the bundle carries was built from.
    """

    name: str
    version: str
    marker: str = ""
    hashes: tuple[str, ...] = ()
    url: str = ""
    origin: str = ""
    licence: str = ""

    def applies(self, environment: Mapping[str, str]) -> bool:
        """Tell whether it is installed on a machine with these marker values.

        Raises:
            BundleError: its marker compares what cannot be compared.
        """
        try:
            return not self.marker or Marker(self.marker).evaluate(dict(environment))
        except (ValueError, UndefinedEnvironmentName) as error:
            raise BundleError(f"{LOCK}: {self.name}: {error!s:.200}", "make it anew with `ocrpack lock`") from None

    @property
    def text(self) -> str:
        """The lines of the lock."""
        head = f"{self.name} @ {self.url}" if self.url else f"{self.name}=={self.version}"
        head += f" ; {self.marker}" if self.marker else ""
        notes = [f"{_LICENCE}{self.licence}"] if self.licence else []
        notes += [f"{_ORIGIN}{self.origin}"] if self.origin else []
        return "\n".join([*notes, " \\\n    ".join([head, *(f"--hash=sha256:{digest}" for digest in self.hashes)])])


@dataclass(frozen=True)
class Lock:
    """The pins of a bundle; `inputs` is the digest of what they were made from, `options` name its indexes.

    `platforms` are those that it was made for, where there is no lock for all; `intact` tells that nobody edited it.
    """

    python: str
    inputs: str
    options: tuple[str, ...]
    pins: tuple[Pin, ...]
    platforms: tuple[str, ...] = ()
    intact: bool = field(default=True, compare=False)

    @property
    def digest(self) -> str:
        """SHA-256 of the pins, in hex."""
        return hashlib.sha256("\n".join(pin.text for pin in self.pins).encode()).hexdigest()

    @cached_property
    def data(self) -> bytes:
        """The lock as it stands in the bundle."""
        head = _HEAD.format(self.python) + f"{_INPUTS}{self.inputs}\n{_PINS}{self.digest}\n"
        head += f"{_PLATFORMS}{' '.join(self.platforms)}\n" if self.platforms else ""
        return (head + "".join(f"{line}\n" for line in [*self.options, *(pin.text for pin in self.pins)])).encode()


def parse_lock(data: bytes) -> Lock:
    """Read a lock.

    Raises:
        BundleError: it is none, or a package lacks its version or its hash.
    """
    notes = dict.fromkeys((_HEAD.partition("{")[0], _INPUTS, _PINS, _PLATFORMS, _LICENCE, _ORIGIN), "")
    python, inputs, digest, platforms, licence, origin = notes
    options: list[str] = []
    pins: list[Pin] = []
    try:
        if len(data) > _LONGEST:
            raise ValueError(f"it has {len(data)} bytes")
        for line in re.sub(r"[ \t]*\\\r?\n[ \t]*", " ", data.decode()).splitlines():
            note = next((prefix for prefix in notes if line.startswith(prefix)), None)
            if note:
                notes[note] = line.removeprefix(note).strip()
            elif line.startswith("-"):
                if not _OPTION.fullmatch(line.strip()):
                    raise ValueError(f"it has the option {line!r:.80}")
                options.append(line.strip())
            elif line.strip() and not line.startswith("#"):
                pins.append(parse_pin(line, notes[licence], notes[origin]))
                notes[licence] = notes[origin] = ""
    except (ValueError, InvalidRequirement, UndefinedEnvironmentName, RecursionError) as error:
        raise BundleError(f"{LOCK} is no lock: {error!s:.200}", "make it anew with `ocrpack lock`") from None
    named = tuple(notes[platforms].split())
    lock = Lock(notes[python].partition(";")[0], notes[inputs], tuple(options), tuple(pins), named)
    return replace(lock, intact=notes[digest] == lock.digest)


def parse_pin(line: str, licence: str = "", origin: str = "") -> Pin:
    """Read one requirement with its hashes.

    Raises:
        ValueError, InvalidRequirement: it is none, or lacks its version or its hash.
    """
    wanted = Requirement(line.partition(" --hash")[0].strip())
    hashes = tuple(sorted(set(_HASH.findall(line))))
    exact = [one.version for one in wanted.specifier if one.operator == "=="]
    if wanted.url and (not wanted.url.startswith(("https://", "http://")) or "$" in wanted.url):
        raise ValueError(f"{wanted.name} is at {wanted.url!r:.80}")
    if not hashes or not (wanted.url or len(exact) == 1):
        raise ValueError(f"{wanted.name} has no version or no hash")
    version = exact[0] if exact else _version_in(wanted.url or "")
    marker = str(wanted.marker) if wanted.marker else ""
    if len(marker) > _LONGEST_MARKER:
        raise ValueError(f"{wanted.name} has a marker of {len(marker)} characters")
    if wanted.marker:
        wanted.marker.evaluate()  # one that cannot be raises now
    return Pin(
        name=canonicalize_name(wanted.name),
        version=version,
        marker=marker,
        hashes=hashes,
        url=wanted.url or "",
        origin=origin,
        licence=licence,
    )


def _version_in(url: str) -> str:
    name = urllib.parse.unquote(url.partition("#")[0].rpartition("/")[2])
    for parse_name in (parse_wheel_filename, parse_sdist_filename):
        try:
            return str(parse_name(name)[1])
        except ValueError:
            continue
    return ""
