"""`ocrpack service install` and `uninstall`: let a deployment come back after a boot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ocrpack.cli import console
from ocrpack.cli.common import DryRun, Json, LockWait, Name, Quiet, RootFolder, find_root
from ocrpack.errors import Finding, UsageError

if TYPE_CHECKING:
    from ocrpack.deploy.systemd.unit_text import Scope, UnitFile
    from ocrpack.deploy.systemd.units import Unit

User = Annotated[bool, typer.Option("--user", help="Units of this user, in ~/.config/systemd/user.")]
System = Annotated[bool, typer.Option("--system", help="Units of the system, in /etc/systemd/system; needs root.")]

command = typer.Typer(
    name="service",
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Let a deployment come back after a boot: `service install`, `service uninstall`.",
)


@command.command()
def install(
    name: Name = None,
    root: RootFolder = None,
    user: User = False,
    system: System = False,
    show: Annotated[bool, typer.Option("--print", help="Print the units, and install nothing.")] = False,
    lock_wait: LockWait = 0,
    dry_run: DryRun = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Install a systemd socket and service, so that a deployment comes back after a boot.

    Example: ocrpack service install tesseract
    """
    from ocrpack.deploy.operations import boot_service

    if user and system:
        raise UsageError("--user and --system exclude each other", "leave both out: the system's for root, else yours")
    scope: Scope | None = "user" if user else "system" if system else None
    deployment = find_root(root).find(name)
    if show or dry_run:
        unit, files = boot_service.plan(deployment, scope)
        _show_plan(unit, files, json, show)
        return
    done = boot_service.install(deployment, scope, lock_wait)
    if json:
        console.print_json({**_facts(done.unit), "started": done.started, "warnings": _as_dicts(done.warnings)})
        return
    console.findings(done.warnings)
    then = "serves, and comes back after a boot" if done.started else "comes back after a boot once it is started"
    if not quiet:
        console.result(f"{deployment.name} {then}: {done.unit.name}.service")


def _show_plan(unit: Unit, files: list[UnitFile], json: bool, whole: bool) -> None:
    if json:
        texts = [{"path": str(unit.folder / file.name), "text": file.text} for file in files]
        console.print_json({"dry_run": True, **_facts(unit), "files": texts})
        return
    for file in files:
        console.result(
            f"# {unit.folder / file.name}\n{file.text}" if whole else f"would write {unit.folder / file.name}"
        )
    if not whole:
        console.result(f"would enable {unit.name}.socket and {unit.name}.service ({unit.scope})")


@command.command()
def uninstall(
    name: Name = None,
    root: RootFolder = None,
    lock_wait: LockWait = 0,
    dry_run: DryRun = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Remove the systemd units of a deployment; if it runs, it is served on without them.

    Example: ocrpack service uninstall tesseract
    """
    from ocrpack.deploy.operations import boot_service
    from ocrpack.deploy.systemd import units as units

    deployment = find_root(root).find(name)
    unit = units.owner(deployment) if dry_run else boot_service.uninstall(deployment, lock_wait)
    if json:
        what = _facts(unit) if unit else {"name": deployment.name, "unit": None, "scope": None}
        console.print_json({**({"dry_run": True} if dry_run else {}), **what})
    elif not quiet:
        verb = "would remove" if dry_run else "removed"
        console.result(f"{verb} {unit.name}.service" if unit else f"{deployment.name} has no units")


def _facts(unit: Unit) -> dict[str, Any]:
    return {"name": unit.deployment.name, "unit": f"{unit.name}.service", "scope": unit.scope}


def _as_dicts(found: tuple[Finding, ...]) -> list[dict[str, Any]]:
    return [finding.as_dict() for finding in found]
