"""Wheels for the bundle: built where no index has them, else chosen for the machines that are named, and fetched."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from packaging.utils import parse_wheel_filename

from ocrpack.bundle.fetching.download import FetchError, cache_folder, fetch
from ocrpack.bundle.fetching.index_settings import environ
from ocrpack.bundle.format.hashing import sha256_of
from ocrpack.bundle.packages.lockfile import Lock, Pin
from ocrpack.bundle.packages.package_index import File, Located
from ocrpack.bundle.packages.platforms import Platform
from ocrpack.descriptor import without_credentials
from ocrpack.errors import DescriptorError, Finding, Where
from ocrpack.shell import CommandError, run

_BUILD_DEADLINE_S = 3600
_EPOCH = "315532800"
"""1980-01-01, the oldest date that a ZIP can hold."""


def build(requirement: str, folder: Path, on_line: Callable[[str], None], where: Where | None = None) -> Path:
    """Build the wheel of a git commit, a folder or a source archive, and return it; one that is a wheel stays as it is.

    Equal content gives equal bytes.

    Raises:
        DescriptorError: it cannot be built.
    """
    given = folder / requirement
    if given.suffix == ".whl" and given.is_file():
        return given
    with tempfile.TemporaryDirectory(prefix="ocrpack-wheel-") as name:
        argv = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-input", "--disable-pip-version-check",
                "--wheel-dir", name, requirement.partition(" @ ")[2] or requirement]  # fmt: skip
        try:
            run(
                argv,
                cwd=folder,
                env={**environ(), "SOURCE_DATE_EPOCH": _EPOCH},
                deadline_s=_BUILD_DEADLINE_S,
                on_line=on_line,
            )
            (made,) = Path(name).glob("*.whl")
        except (CommandError, ValueError) as error:
            reason = (getattr(error, "tail", "") or str(error)).strip().splitlines()[-1:]
            text = without_credentials(f"{requirement} cannot be built into a wheel: {' '.join(reason)}")
            remedy = "name a release of the package, or correct its build"
            raise DescriptorError(text, remedy, (Finding("wheel-build", text, remedy, where),)) from None
        return _kept(made)


def _kept(made: Path) -> Path:
    """Write a wheel's files in a canonical way into the cache, and return it there."""
    cache = cache_folder("wheels")
    handle, name = tempfile.mkstemp(dir=cache, prefix="building-")
    partial = Path(name)
    try:
        with os.fdopen(handle, "wb") as file, zipfile.ZipFile(file, "w") as wheel, zipfile.ZipFile(made) as source:
            for entry in sorted(source.infolist(), key=lambda entry: (".dist-info/" in entry.filename, entry.filename)):
                plain = zipfile.ZipInfo(entry.filename)
                plain.external_attr = (0o100755 if entry.external_attr >> 16 & 0o100 else 0o100644) << 16
                wheel.writestr(plain, source.read(entry))
        target = cache_folder("wheels", sha256_of(partial)) / made.name
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    return target


def built_before(sha256: str) -> Path | None:
    """Return the wheel of that digest that was built here before."""
    return next(cache_folder("wheels").glob(f"{sha256}/*.whl"), None)


def choose(
    lock: Lock,
    located: Sequence[Located],
    carried: Sequence[Path],
    targets: Sequence[Platform],
    on_line: Callable[[str], None],
) -> tuple[Lock, list[File], list[Path]]:
    """Return the wheels of the index that the machines need, those that were built here from source, and the lock.

    The lock that is returned names the hashes of what was built, too.

    Raises:
        DescriptorError: with a finding for each package and machine that no wheel can be had for.
    """
    wanted: dict[str, File] = {}
    built: dict[Pin, Path] = {}
    findings: list[Finding] = []
    for target in targets:
        for package in located:
            if not package.pin.applies(target.environment):
                continue
            files = {file.name: file for file in package.wheels}
            best = target.best(files)
            if best is not None:
                wanted[best] = files[best]
                continue
            with contextlib.suppress(DescriptorError):
                if package.source is not None and package.pin not in built:
                    built[package.pin] = build(str(_fetched(package.source)), Path.cwd(), on_line)
            if package.pin not in built or target.rank(built[package.pin].name) is None:
                findings.append(_missing(f"{package.pin.name} {package.pin.version}", target, sorted(files)))
    digests = {path: sha256_of(path) for path in (*carried, *built.values())}
    pins = tuple(
        replace(pin, hashes=tuple(sorted({*pin.hashes, digests[built[pin]]}))) if pin in built else pin
        for pin in lock.pins
    )
    whole = replace(lock, pins=pins)
    inside = {file.name: file.sha256 for file in wanted.values()}
    inside |= {path.name: digest for path, digest in digests.items()}
    for target in targets if not findings else ():
        findings += [_missing(f"{pin.name} {pin.version}", target, ()) for pin in target.missing(whole, inside)]
    if findings:
        raise DescriptorError(findings[0].message, findings[0].remedy, tuple(findings))
    return whole, sorted(wanted.values(), key=lambda file: file.name), sorted(built.values())


def _missing(what: str, target: Platform, files: Sequence[str]) -> Finding:
    there = sorted({"-".join(str(tag) for tag in sorted(parse_wheel_filename(name)[3], key=str)[:1]) for name in files})
    text = f"there is no wheel of {what} for {target}"
    remedy = "name another --python or --platform, or another version in the requirements"
    return Finding(
        "wheel-missing", text, remedy, expected=str(target), got=", ".join(there)[:400] or "no wheels at all"
    )


def _fetched(file: File) -> Path:
    """Return a source archive under its own name."""
    named = cache_folder("sources", file.sha256) / file.name
    if not named.exists():
        cached = fetch_file(file)
        with contextlib.suppress(FileExistsError):
            named.symlink_to(cached)
    return named


def fetch_file(file: File, progress: Callable[[int], None] = lambda _: None) -> Path:
    """Return the cached file, fetched first where it is not there.

    Raises:
        DescriptorError: it cannot be fetched, or is another one.
    """
    try:
        return fetch(file.url, file.sha256, file.size, progress)
    except FetchError as error:
        finding = Finding(f"wheel-{error.kind}", error.message, error.remedy, expected=error.expected, got=error.got)
        raise DescriptorError(error.message, error.remedy, (finding,)) from None
