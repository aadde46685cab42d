"""Let a deployment come back after a boot: install its systemd units, or remove them."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ocrpack import logs
from ocrpack.deploy.proof import health
from ocrpack.deploy.proof.app_client import public
from ocrpack.deploy.steps import recover
from ocrpack.deploy.steps.promote import current_release, serve_current
from ocrpack.deploy.store import command_lock
from ocrpack.deploy.store.layout import Deployment
from ocrpack.deploy.supervisor import client
from ocrpack.deploy.supervisor.status import status
from ocrpack.deploy.system.resources import account
from ocrpack.deploy.systemd import units
from ocrpack.deploy.systemd.unit_text import Scope, UnitFile
from ocrpack.deploy.systemd.units import Unit
from ocrpack.errors import BootError, Finding, OcrpackError, PreflightError
from ocrpack.logs import Journal
from ocrpack.shell import CommandError, run

_SPARE_S = 30.0
"""How long systemd and the supervisor may take besides the app."""


@dataclass(frozen=True)
class Installed:
    """Units that are installed; `started` tells whether they run, which they do unless the deployment is stopped."""

    unit: Unit
    started: bool
    warnings: tuple[Finding, ...]


def plan(deployment: Deployment, scope: Scope | None) -> tuple[Unit, list[UnitFile]]:
    """Return the units that `install` would make, changing nothing; without a scope, the system's for root.

    Raises:
        NotFoundError: nothing was ever deployed.
        PreflightError: the address or a path cannot stand in a unit file.
    """
    current_release(deployment)
    chosen: Scope = scope or ("system" if os.geteuid() == 0 else "user")
    unit = Unit(deployment, units.setup_for(deployment, chosen, sys.executable, os.environ))
    return unit, unit.files()


def install(deployment: Deployment, scope: Scope | None, lock_wait_s: float = 0) -> Installed:
    """Install and enable the units; a deployment that runs is handed over, its address refusing clients meanwhile.

    When the deployment does not come up under systemd, it is taken back and served as before.

    Raises:
        NotFoundError: nothing was ever deployed.
        ConflictError: units of that name belong to another deployment.
        PreflightError: systemd does not run here, or refuses.
        BootError: the deployment did not come up under systemd.
    """
    _require_systemd(deployment)
    with _command(deployment, "service install", lock_wait_s) as journal:
        unit, files = plan(deployment, scope)
        warnings = [*_check_with_systemd(files, unit.scope), *_linger_warning(unit)]
        before = units.owner(deployment)
        if before is not None and before.scope != unit.scope:
            before.remove()
            before = None
        changed = unit.write()
        unit.save()
        wanted = deployment.load_state().desired == "running"
        if wanted and (changed or before is None or status(deployment).state != "running"):
            _hand_over(unit, before, journal)
    return Installed(unit, wanted, tuple(warnings))


def uninstall(deployment: Deployment, lock_wait_s: float = 0) -> Unit | None:
    """Remove the units and return them, or None where there are none; a deployment that ran is served on without.

    Raises:
        PreflightError: systemd refuses.
        BootError: the deployment did not come up again.
    """
    if units.owner(deployment) is None:
        return None
    with _command(deployment, "service uninstall", lock_wait_s) as journal:
        unit = units.owner(deployment)
        if unit is not None:
            unit.remove()
            if deployment.load_state().desired == "running":
                serve_current(deployment, journal)
    return unit


@contextlib.contextmanager
def _command(deployment: Deployment, what: str, lock_wait_s: float) -> Iterator[Journal]:
    """Hold the deployment's lock for a command that the journal tells of."""
    journal = Journal(deployment.deploy_log, logs.new_deploy_id())
    with (
        command_lock.hold(deployment, what, lock_wait_s, journal.deploy),
        journal.command(f"{what} {deployment.name}", deployment.current or "", process=recover.me()),
    ):
        yield journal


def _hand_over(unit: Unit, before: Unit | None, journal: Journal) -> None:
    """Stop what serves and let systemd serve instead; where that fails, serve again without systemd."""
    deployment = unit.deployment
    if before is not None:
        before.stop()
    client.stop_supervisor(deployment)
    try:
        unit.start()
        _wait_until_it_serves(unit)
    except OcrpackError:
        journal.write("note", "taking the address back from systemd", phase="service", level="warning")
        unit.remove()
        serve_current(deployment, journal)
        raise


def _wait_until_it_serves(unit: Unit) -> None:
    _, record, _, _ = current_release(unit.deployment)
    deadline = time.monotonic() + record.launch.boot_seconds + _SPARE_S
    while (problem := _why_not_serving(unit.deployment)) is not None:
        if time.monotonic() > deadline:
            remedy = f"`ocrpack logs {unit.deployment.name} --instance` shows the app's output"
            raise BootError(f"{unit.deployment.name} did not come up under systemd: {problem}", remedy)
        time.sleep(0.1)


def _why_not_serving(deployment: Deployment) -> str | None:
    """Return why a deployment does not serve yet, or None when it does."""
    _, record, descriptor, _ = current_release(deployment)
    state, now = deployment.load_state(), status(deployment).state
    if now != "running":
        return f"it is {now}"
    address = public(record.launch, {}, state.host, state.port)
    return next((finding.message for finding in health.health(address, descriptor)), None)


def _check_with_systemd(files: list[UnitFile], scope: Scope) -> list[Finding]:
    """Let systemd read the units before they are installed; what it does not know is a warning.

    Raises:
        PreflightError: it refuses them.
    """
    with tempfile.TemporaryDirectory(prefix="ocrpack-") as folder:
        paths = [Path(folder) / file.name for file in files]
        for path, file in zip(paths, files, strict=True):
            path.write_text(file.text, encoding="utf-8")
        option = ["--user"] if scope == "user" else []
        try:
            said = run(["systemd-analyze", *option, "verify", *paths]).stderr
        except CommandError as error:
            if error.exit_status is None:  # no such program: systemd itself will say what it refuses
                return []
            raise PreflightError(f"systemd refuses the units: {error.tail.strip()}", "see the text above") from None
    own = [line.partition(f"{folder}/")[2] for line in said.splitlines() if folder in line]
    return [Finding("unit", line, "a newer systemd knows it", severity="warning") for line in own]


def _linger_warning(unit: Unit) -> list[Finding]:
    user = account(os.geteuid())
    if unit.scope == "system" or units.lingers(user):
        return []
    text = f"systemd starts the units of {user} at their first login, not at boot, and ends them at the last logout"
    return [Finding("linger", text, f"loginctl enable-linger {shlex.quote(user)}", severity="warning")]


def _require_systemd(deployment: Deployment) -> None:
    """Refuse where systemd does not run, with what to do instead.

    Raises:
        PreflightError: it does not.
    """
    if not units.manager_runs():
        raise PreflightError("systemd does not run on this machine", alternative(deployment, sys.platform))


def alternative(deployment: Deployment, platform: str) -> str:
    """Return how to start a deployment at boot where there is no systemd."""
    words = [sys.executable, "-m", "ocrpack", "start", deployment.name, "--root", str(deployment.root)]
    if platform == "darwin":
        return (
            "write a launchd agent ~/Library/LaunchAgents/ocrpack."
            f"{deployment.name}.plist with RunAtLoad and the ProgramArguments of: {shlex.join(words)}"
        )
    line = shlex.join(words).replace("%", r"\%")  # cron takes a bare % for a new line
    return f"add this line with `crontab -e`, or let the container's command be the part after @reboot:\n@reboot {line}"
