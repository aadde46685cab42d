"""The folders that ocrpack owns on a target, a deployment's desired state and its lock.

Layout below the root: `apps/NAME/{releases,current,failed,run,logs,state.json,lock,secrets.env}`,
`environments/KEY`, `blobs/sha256/..` and `ledger` (the git repository for tags where there is no other).
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ocrpack.errors import LockedError, NotFoundError, PreflightError
from ocrpack.journal import timestamp

STATE_VERSION = 1
STAGING = ".staging-"
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


@dataclass(frozen=True)
class Launch:
    """All that a supervisor must know to start a release; paths are absolute, times in seconds."""

    python: str
    pycache: str
    entrypoint: str
    interface: str
    workers: int
    threads: int
    boot_seconds: float
    request_seconds: float
    env: dict[str, str]
    secrets: tuple[str, ...]


@dataclass(frozen=True)
class Record:
    """What is known of one release that passed its gate."""

    version: str
    digest: str
    environment: str
    promoted: str
    launch: Launch
    samples: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True)
class State:
    """The desired state of one deployment, as `state.json` holds it."""

    desired: Literal["running", "stopped"] = "stopped"
    host: str = "127.0.0.1"
    port: int = 0
    last_good: str | None = None
    """The release that served before `current`."""
    releases: dict[str, Record] = field(default_factory=dict)


@dataclass(frozen=True)
class Deployment:
    """The places of one deployment below the root."""

    root: Path
    name: str

    @property
    def folder(self) -> Path:
        """The deployment's own folder."""
        return self.root / "apps" / self.name

    @property
    def releases(self) -> Path:
        """Unpacked bundles, read-only, one folder each."""
        return self.folder / "releases"

    @property
    def failed(self) -> Path:
        """Evidence of releases that did not make it."""
        return self.folder / "failed"

    @property
    def run(self) -> Path:
        """Sockets and gates of the running processes."""
        return self.folder / "run"

    @property
    def control(self) -> Path:
        """The supervisor's control socket."""
        return self.run / "control.sock"

    @property
    def deploy_log(self) -> Path:
        """The journal."""
        return self.folder / "logs" / "deploy.jsonl"

    @property
    def instance_log(self) -> Path:
        """The app's output."""
        return self.folder / "logs" / "instance.log"

    @property
    def supervisor_log(self) -> Path:
        """The supervisor's own output."""
        return self.folder / "logs" / "supervisor.log"

    @property
    def secrets(self) -> Path:
        """Values of the app's secrets, mode 0600."""
        return self.folder / "secrets.env"

    @property
    def current(self) -> str | None:
        """The name of the release that is meant to serve."""
        try:
            return (self.folder / "current").readlink().name
        except OSError:
            return None

    def create(self) -> None:
        """Make the deployment's folders."""
        for folder in (self.releases, self.failed, self.run, self.deploy_log.parent):
            folder.mkdir(parents=True, exist_ok=True)
        self.run.chmod(0o700)

    def activate(self, release: str | None) -> None:
        """Point `current` at a release, or at none: the commit point of a deploy, atomic and durable."""
        if release is None:
            (self.folder / "current").unlink(missing_ok=True)
            return
        link = self.folder / f".current-{os.getpid()}"
        link.unlink(missing_ok=True)
        link.symlink_to(Path("releases") / release)
        link.replace(self.folder / "current")
        fsync(self.folder)

    def load_state(self) -> State:
        """Read `state.json`; a deployment without one is stopped.

        Raises:
            PreflightError: a newer ocrpack wrote it, or it is damaged.
        """
        file = self.folder / "state.json"
        try:
            document = json.loads(file.read_bytes())
            version = document.pop("state_version")
            if version > STATE_VERSION:
                raise PreflightError(
                    f"{file} was written by a newer ocrpack (version {version})", "use that ocrpack, or a newer one"
                )
            records = {
                name: Record(**{**record, "launch": Launch(**record["launch"])})
                for name, record in document.pop("releases").items()
            }
            return State(**document, releases=records)
        except FileNotFoundError:
            return State()
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise PreflightError(
                f"{file} is damaged: {error}",
                f"move it away and deploy again; the releases in {self.releases} are untouched",
            ) from None

    def save_state(self, state: State) -> None:
        """Write `state.json` atomically and durably."""
        document = {"state_version": STATE_VERSION, **dataclasses.asdict(state)}
        write_durably(self.folder / "state.json", json.dumps(document, indent=1, ensure_ascii=False).encode())

    @contextlib.contextmanager
    def lock(self, what: str, wait_s: float = 0) -> Iterator[None]:
        """Hold the deployment's lock; the kernel frees it when the process ends, however it ends.

        Raises:
            LockedError: another command holds it and does not let go within `wait_s` seconds.
        """
        import fcntl

        deadline = time.monotonic() + wait_s
        handle = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            while True:
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() >= deadline:
                        holder = os.pread(handle, 4096, 0).decode("utf-8", "replace")
                        raise LockedError(
                            f"{self.name} is locked by {_describe(holder)}", "wait for it, or pass --lock-wait SECONDS"
                        ) from None
                    time.sleep(0.05)
            if not (self.folder / "lock").exists():
                raise NotFoundError(f"{self.name} was removed meanwhile", "deploy it again")
            os.ftruncate(handle, 0)
            os.pwrite(handle, json.dumps({"pid": os.getpid(), "what": what, "since": timestamp()}).encode(), 0)
            yield
        finally:
            os.close(handle)


def _describe(holder: str) -> str:
    try:
        known = json.loads(holder)
        return f"`{known['what']}`, pid {known['pid']}, since {known['since']}"
    except (ValueError, KeyError, TypeError):
        return "another command"


@dataclass(frozen=True)
class Root:
    """All deployments of one target."""

    path: Path

    @property
    def environments(self) -> Path:
        """Virtual environments, shared by releases."""
        return self.path / "environments"

    @property
    def blobs(self) -> Path:
        """Weights by SHA-256, hard-linked into releases."""
        return self.path / "blobs" / "sha256"

    @property
    def ledger(self) -> Path:
        """The git repository for tags where there is no other."""
        return self.path / "ledger"

    def deployment(self, name: str) -> Deployment:
        """Return the places of a deployment, whether it exists or not."""
        return Deployment(self.path, name)

    def names(self) -> list[str]:
        """Return the names of all deployments."""
        apps = self.path / "apps"
        return sorted(entry.name for entry in apps.iterdir() if _NAME.fullmatch(entry.name)) if apps.is_dir() else []

    def find(self, name: str | None) -> Deployment:
        """Return an existing deployment; without a name, the only one.

        Raises:
            NotFoundError: there is none of that name, none at all, or several to choose from.
        """
        names = self.names()
        if name is None and len(names) == 1:
            return self.deployment(names[0])
        if name is not None and name in names:
            return self.deployment(name)
        known = f"deployed here: {', '.join(names)}" if names else "nothing is deployed here"
        if name is None and names:
            raise NotFoundError(f"several deployments in {self.path}", f"name one of them; {known}")
        what = f"no deployment {name!r}" if name is not None else "no deployment"
        raise NotFoundError(
            f"{what} in {self.path}; {known}", "pass --root if it is elsewhere, or `ocrpack deploy` first"
        )


def default_root() -> Path:
    """Return the platform's user data folder for ocrpack."""
    import platformdirs

    return Path(platformdirs.user_data_dir("ocrpack"))


def write_durably(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Replace a file's content atomically; it is on disk when this returns."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(handle, mode)
            file.write(data)
            file.flush()
            os.fsync(handle)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    fsync(path.parent)


def fsync(path: Path) -> None:
    """Bring a file's content, or a folder's entries, to disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove_tree(folder: Path) -> None:
    """Delete a folder with all below it, read-only files and folders included."""
    if not folder.is_dir():
        folder.unlink(missing_ok=True)
        return
    for path, folders, _ in os.walk(folder):
        for name in folders:
            if not (Path(path) / name).is_symlink():
                (Path(path) / name).chmod(stat.S_IRWXU)
    folder.chmod(stat.S_IRWXU)
    shutil.rmtree(folder)
