"""The text of the systemd units that let a deployment come back after a boot: a socket that listens, and a service."""

from __future__ import annotations

import json
import math
import shlex
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ocrpack.deploy.store.layout import Deployment
from ocrpack.deploy.store.state import State
from ocrpack.errors import PreflightError

Scope = Literal["system", "user"]
_END_S = 30.0
"""What ending takes besides the drain deadline."""
_BACKLOG = 2048
"""How many clients may wait to be accepted, for example while a supervisor starts."""
_ROOM_MB = 512
"""The memory for the supervisor and all else besides the generations."""
_HOMES = (Path("/home"), Path("/root"), Path("/run/user"))
_TEMPORARY = (Path("/tmp"), Path("/var/tmp"))

_SERVICE = """\
{mark}
[Unit]
Description={title}
Requires={unit}.socket
After={unit}.socket network.target
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=main
ExecStart=:{command}
WorkingDirectory={folder}
{environment}{account}Restart=on-failure
RestartSec=2
TimeoutStartSec=infinity
TimeoutStopSec={stop_seconds}
KillMode=process
OOMPolicy=continue
LimitNOFILE=65536
{memory}UMask=0027
NoNewPrivileges=yes
{capabilities}ProtectSystem=strict
ProtectHome={home}
ReadWritePaths={writable}
PrivateTmp={private_tmp}
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectHostname=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
SystemCallArchitectures=native

[Install]
WantedBy={wanted_by}
"""
_SOCKET = """\
{mark}
[Unit]
Description={title}, its address

[Socket]
ListenStream={address}
Backlog={backlog}
FreeBind=yes
TriggerLimitIntervalSec=0

[Install]
WantedBy=sockets.target
"""


@dataclass(frozen=True)
class UnitFile:
    """A unit file to write."""

    name: str
    text: str


@dataclass(frozen=True)
class Setup:
    """What the units are made from besides the deployment's state; `user` is who runs a system unit."""

    scope: Scope
    python: str
    user: str
    environment: dict[str, str]


def unit_name(deployment: Deployment) -> str:
    """Return the name that both units have, without its ending."""
    return f"ocrpack-{deployment.name}"


def units(
    deployment: Deployment, state: State, setup: Setup, memory_mb: int | None, paths: tuple[Path, ...]
) -> list[UnitFile]:
    """Return the texts of the socket and the service unit.

    `memory_mb` is what one generation needs; two live side by side while one takes over. The service may read
    `paths` even where they lie in a home folder.

    Raises:
        PreflightError: the address has no number, or a path cannot stand in a unit file.
    """
    needed = (deployment.root, Path(setup.python), *paths)
    shared = _TEMPORARY if _any_below(needed, _TEMPORARY) else ()  # a private one would hide what lies there
    plain = setup.scope == "system" and setup.user == "root"
    run_as = f"User={_text(setup.user)}\n" if setup.scope == "system" and not plain else ""
    names = {
        "mark": mark(deployment),
        "unit": unit_name(deployment),
        "title": _text(f"{deployment.name}, deployed by ocrpack"),
    }
    service = _SERVICE.format(
        **names,
        command=" ".join(
            _word(word, escapes=True)
            for word in (setup.python, "-m", "ocrpack.deploy.supervisor", str(deployment.root), deployment.name)
        ),
        folder=_text(str(deployment.folder)),
        environment="".join(
            f"Environment={_word(f'{name}={value}', escapes=True)}\n"
            for name, value in sorted(setup.environment.items())
        ),
        account=run_as,
        stop_seconds=stop_seconds(state),
        memory="" if memory_mb is None else f"MemoryMax={2 * memory_mb + _ROOM_MB}M\n",
        capabilities="CapabilityBoundingSet=\n" if setup.scope == "system" else "",
        home="read-only" if _any_below(needed, _HOMES) or setup.scope == "user" else "yes",
        writable=" ".join(_word(str(path), escapes=False) for path in (deployment.root, *shared)),
        private_tmp="no" if shared else "yes",
        wanted_by="multi-user.target" if setup.scope == "system" else "default.target",
    )
    listener = _SOCKET.format(**names, address=_address(state.host, state.port), backlog=_BACKLOG)
    return [
        UnitFile(f"{unit_name(deployment)}.socket", listener),
        UnitFile(f"{unit_name(deployment)}.service", service),
    ]


def stop_seconds(state: State) -> int:
    """Return when systemd may give up on an end in good order: above the drain deadline of every release."""
    return math.ceil(max((record.launch.drain_seconds for record in state.releases.values()), default=30.0) + _END_S)


def mark(deployment: Deployment) -> str:
    """Return the first line of a deployment's units, which tells whose they are."""
    return f"# Written by `ocrpack service install` for {_text(str(deployment.folder))}; do not edit."


def _any_below(paths: tuple[Path, ...], folders: tuple[Path, ...]) -> bool:
    places = {place for path in paths for place in (path, path.resolve())}
    return any(place.is_relative_to(folder) for place in places for folder in folders)


def _text(value: str) -> str:
    """Return a value for a setting that takes the rest of its line.

    Raises:
        PreflightError: it holds a control character, or bytes that are not UTF-8.
    """
    if not value.isprintable():
        raise PreflightError(f"{value!r} cannot stand in a unit file", "use paths and values of printable characters")
    return value.replace("%", "%%")


def _word(value: str, *, escapes: bool) -> str:
    """Return a value for a setting that takes several words; some settings read backslashes, others don't."""
    quoted = shlex.quote(_text(value))
    return quoted.replace("\\", "\\\\") if escapes else quoted


def _address(host: str, port: int) -> str:
    """Return an address with a number in place of a name, which a socket unit cannot hold.

    Raises:
        PreflightError: the name is unknown.
    """
    try:
        family, _, _, _, found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as error:
        raise PreflightError(f"cannot tell the address of {host}: {error}", "deploy with --host and a number") from None
    return f"[{found[0]}]:{port}" if family == socket.AF_INET6 else f"{found[0]}:{port}"


def memory_needed(deployment: Deployment) -> int | None:
    """Return the MiB that the hungriest release here needs or is recommended, or None where one does not tell."""
    needed = []
    for file in deployment.releases.glob("*/descriptor.json"):
        resources = json.loads(file.read_bytes()).get("resources") or {}
        wishes = [resources.get("memory_mb"), resources.get("memory_recommended_mb")]
        needed.append(max((wish for wish in wishes if wish is not None), default=None))
    known = [wish for wish in needed if wish is not None]
    return max(known) if known and len(known) == len(needed) else None
