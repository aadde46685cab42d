"""Make the virtual environment of a release, once for all releases with the same requirements, Python and platform."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from ocrpack.bundle import (
    LOCK,
    WHEELS,
    Entry,
    Lock,
    environ,
    find_uv,
    parse_lock,
    this_machine,
)
from ocrpack.deploy.store.interpreters import Python
from ocrpack.deploy.store.layout import Root
from ocrpack.deploy.store.releases import read_manifest
from ocrpack.deploy.system.files import remove_tree, write_durably
from ocrpack.errors import BundleError, EnvironmentSetupError, Finding, Where
from ocrpack.logs import timestamp
from ocrpack.shell import CommandError, run

_READY = "ocrpack-ready.json"
_CHECK_PINS = """
import importlib.metadata, json, re, sys
found = {re.sub("[-_.]+", "-", one.metadata["Name"]).lower(): one.version for one in importlib.metadata.distributions()}
numbers = lambda version: [int(number) for number in re.findall("[0-9]+", version)]  # 2024.07 is 2024.7
for name, version in json.loads(sys.argv[1]):
    if name not in found or version and numbers(found[name]) != numbers(version):
        sys.exit(f"{name} {version} was not installed (found: {found.get(name)})")
"""
_CHECK_FILES = """
import importlib.metadata, os, sys
for package in importlib.metadata.distributions():
    for file in package.files or ():
        place = package.locate_file(file)
        if file.size is not None and not (os.path.isfile(place) and os.path.getsize(place) == file.size):
            sys.exit(f"{package.metadata['Name']}: {file} is missing or altered")
"""


@dataclass(frozen=True)
class Environment:
    """A virtual environment that is whole."""

    folder: Path

    @property
    def python(self) -> Path:
        """The environment's interpreter."""
        return self.folder / "bin" / "python"

    @property
    def programs(self) -> Path:
        """Where its programs are."""
        return self.folder / "bin"

    @property
    def pycache(self) -> Path:
        """Where its processes keep compiled modules, so that releases stay as they were unpacked."""
        return self.folder / "pycache"


def key(lock: Lock, python: Python) -> str:
    """Return the name of the environment for this lock on this Python and platform; licences make no difference."""
    digest = hashlib.sha256("\n".join(replace(pin, licence="").text for pin in lock.pins).encode())
    return f"{digest.hexdigest()[:16]}-{python.tag}-{python.version}-{python.platform}"


def lock_of(release: Path) -> Lock:
    """Return the lock of an unpacked release.

    Raises:
        EnvironmentSetupError: it is missing or damaged.
    """
    try:
        return parse_lock((release / LOCK).read_bytes())
    except (OSError, BundleError) as error:
        raise EnvironmentSetupError(f"{release / LOCK} cannot be read: {error}", "deploy the bundle again") from None


def carries_all(release: Path, lock: Lock, python: Python) -> bool:
    """Tell whether a release carries the wheels of all packages that this machine needs."""
    try:
        entries = read_manifest(release).having("wheel")
    except BundleError:
        return False
    return not this_machine(python.version).missing(lock, wheel_digests(entries))


def wheel_digests(entries: Iterable[Entry]) -> dict[str, str]:
    """Return the SHA-256 of carried wheels by their file names."""
    return {entry.path.rpartition("/")[2]: entry.sha256 for entry in entries}


def find(root: Root, name: str) -> Environment | None:
    """Return the environment of that key if it is whole."""
    folder = root.environments / name
    return Environment(folder) if (folder / _READY).exists() and (folder / "bin" / "python").exists() else None


def _open_lock(root: Root, name: str, purpose: str) -> int:
    """Open a lock file beside an environment; it stays, since another command may wait for it."""
    root.environments.mkdir(parents=True, exist_ok=True)
    return os.open(root.environments / f".{name}.{purpose}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)


@contextlib.contextmanager
def held(root: Root, name: str) -> Iterator[None]:
    """Keep others from pruning an environment that a deploy needs and no state names yet."""
    import fcntl

    handle = _open_lock(root, name, "use")
    try:
        fcntl.flock(handle, fcntl.LOCK_SH)
        yield
    finally:
        os.close(handle)


def discard_if_damaged(root: Root, name: str) -> None:
    """Remove an environment whose packages have lost files, so that `ensure` makes it anew."""
    made = find(root, name)
    if made is not None and find_damage(made):
        (made.folder / _READY).unlink()


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How an environment is made: from which release, with what, and within which time."""

    release: Path
    python: Python
    uv: Path | None
    """None: venv and pip make it."""
    offline: bool
    """Whether the wheels in the release are all that is installed, without a socket."""
    deadline_s: float
    on_line: Callable[[str], None]
    """Told each line that the installer writes."""


def ensure(root: Root, name: str, recipe: Recipe) -> tuple[Environment, bool]:
    """Return the environment of that key, and whether this call made it.

    Every package is installed with its hash required. An environment counts as whole once its ready mark is written,
    so that an interrupted install is started over.

    Raises:
        EnvironmentSetupError: the installer failed or did not end within the deadline; its last lines are in the error.
    """
    folder = root.environments / name
    with _one_at_a_time(root, name, recipe.deadline_s):
        whole = find(root, name)
        if whole is not None:
            return whole, False
        remove_tree(folder)
        try:
            _install(folder, recipe)
        except CommandError as error:
            remove_tree(folder)
            remedy = "check the network and the package index of this machine, or build with --wheels"
            raise EnvironmentSetupError(
                f"the requirements could not be installed: {error.message}\n{error.tail.rstrip()}",
                "get the bundle again" if recipe.offline else remedy,
            ) from None
        except BaseException:  # on Ctrl-C, too
            remove_tree(folder)
            raise
        mark = {"made": timestamp(), "python": recipe.python.version, "installer": "uv" if recipe.uv else "pip"}
        write_durably(folder / _READY, json.dumps(mark).encode())
    return Environment(folder), True


def _install(folder: Path, recipe: Recipe) -> None:
    """Make the environment, install the locked packages in it, and look whether all of them are there and agree."""
    begin = time.monotonic()
    python, uv, offline = recipe.python, recipe.uv, recipe.offline
    own_python = folder / "bin" / "python"
    with tempfile.TemporaryDirectory(prefix="ocrpack-lock-") as place:
        wanted, lock = Path(place, LOCK), lock_of(recipe.release)
        wanted.write_bytes(_to_install(lock, offline))
        words: list[str | Path] = ["--require-hashes", "-r", wanted]
        if (recipe.release / WHEELS).is_dir():
            words += ["--find-links", recipe.release / WHEELS]
        if offline:
            words += ["--no-index"]
        if uv is not None:
            commands: list[list[str | Path]] = [
                [uv, "venv", "--no-project", "--quiet", "--python", python.executable, folder],
                [uv, "pip", "install", "--python", own_python, *(["--offline"] if offline else []), *words],
                [uv, "pip", "check", "--python", own_python],
            ]
        else:
            commands = [
                [python.executable, "-I", "-m", "venv", folder],
                [own_python, "-I", "-m", "pip", "install", "--no-input", "--disable-pip-version-check", *words],
                [own_python, "-I", "-m", "pip", "check"],
            ]
        machine = this_machine(python.version).environment
        wanted_here = [[pin.name, pin.version] for pin in lock.pins if pin.applies(machine)]
        commands.append([own_python, "-I", "-c", _CHECK_PINS, json.dumps(wanted_here)])
        for command in commands:
            left = max(1.0, recipe.deadline_s - (time.monotonic() - begin))
            # Beside the environment, so that the settings of uv and pip that a bundle may bring are not obeyed.
            run(command, cwd=folder.parent, env=environ(), deadline_s=left, on_line=recipe.on_line)


def _to_install(lock: Lock, offline: bool) -> bytes:
    """Return the lock for the installer; offline, without the places that it names on the network."""
    if offline:
        pins = (replace(pin, url="") if pin.version else pin for pin in lock.pins)
        lock = replace(lock, options=(), pins=tuple(pins))
    return lock.data


@contextlib.contextmanager
def _one_at_a_time(root: Root, name: str, deadline_s: float) -> Iterator[None]:
    """Keep other deploys from making the same environment meanwhile.

    Raises:
        EnvironmentSetupError: another one has been making it for longer than the deadline.
    """
    import fcntl

    handle = _open_lock(root, name, "make")
    try:
        deadline = time.monotonic() + deadline_s
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise EnvironmentSetupError(
                        f"another deploy has been making environment {name} for over {deadline_s:g} s",
                        "look for a hung installer, or raise --install-deadline",
                    ) from None
                time.sleep(0.1)
        yield
    finally:
        os.close(handle)


def remove_unused(root: Root, used: set[str]) -> list[str]:
    """Remove environments that no release of any deployment uses, and no deploy at work holds."""
    import fcntl

    removed = []
    for folder in root.environments.iterdir() if root.environments.is_dir() else ():
        if not folder.is_dir() or folder.name in used:
            continue
        handle = _open_lock(root, folder.name, "use")
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        else:
            (folder / _READY).unlink(missing_ok=True)  # first: what is removed in part must not count as whole
            remove_tree(folder)
            removed.append(folder.name)
        finally:
            os.close(handle)
    return removed


def find_damage(environment: Environment) -> list[Finding]:
    """Return what is wrong with an environment: packages that disagree, or have lost files."""
    uv = find_uv()
    argv = (
        [uv, "pip", "check", "--python", environment.python] if uv else [environment.python, "-I", "-m", "pip", "check"]
    )
    try:
        run(argv, cwd=environment.folder, deadline_s=120)
        run([environment.python, "-I", "-B", "-c", _CHECK_FILES], cwd=environment.folder, deadline_s=120)
    except CommandError as error:
        words = error.tail.strip().splitlines()
        text = f"the environment is damaged: {words[-1] if words else error.message}"
        return [Finding("environment", text, "deploy the bundle again", Where(str(environment.folder)))]
    return []
