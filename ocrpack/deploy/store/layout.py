"""The folders that ocrpack owns on a target, a deployment's desired state, and how it is changed durably.

Layout below the root: `environments/KEY`, `blobs/sha256/..`, `ledger` (the git repository for tags where there is no
other), `hooks`, `allowed_signers`, and
`apps/NAME/{releases,current,failed,run,logs,state.json,lock,secrets.env,service.json,back,undo}`.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

from ocrpack.deploy.store.state import STATE_VERSION, Launch, Record, State
from ocrpack.deploy.store.way_back import WayBack
from ocrpack.deploy.system.files import fsync, write_durably
from ocrpack.errors import NotFoundError, PreflightError

STAGING = ".staging-"
"""How the names of folders begin that are not whole yet; the next command removes what is left of them."""
UNPROVEN = ".unproven-"
"""How the name of a mark begins that stands beside a release which never served."""
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


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

    def unproven_mark(self, release: str) -> Path:
        """Return the mark that a release bears until it serves."""
        return self.releases / f"{UNPROVEN}{release}"

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

    @property
    def way_back(self) -> WayBack:
        """How to undo a promotion that is interrupted."""
        return WayBack(self.folder)

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
                name: Record(**{**record, "launch": Launch.from_dict(record["launch"])})
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
        write_durably(self.folder / "state.json", json.dumps(document, indent=1).encode())


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
        """Weights and wheels by SHA-256, hard-linked into releases."""
        return self.path / "blobs" / "sha256"

    @property
    def allowed_signers(self) -> Path:
        """Who may sign bundles for this machine; where it exists, every bundle must be signed."""
        return self.path / "allowed_signers"

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
