"""Look before anything is touched: can this machine run this bundle, and would it harm what is here."""

from __future__ import annotations

import ctypes
import os
import shutil
import socket
import ssl
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

from ocrpack.bundle import LOCK, Archive, Manifest, Pin, Platform, parse_lock, this_machine, verify_signature
from ocrpack.deploy.proof.app_client import Address
from ocrpack.deploy.steps import missing_weights
from ocrpack.deploy.steps.options import Options
from ocrpack.deploy.steps.plan import Plan
from ocrpack.deploy.store import blobs, environments, interpreters, secrets_file
from ocrpack.deploy.store.interpreters import Python
from ocrpack.deploy.store.layout import Deployment, Root
from ocrpack.deploy.store.state import State
from ocrpack.deploy.supervisor import client, status
from ocrpack.deploy.supervisor.generation import left_running, lingers
from ocrpack.deploy.system import resources, sockets
from ocrpack.deploy.system.resources import MIB
from ocrpack.deploy.tracking import git_tag
from ocrpack.descriptor import App, Descriptor
from ocrpack.errors import ConflictError, Finding, PreflightError, UsageError, Where

_SPARE_BYTES = 64 << 20
_ENVIRONMENT_MB = 300
"""What an environment takes on the disk where the descriptor does not tell."""
_LAST_PORT = 65535
_T = TypeVar("_T")


def plan(archive: Archive, root: Root, bundle: Path, options: Options) -> Plan:
    """Check the machine against the bundle and return what a deploy will do; nothing is changed.

    Raises:
        BundleError: the bundle's descriptor is unsound, or its signature is not one that is asked for.
        ConflictError: the version is deployed or tagged with other content.
        PreflightError: with every finding at once.
    """
    if sys.platform == "win32":
        raise PreflightError("deploy runs on Linux and macOS", "follow SETUP.md in the bundle, or deploy inside WSL")
    manifest = archive.manifest
    signer = _signer(archive, root, options.allowed_signers)
    descriptor = archive.descriptor()
    lock = parse_lock(archive.read(LOCK))
    deployment = root.deployment(descriptor.name)
    state = deployment.load_state()
    refuse_other_content(deployment, manifest)
    ledger = None
    if options.tag:
        ledger = git_tag.choose_repository(options.tag_repo, bundle, root.ledger)
        git_tag.is_tagged(ledger, descriptor.name, descriptor.version, manifest.digest)

    problems: list[PreflightError] = []
    uv = _collect(problems, lambda: interpreters.choose_installer(options.installer))
    carried = environments.wheel_digests(manifest.having("wheel"))

    def lacking(python: Python) -> list[Pin]:
        return this_machine(python.version).missing(lock, carried)

    python = _collect(
        problems, lambda: interpreters.find_python(descriptor.python, uv, lambda one: not carried or not lacking(one))
    )
    address = _collect(problems, lambda: _choose_address(deployment, state, descriptor, options))
    values = _collect(
        problems, lambda: secrets_file.gather(descriptor.secrets, deployment.secrets, options.secrets_file, os.environ)
    )
    key, ready, lacks = "", False, []
    if python is not None:
        key = environments.key(lock, python)
        ready = environments.find(root, key) is not None
        lacks = lacking(python)
    findings = [
        *_missing_software(descriptor),
        *_tls(descriptor.app),
        *_resources(descriptor, manifest, root, deployment, ready),
    ]
    findings += _memory(descriptor, deployment, stop_first=options.care.stop_first)
    if options.offline and not ready and python is not None:
        findings += [_no_wheel(pin, carried, this_machine(python.version)) for pin in lacks]
    weights = missing_weights.find(archive, root, descriptor, options.weights, fetches=not options.offline)
    findings += weights.findings
    errors = [finding for finding in findings if finding.severity == "error"]
    for problem in problems:
        own = Finding("preflight", problem.message, problem.remedy)
        errors.extend(problem.findings or (own,))
    if errors or python is None or address is None or values is None:
        raise _refusal(errors)
    host, port, moved = address
    warnings = tuple(finding for finding in findings if finding.severity != "error") + moved
    return Plan(
        manifest=manifest,
        descriptor=descriptor,
        deployment=deployment,
        python=python,
        uv=uv,
        environment_key=key,
        environment_ready=ready,
        offline=options.offline or not lacks,
        signer=signer,
        supply=weights,
        host=host,
        port=port,
        secrets=values,
        ledger=ledger,
        warnings=warnings,
    )


def _signer(archive: Archive, root: Root, allowed: Path | None) -> str | None:
    """Return who signed a bundle, where that is asked for: by a file of allowed signers, or by the root's own.

    Raises:
        BundleError: it is not signed by one of them.
    """
    # A link whose file is gone still asks for a signature: it is refused, and not taken for no wish.
    wanted = allowed or (root.allowed_signers if os.path.lexists(root.allowed_signers) else None)
    if wanted is None:
        return None
    return verify_signature(archive.path.name, archive.manifest.digest, archive.signature(), wanted)


def _no_wheel(pin: Pin, carried: Mapping[str, str], machine: Platform) -> Finding:
    """Return the finding for a package that the bundle carries no fitting wheel of."""
    prefix = pin.name.replace("-", "_") + "_"
    there = sorted(name for name in carried if name.lower().replace("-", "_").startswith(prefix))
    return Finding(
        "wheel-missing",
        f"the bundle carries no wheel of {pin.name} {pin.version} for {machine}",
        "build it with --wheels for this --platform and --python, or deploy without --offline",
        expected=str(machine),
        got=", ".join(there) or "no wheel",
    )


def _refusal(errors: list[Finding]) -> PreflightError:
    """Return the error for all findings, with the first one as its message."""
    first = errors[0]
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return PreflightError(f"{first.message}{more}", first.remedy, tuple(errors))


def require_memory(descriptor: Descriptor, deployment: Deployment, *, stop_first: bool) -> None:
    """Refuse to start a release beside the running one where there is no memory for both.

    Raises:
        PreflightError: there is not.
    """
    findings = _memory(descriptor, deployment, stop_first=stop_first)
    errors = [finding for finding in findings if finding.severity == "error"]
    if errors:
        raise _refusal(errors)


def _collect(problems: list[PreflightError], attempt: Callable[[], _T]) -> _T | None:
    """Return what an attempt gives; note its refusal, so that all of them are told at once."""
    try:
        return attempt()
    except PreflightError as error:
        problems.append(error)
        return None


def refuse_other_content(deployment: Deployment, manifest: Manifest) -> None:
    """Refuse a version that has served here with other content.

    Raises:
        ConflictError: it has.
    """
    for record in deployment.load_state().releases.values():
        if record.version == manifest.version and record.digest != manifest.digest:
            raise ConflictError(
                f"{manifest.name} {record.version} is here with other content: "
                f"{record.digest[:12]}, not {manifest.digest[:12]}",
                f"raise `version` and build again, or `ocrpack remove {manifest.name}` first",
            )


def _choose_address(
    deployment: Deployment, state: State, descriptor: Descriptor, options: Options
) -> tuple[str, int, tuple[Finding, ...]]:
    """Return host and port: of the running service, else as asked, as before, or as declared."""
    host = options.host or (state.host if state.port else descriptor.host)
    port = options.port or state.port or descriptor.port
    running = client.connect(deployment) if deployment.control.exists() else None
    if running is not None:
        with running:
            status = running.status()
        hosts = {state.host, status.host, *_addresses(state.host)}
        elsewhere = options.host is not None and not hosts & {options.host, *_addresses(options.host)}
        if elsewhere or (options.port or status.port) != status.port:
            raise PreflightError(
                f"{deployment.name} serves on {Address(status.host, status.port)}",
                f"`ocrpack stop {deployment.name}` first to move it, or leave --port and --host out",
            )
        return state.host, status.port, ()
    if (host, port) == (state.host, state.port) and (left_running(deployment) or lingers(deployment)):
        return host, port, ()
    taken = ""
    for candidate in range(port, min(port + 1000, _LAST_PORT + 1) if options.any_port else port + 1):
        try:
            sockets.bind(host, candidate).close()
        except sockets.PortTakenError as error:
            taken = taken or error.message
            if not options.any_port:
                raise
            continue
        if candidate == port:
            return host, port, ()
        note = Finding("port", f"{taken}; using port {candidate}", severity="warning")
        return host, candidate, (note,)
    raise PreflightError(f"{taken}, and so are those after it", "pass --port N")


def _addresses(host: str) -> set[str]:
    try:
        return {str(found[4][0]) for found in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except (OSError, UnicodeError):
        return set()


def _tls(app: App) -> Iterator[Finding]:
    """Load the certificate and its key as the server will."""
    if app.tls is None:
        return
    files = app.tls.files
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(*files)
    except (OSError, ValueError) as error:
        text = f"TLS cannot be served with {files[0]} and {files[1]}: {error}"
        yield Finding("tls", text, "put the certificate and its key there, readable for this user")


def _missing_software(descriptor: Descriptor) -> Iterator[Finding]:
    for package in descriptor.system_packages:
        remedy = f"Debian, Ubuntu: `apt-get install {package.name}`"
        if package.program and shutil.which(package.program) is None:
            text = f"the program {package.program} is not on PATH"
            yield Finding("program-missing", text, remedy, Where(package.program))
        if package.library and not _loads(package.library):
            text = f"the library {package.library} cannot be loaded"
            yield Finding("library-missing", text, remedy, Where(package.library))
    if descriptor.resources.gpu and not resources.gpu():
        yield Finding("gpu-missing", "the bundle needs a GPU, and none is visible here", "deploy on a machine with one")


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def _resources(
    descriptor: Descriptor, manifest: Manifest, root: Root, deployment: Deployment, ready: bool
) -> Iterator[Finding]:
    needs = descriptor.resources
    yield from resources.writable(deployment.folder)
    yield from resources.foreign(deployment.folder)
    yield from resources.clock([deployment.deploy_log])
    stored = {entry.sha256 for entry in blobs.shared(manifest) if (root.blobs / entry.sha256).exists()}
    size = sum(entry.size for entry in manifest.files if entry.sha256 not in stored) + _SPARE_BYTES
    size += 0 if ready else (needs.disk_mb or _ENVIRONMENT_MB) * MIB
    yield from resources.disk(deployment.folder, size, "free some space: `ocrpack status` and `ocrpack remove` help")
    processors = resources.processors()
    if needs.cpus is not None and processors < needs.cpus:
        text = f"{processors:g} processors, {needs.cpus:g} needed"
        yield Finding("cpus", text, "expect it to be slow, or use a larger machine", severity="warning")


def _memory(descriptor: Descriptor, deployment: Deployment, *, stop_first: bool) -> Iterator[Finding]:
    """Compare what the descriptor asks for, and what the running release really takes, with what is free."""
    needs, other = descriptor.resources, "stop other programs, or use a larger machine"
    running = resources.memory_of(status.processes(deployment)) // MIB
    free = resources.available_memory() // MIB + (running if stop_first else 0)
    needed = running if needs.memory_mb is None else needs.memory_mb
    if free < needed:
        text = f"{free} MiB of memory free, {needed} MiB needed"
        if needs.memory_mb is None:
            text += ", as the running release takes"
        elif running and not stop_first:
            text += f" beside the running release, which takes {running} MiB"
        helps = running and not stop_first and free + running >= needed
        yield Finding("memory", text, "pass --stop-first: it is stopped before the new one starts" if helps else other)
    elif needs.memory_recommended_mb is not None and free < needs.memory_recommended_mb:
        text = f"{free} MiB of memory free, {needs.memory_recommended_mb} MiB recommended"
        yield Finding("memory", text, "expect it to be slow under load", severity="warning")


def require_port(options: Options) -> None:
    """Refuse a port that cannot be one.

    Raises:
        UsageError: the port is not in 1 to 65535.
    """
    if options.port is not None and not 1 <= options.port <= _LAST_PORT:
        raise UsageError(f"port {options.port} is not in 1 to {_LAST_PORT}", "pass --port N, or --any-port")
