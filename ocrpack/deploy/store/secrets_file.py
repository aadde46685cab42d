"""Keep an app's secrets on the target: in a file that only its owner can read, never in a bundle, a log or `ps`.

The file holds a line `NAME=value` for each; a value in double quotes is read as a JSON string.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from ocrpack.deploy.system.files import write_durably
from ocrpack.errors import Finding, PreflightError, Where

_LARGEST_BYTES = 60_000
"""All values together go to the app through a pipe, which holds 64 KiB."""


def read(path: Path) -> dict[str, str]:
    """Read a secrets file; one that does not exist is empty.

    Raises:
        PreflightError: others may read the file, or a line is not `NAME=value`.
    """
    try:
        mode = path.stat().st_mode
        lines = path.read_text("utf-8").splitlines()
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise PreflightError(f"cannot read the secrets in {path}: {error}", "give a readable UTF-8 file") from None
    if mode & 0o077:
        raise PreflightError(f"{path} may be read by others (mode {mode & 0o777:o})", f"chmod 600 {path}")
    values = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, found, value = line.partition("=")
        try:
            values[name.strip()] = json.loads(value) if value.startswith('"') else value
        except ValueError:
            found = ""
        if not found or "\0" in str(values.get(name.strip())):
            raise PreflightError(f"{path}:{number} is not NAME=value", "write one NAME=value a line")
    return values


def load(path: Path, names: tuple[str, ...]) -> dict[str, str]:
    """Return the named secrets that the file holds."""
    known = read(path) if names else {}
    return {name: known[name] for name in names if name in known}


def gather(names: tuple[str, ...], stored: Path, given: Path | None, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the value of every named secret: from the environment, else the given file, else what is stored.

    Raises:
        PreflightError: a secret has no value anywhere, or a file may be read by others.
    """
    if given is not None and not given.exists():
        raise PreflightError(f"no such file: {given}", "name a file with a line NAME=value for each secret")
    known = {**read(stored), **(read(given) if given else {}), **environ}
    missing = [name for name in names if name not in known]
    if missing:
        remedy = "set the variable, or pass --secrets FILE (mode 0600, NAME=value a line)"
        findings = tuple(
            Finding("secret-missing", f"the secret {name} has no value", remedy, Where(str(stored))) for name in missing
        )
        raise PreflightError(f"secrets without a value: {', '.join(missing)}", remedy, findings)
    values = {name: known[name] for name in names}
    if len(json.dumps(values)) > _LARGEST_BYTES:
        raise PreflightError(
            f"the secrets are larger than {_LARGEST_BYTES} bytes together", "pass a file's path instead"
        )
    return values


def stage(path: Path, values: Mapping[str, str]) -> None:
    """Write the values beside the file, with those that earlier releases need, readable by the owner alone."""
    if values:
        lines = [f"{name}={json.dumps(value)}\n" for name, value in {**read(path), **values}.items()]
        write_durably(_staged(path), "".join(lines).encode(), 0o600)


def commit(path: Path) -> None:
    """Let what was staged, if anything was, be what later starts get."""
    if _staged(path).exists():
        _staged(path).replace(path)


def drop(path: Path) -> None:
    """Forget what was staged."""
    _staged(path).unlink(missing_ok=True)


def _staged(path: Path) -> Path:
    return path.with_name(f"{path.name}.new")
