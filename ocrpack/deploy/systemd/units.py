"""Let systemd own a deployment's address: install, start, stop and remove its pair of units.

A socket unit listens, and a service unit runs the supervisor on it. While both are enabled the deployment comes back
after a boot; while the deployment is stopped they are disabled, so that no boot and no client wakes it.
`apps/NAME/service.json` says that there are units, and holds what they are made from.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from ocrpack.deploy.store.layout import Deployment
from ocrpack.deploy.store.state import State
from ocrpack.deploy.system.files import write_durably
from ocrpack.deploy.system.resources import account
from ocrpack.deploy.system.variables import KEPT
from ocrpack.deploy.systemd.unit_text import Scope, Setup, UnitFile, mark, memory_needed, unit_name, units
from ocrpack.errors import ConflictError, PreflightError
from ocrpack.shell import CommandError, Output, run

_MANAGER = Path("/run/systemd/system")
_LINGERING = Path("/var/lib/systemd/linger")
_ANSWER_S = 3600.0
"""systemd has deadlines of its own, made from the app's; this one is for a systemd that hangs."""


@dataclass(frozen=True)
class Unit:
    """The socket and service unit of one deployment."""

    deployment: Deployment
    setup: Setup

    @property
    def name(self) -> str:
        """Their name, without its ending."""
        return unit_name(self.deployment)

    @property
    def scope(self) -> Scope:
        """Whose units they are."""
        return self.setup.scope

    @property
    def folder(self) -> Path:
        """Where they lie."""
        return folder_of(self.scope)

    def files(self, state: State | None = None) -> list[UnitFile]:
        """Return what the units should be, for the deployment's state as it is or as it is going to be.

        Raises:
            PreflightError: the deployment never had an address, or one that cannot stand in a unit file.
        """
        state = self.deployment.load_state() if state is None else state
        paths = [Path(entry) for entry in self.setup.environment.get("PATH", "").split(":") if entry]
        paths += [Path(record.launch.python) for record in state.releases.values()]
        return units(self.deployment, state, self.setup, memory_needed(self.deployment), tuple(paths))

    def write(self, state: State | None = None) -> bool:
        """Bring the units up to date, and return whether that changed them; call it before a start.

        Address and memory may change with a deploy.

        Raises:
            ConflictError: a unit of that name belongs to another deployment.
            PreflightError: the units cannot be written.
        """
        wanted = self.files(state)
        self._require_own()
        stale = [file for file in wanted if _content(self.folder / file.name) != file.text]
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for file in stale:
                write_durably(self.folder / file.name, file.text.encode())
        except OSError as error:
            raise self._refused(f"{error.filename}: {error.strerror}") from None
        if stale:
            self.systemctl("daemon-reload")
        return bool(stale)

    def _require_own(self) -> None:
        for ending in ("socket", "service"):
            file = self.folder / f"{self.name}.{ending}"
            text = _content(file)
            if text and text.partition("\n")[0] != mark(self.deployment):
                raise ConflictError(
                    f"{file} belongs to something else: {text.partition(chr(10))[0]}",
                    f"`ocrpack service uninstall {self.deployment.name} --root ITS_ROOT`, or move the file away",
                )

    def save(self) -> None:
        """Say in the deployment's folder that these units own its address."""
        document = {"unit": f"{self.name}.service", **asdict(self.setup)}
        write_durably(_marker(self.deployment), json.dumps(document, indent=1, ensure_ascii=False).encode())

    def start(self) -> None:
        """Listen, and start the supervisor, now and at every boot; returns before the supervisor is ready.

        Raises:
            PreflightError: systemd refuses, for example since the address is taken.
        """
        self.systemctl("enable", f"{self.name}.socket", f"{self.name}.service")
        self.systemctl("start", f"{self.name}.socket")
        self.systemctl("start", "--no-block", f"{self.name}.service")

    def listens(self) -> bool:
        """Tell whether systemd holds the address."""
        return self.systemctl("is-active", f"{self.name}.socket", lenient=True) is not None

    def stop(self) -> bool:
        """Drain and end everything, free the address, and return whether anything ran; no boot brings it back.

        Raises:
            PreflightError: systemd refuses.
        """
        ran = self.systemctl("is-active", f"{self.name}.service", lenient=True) is not None
        self.systemctl("disable", f"{self.name}.socket", f"{self.name}.service")
        self.systemctl("stop", f"{self.name}.socket", f"{self.name}.service")
        return ran

    def remove(self) -> None:
        """Stop, and delete the units and their marker.

        Raises:
            ConflictError: the units belong to another deployment.
            PreflightError: systemd refuses.
        """
        self._require_own()
        if self.present():
            self.stop()
            for file in self.present():
                file.unlink()
            self.systemctl("daemon-reload")
            self.systemctl("reset-failed", f"{self.name}.socket", f"{self.name}.service", lenient=True)
        _marker(self.deployment).unlink(missing_ok=True)

    def present(self) -> list[Path]:
        """Return the unit files that are there."""
        files = [self.folder / f"{self.name}.{ending}" for ending in ("socket", "service")]
        return [file for file in files if file.exists()]

    def systemctl(self, *words: str, lenient: bool = False) -> Output | None:
        """Ask systemd for something; a refusal is None if that is acceptable.

        Raises:
            PreflightError: it refuses.
        """
        try:
            return run(
                ["systemctl", *_scope_option(self.scope), "--quiet", *words],
                deadline_s=_ANSWER_S,
            )
        except CommandError as error:
            if lenient:
                return None
            raise self._refused(f"{error.message}\n{error.tail.strip()}") from None

    def _refused(self, message: str) -> PreflightError:
        if self.scope == "system" and os.geteuid() != 0:
            return PreflightError(message, "run the command as root (the units are the system's), or pass --user")
        option = " ".join(["journalctl", *_scope_option(self.scope)])
        return PreflightError(message, f"`{option} -u {self.name}.service` shows more")


def _scope_option(scope: Scope) -> list[str]:
    return ["--user"] if scope == "user" else []


def folder_of(scope: Scope) -> Path:
    """Return where units of a scope are installed."""
    if scope == "system":
        return Path("/etc/systemd/system")
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "systemd" / "user"


def _marker(deployment: Deployment) -> Path:
    return deployment.folder / "service.json"


def _content(file: Path) -> str:
    with contextlib.suppress(FileNotFoundError):
        return file.read_text("utf-8")
    return ""


def owner(deployment: Deployment) -> Unit | None:
    """Return the units that own the deployment's address, or None where none does or systemd does not run here.

    Raises:
        PreflightError: the marker is damaged.
    """
    text = _content(_marker(deployment))
    if not text or not manager_runs():
        return None
    try:
        document = json.loads(text)
        setup = Setup(**{key: document[key] for key in ("scope", "python", "user", "environment")})
    except (ValueError, KeyError, TypeError):
        remedy = "move it away, then `ocrpack service install` writes it anew"
        raise PreflightError(f"{_marker(deployment)} is damaged", remedy) from None
    unit = Unit(deployment, setup)
    return unit if unit.present() else None


def setup_for(deployment: Deployment, scope: Scope, python: str, environ: Mapping[str, str]) -> Setup:
    """Return what units of a scope are to be made from; a system unit runs as the owner of the deployment."""
    kept = {name: value for name, value in environ.items() if name in KEPT or name.startswith("LC_")}
    return Setup(scope, python, account(deployment.folder.stat().st_uid), kept)


def manager_runs() -> bool:
    """Tell whether systemd is this machine's service manager."""
    return _MANAGER.exists()


def lingers(user: str) -> bool:
    """Tell whether systemd starts a user's units at boot, and not at the first login."""
    return (_LINGERING / user).exists()
