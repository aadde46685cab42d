"""The machines that a bundle carries wheels for: a Python version and a platform, as wheels name them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from packaging import tags
from packaging.markers import default_environment
from packaging.specifiers import SpecifierSet
from packaging.tags import Tag
from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from ocrpack.bundle.packages.lockfile import Lock, Pin
from ocrpack.descriptor import RELEASES
from ocrpack.errors import UsageError

_LINUX = re.compile(r"(many|musl)linux_(\d+)_(\d+)_(x86_64|i686|aarch64|armv7l|ppc64le|s390x|riscv64|loongarch64)")
_MACOS = re.compile(r"macosx_(\d+)_(\d+)_(x86_64|arm64)")
_WINDOWS = {"win_amd64": "AMD64", "win_arm64": "ARM64", "win32": "x86"}
_OLD_NAMES = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
_UV_SYSTEMS = {"linux": "unknown-linux-gnu", "darwin": "apple-darwin", "win32": "pc-windows-msvc"}
_UV_MACHINES = {"arm64": "aarch64", "AMD64": "x86_64", "ARM64": "aarch64", "x86": "i686"}
EXAMPLES = "manylinux_2_28_x86_64, manylinux_2_28_aarch64, macosx_14_0_arm64 or win_amd64"


@dataclass(frozen=True)
class Platform:
    """A kind of machine; `platforms` are the platform tags that it takes, the best one first."""

    python: tuple[int, int]
    platforms: tuple[str, ...]
    environment: Mapping[str, str]

    def __str__(self) -> str:
        return f"Python {self.python[0]}.{self.python[1]} on {self.platforms[0]}"

    @cached_property
    def tags(self) -> dict[Tag, int]:
        """The wheel tags that it takes, each with its rank: lower is better."""
        interpreter = f"cp{self.python[0]}{self.python[1]}"
        wanted = [
            *tags.cpython_tags(self.python, platforms=self.platforms),
            *tags.compatible_tags(self.python, interpreter, self.platforms),
        ]
        return {tag: rank for rank, tag in reversed(list(enumerate(wanted)))}

    def rank(self, wheel: str) -> int | None:
        """Return how well a wheel's file name fits, lower is better, or None where it does not fit."""
        try:
            named = parse_wheel_filename(wheel)[3]
        except (InvalidWheelFilename, ValueError):
            return None
        return min((self.tags[tag] for tag in named if tag in self.tags), default=None)

    def best(self, wheels: Iterable[str]) -> str | None:
        """Return the file name that fits best, or None."""
        ranked = [(rank, wheel) for wheel in wheels if (rank := self.rank(wheel)) is not None]
        return min(ranked)[1] if ranked else None

    def missing(self, lock: Lock, wheels: Mapping[str, str]) -> list[Pin]:
        """Return the packages of a lock that this machine needs and that no wheel brings; `wheels`: digest by name."""
        fitting = {digest for name, digest in wheels.items() if self.rank(name) is not None}
        return [pin for pin in lock.pins if pin.applies(self.environment) and fitting.isdisjoint(pin.hashes)]


def this_machine(python_version: str) -> Platform:
    """Return the machine that this runs on, with a Python of this full version."""
    major, minor = (int(part) for part in python_version.split(".")[:2])
    environment = {name: str(value) for name, value in default_environment().items()}
    environment.update(
        python_version=f"{major}.{minor}", python_full_version=python_version, implementation_version=python_version
    )
    return Platform((major, minor), tuple(tags.platform_tags()), environment)


def named(platform: str, python: tuple[int, int]) -> Platform:
    """Return the machine of a platform tag such as `manylinux_2_28_x86_64`.

    Raises:
        UsageError: there is no such platform.
    """
    system, release, machine = _facts(platform)
    version = f"{python[0]}.{python[1]}"
    environment = {
        "implementation_name": "cpython", "implementation_version": f"{version}.0", "platform_release": release,
        "os_name": "nt" if system == "win32" else "posix", "platform_machine": machine, "platform_version": "",
        "platform_system": {"linux": "Linux", "darwin": "Darwin", "win32": "Windows"}[system], "sys_platform": system,
        "platform_python_implementation": "CPython", "python_full_version": f"{version}.0", "python_version": version,
        "extra": "",
    }  # fmt: skip
    return Platform(python, tuple(_accepted(platform)), environment)


def python(text: str, specifier: str) -> tuple[int, int]:
    """Return the minor version that `3.11` or `3.11.4` means.

    Raises:
        UsageError: it is no version of Python, or not one that meets the specifier.
    """
    found = re.fullmatch(r"(3)\.(\d{1,2})(\.\d+)?", text)
    if found is None:
        raise UsageError(f"{text!r} is no version of Python", "write it as 3.12")
    minor = (int(found[1]), int(found[2]))
    if not _admitted(minor, specifier):
        raise UsageError(f"Python {text} does not meet {specifier!r}", "name one that the descriptor admits")
    return minor


def default_python(specifier: str, running: tuple[int, int]) -> tuple[int, int]:
    """Return the minor version that wheels are carried for when none is named: the running one, else the highest."""
    if _admitted(running, specifier):
        return running
    return max(
        (minor for minor in ((3, number) for number in range(8, running[1] + 1)) if _admitted(minor, specifier)),
        default=running,
    )


def _admitted(minor: tuple[int, int], specifier: str) -> bool:
    prefix = f"{minor[0]}.{minor[1]}."
    return any(version.startswith(prefix) for version in SpecifierSet(specifier).filter(RELEASES, prereleases=True))


def marker(platform: str) -> str:
    """Return the marker that holds on a platform alone."""
    system, _, machine = _facts(platform)
    return f"sys_platform == '{system}' and platform_machine == '{machine}'"


def uv_name(platform: str) -> str:
    """Return how uv names a platform."""
    system, _, machine = _facts(platform)
    found = _LINUX.fullmatch(platform)
    if found:
        return (
            f"{found[4]}-{found[1]}linux_{found[2]}_{found[3]}"
            if found[1] == "many"
            else f"{found[4]}-unknown-linux-musl"
        )
    return f"{_UV_MACHINES.get(machine, machine)}-{_UV_SYSTEMS[system]}"


def _facts(platform: str) -> tuple[str, str, str]:
    """Return `sys_platform`, the kernel's release and the machine of a platform tag."""
    linux, macos = _LINUX.fullmatch(platform), _MACOS.fullmatch(platform)
    if linux:
        return "linux", "", linux[4]
    if macos:
        major = int(macos[1])
        darwin = int(macos[2]) + 4 if major == 10 else major + 9 if major < 26 else major - 1
        return "darwin", f"{darwin}.0.0", macos[3]
    if platform in _WINDOWS:
        return "win32", "10", _WINDOWS[platform]
    raise UsageError(f"{platform!r} is no platform that wheels are made for", f"name it as wheels do: {EXAMPLES}")


def _accepted(platform: str) -> Iterator[str]:
    linux, macos = _LINUX.fullmatch(platform), _MACOS.fullmatch(platform)
    if linux:
        kind, major, minor, machine = linux[1], int(linux[2]), int(linux[3]), linux[4]
        for older in range(minor, -1, -1):
            yield f"{kind}linux_{major}_{older}_{machine}"
            if kind == "many" and older in _OLD_NAMES:
                yield f"{_OLD_NAMES[older]}_{machine}"
        yield f"linux_{machine}"
    elif macos:
        yield from tags.mac_platforms((int(macos[1]), int(macos[2])), macos[3])
    else:
        yield platform
