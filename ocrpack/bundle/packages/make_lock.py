"""Make the lock of a source folder: versions chosen by the resolver, wheels built where no index has them."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from packaging.specifiers import SpecifierSet
from packaging.utils import parse_wheel_filename

from ocrpack.bundle.format.hashing import sha256_of
from ocrpack.bundle.packages import licences, platforms, server_requirements, wheels
from ocrpack.bundle.packages.lockfile import LOCK, Lock, Pin, parse_lock, parse_pin
from ocrpack.bundle.packages.package_index import UnresolvedError, resolve
from ocrpack.descriptor import RELEASES, Descriptor, Requirements, Source, read_requirements, without_credentials
from ocrpack.errors import BundleError, DescriptorError, Finding, Where

_GIT = re.compile(r"(?<=@ )git\+")


@dataclass(frozen=True)
class Locked:
    """A lock, and the wheels that the bundle must carry since no index has them."""

    lock: Lock
    carried: tuple[Path, ...]


def lowest_python(descriptor: Descriptor) -> str:
    """Return the lowest minor version of Python that the descriptor admits, as `3.11`."""
    met = next(SpecifierSet(descriptor.python).filter(RELEASES, prereleases=True))
    return ".".join(met.split(".")[:2])


def lock(
    source: Source, platforms: tuple[str, ...], on_line: Callable[[str], None], *, upgrade: bool = False
) -> Locked:
    """Return the lock of a source folder.

    A `requirements.lock` in the folder that was made from the same requirements is taken as it is, without a network;
    from one made from others, versions are kept where they fit. `upgrade` takes the newest. What has no solution for
    all machines at once is resolved for the `platforms` alone.

    Raises:
        DescriptorError: the requirements contradict one another, or something in them cannot be built.
        PreflightError: the package index cannot be reached.
    """
    descriptor, folder = source.descriptor, source.folder
    requirements = read_requirements(folder, descriptor.requirements)
    inputs = _digest(source, requirements)
    place = folder / LOCK
    known = place.read_bytes() if place.is_file() and not upgrade else b""
    if known:
        try:
            kept = parse_lock(known)
        except BundleError as error:
            raise _refusal("lock", error.message, error.remedy, place) from None
        serves = not kept.platforms or set(platforms) <= set(kept.platforms)
        if kept.inputs == inputs and kept.intact and serves:
            return Locked(kept, tuple(_rebuilt(pin, place, on_line) for pin in kept.pins if pin.origin))
    python = lowest_python(descriptor)
    try:
        lines, everywhere = _resolved(source, known, python, platforms, on_line)
    except UnresolvedError as error:
        raise _explained(str(error), source, requirements) from None
    pins, carried = [], []
    nearby = _wheels_in(folder, requirements.links)
    for line in lines:
        if line.startswith("-") and not line.startswith("-e "):
            continue
        if "--hash=" in line and not _is_here(line):
            pin = parse_pin(without_credentials(line, variables=False))
            own = next((nearby[digest] for digest in pin.hashes if digest in nearby), None)
            if own is not None:
                pin = replace(pin, hashes=(sha256_of(own),), origin=_relative(own, folder))
                carried.append(own)
            pins.append(pin)
        else:
            pin, path = _built(line, folder, on_line)
            pins.append(pin)
            carried.append(path)
    ordered = tuple(sorted(pins, key=lambda pin: (pin.name, pin.marker)))
    made = Lock(descriptor.python, inputs, requirements.indexes, ordered, () if everywhere else platforms)
    found = licences.find(made, python, carried, on_line)
    return Locked(
        replace(made, pins=tuple(replace(pin, licence=found.get(pin, "")) for pin in ordered)), tuple(carried)
    )


def _digest(source: Source, requirements: Requirements) -> str:
    digest = hashlib.sha256()
    for name in sorted(requirements.files):
        content = without_credentials((source.folder / name).read_text("utf-8-sig")).encode()
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    digest.update(server_requirements.requirements(source.descriptor.app))
    digest.update(source.descriptor.python.encode())
    return digest.hexdigest()


def _resolved(
    source: Source, known: bytes, python: str, wanted: tuple[str, ...], on_line: Callable[[str], None]
) -> tuple[list[str], bool]:
    """Return the resolved lines, and True if they hold on every machine, False if only on the platforms given."""
    with tempfile.TemporaryDirectory(prefix="ocrpack-lock-") as name:
        own = Path(name, "server.txt")
        own.write_bytes(server_requirements.requirements(source.descriptor.app))
        files = [Path(source.descriptor.requirements), own]
        try:
            return resolve(files, source.folder, known=known, python=python, platform=None, on_line=on_line), True
        except UnresolvedError:
            if not wanted:
                raise
        each = {
            platform: resolve(
                files,
                source.folder,
                known=known,
                python=python,
                platform=platforms.uv_name(platform),
                on_line=on_line,
            )
            for platform in wanted
        }
    return list(_merged(each)), False


def _merged(each: dict[str, list[str]]) -> Iterator[str]:
    """Merge the lines of several platforms; a line that some platforms lack gets a marker."""
    lines = dict.fromkeys(line for lines in each.values() for line in lines)
    for line in lines:
        having = [platform for platform, others in each.items() if line in others]
        if len(having) == len(each):
            yield line
            continue
        head, mark, hashes = line.partition(" --hash=")
        yield f"{head} ; {' or '.join(platforms.marker(platform) for platform in having)}{mark}{hashes}"


def _explained(words: str, source: Source, requirements: Requirements) -> DescriptorError:
    """Return the resolver's refusal, with the lines of the requirements that it speaks of."""
    remedy = "change one of the requirements that are named"
    findings = [
        Finding("unresolvable", f"{line.text} is part of the conflict", remedy, line.where)
        for line in requirements.lines
        if line.name and re.search(rf"(?<![\w.-]){re.escape(line.name)}(?![\w-])", words)
    ]
    text = f"the requirements cannot be met: {words}"
    if not findings:
        return _refusal("unresolvable", text, remedy, source.folder / source.descriptor.requirements)
    return DescriptorError(text, remedy, tuple(findings))


def _wheels_in(folder: Path, links: tuple[str, ...]) -> dict[str, Path]:
    """Return the wheels in folders of this machine by SHA-256: the target does not have them."""
    return {sha256_of(path): path for link in links for path in sorted((folder / link).glob("*.whl"))}


def _built(line: str, folder: Path, on_line: Callable[[str], None]) -> tuple[Pin, Path]:
    """Build the wheel of a requirement that no index holds, and pin it."""
    head, _, marker = line.partition(" --hash=")[0].removeprefix("-e ").partition(" ; ")
    _, _, address = head.partition(" @ ")
    origin = without_credentials(head, variables=False).strip()
    if _is_here(line):
        place = urllib.parse.unquote((address or head).strip().removeprefix("file://").partition("#")[0])
        origin = _relative(folder / place, folder)
    path = wheels.build(origin if _is_here(line) else head.strip(), folder, on_line, Where(str(folder)))
    name, version = parse_wheel_filename(path.name)[:2]
    return Pin(name, str(version), marker.strip(), (sha256_of(path),), origin=origin), path


def _is_here(line: str) -> bool:
    """Tell whether a line names a file or folder of this machine."""
    head = line.removeprefix("-e ")
    return head.startswith((".", "/", "file:")) or " @ file:" in head


def _relative(path: Path, folder: Path) -> str:
    found = os.path.relpath(path, folder).replace(os.sep, "/")
    return found if found.startswith(".") else f"./{found}"


def _rebuilt(pin: Pin, place: Path, on_line: Callable[[str], None]) -> Path:
    """Return the locked wheel.

    Reuse the cached one for a git commit; rebuild a folder, and refuse if its hash changed.
    """
    known = wheels.built_before(pin.hashes[0]) if _GIT.search(pin.origin) else None
    path = known or wheels.build(pin.origin, place.parent, on_line, Where(str(place)))
    if sha256_of(path) == pin.hashes[0]:
        return path
    text = f"{pin.name} {pin.version}, built from {pin.origin}, is not the one in {LOCK}"
    raise _refusal("lock", text, "make the lock anew with `ocrpack lock`", place)


def _refusal(code: str, message: str, remedy: str, place: Path) -> DescriptorError:
    return DescriptorError(message, remedy, (Finding(code, message, remedy, Where(str(place))),))
