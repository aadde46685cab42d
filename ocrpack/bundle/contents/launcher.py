"""The `__main__.py` of every bundle: `python3 NAME-VERSION.zip` tells what it is, and runs the commands of ocrpack.

It ships alone: it needs the standard library, and is written for any Python from 3.7 on, so that it can say which one
is needed. ocrpack comes from the bundle, into an environment of its own in the user's cache; so does all that ocrpack
needs where the bundle was built `--self-contained`, else it comes from the package index.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

OLDEST = (3, 11)
READY = ".ready"
PREFLIGHT = 12
"""ocrpack's exit status for a machine that cannot do it."""
TAKES_BUNDLE = ("deploy", "verify", "inspect", "push")
USAGE = """\
{name} {version}: {summary}
model {model}, {size:.1f} MB in {files} files

    python3 {bundle} inspect              what is inside
    python3 {bundle} verify               whether it is whole
    python3 {bundle} deploy [OPTIONS]     install it here, prove it with its samples, and serve it
    python3 {bundle} status|logs|stop|start|rollback ...     once it is deployed

The first of these makes an environment in the user's cache{source}.
The file is a plain ZIP: SETUP.md in it tells how to go without ocrpack.
"""


def main(arguments: list[str]) -> int:
    """Run one command and return its exit status."""
    bundle = Path(sys.argv[0]).resolve()
    with zipfile.ZipFile(bundle) as archive:
        if not arguments or arguments[0] in ("-h", "--help"):
            sys.stdout.write(usage(archive, bundle))
            return 0
        python = interpreter(archive)
        environment = prepare(archive, python) if python else None
    if environment is None:
        return PREFLIGHT
    if arguments[0] in TAKES_BUNDLE and (len(arguments) == 1 or arguments[1].startswith("-")):
        arguments = [arguments[0], str(bundle), *arguments[1:]]
    command = [program(environment), "-I", "-m", "ocrpack", *arguments]
    if os.name == "nt":
        return subprocess.call(command)
    os.execv(command[0], command)
    return 1


def usage(archive: zipfile.ZipFile, bundle: Path) -> str:
    """Return what the bundle is and how it is used."""
    manifest = json.loads(archive.read("manifest.json").decode())
    descriptor = json.loads(archive.read("descriptor.json").decode())
    model = descriptor["model"]
    return USAGE.format(
        name=manifest["name"],
        version=manifest["version"],
        summary=descriptor.get("summary") or "an OCR service",
        model=f"{model['name']} {model['version']}",
        size=sum(file["size"] for file in manifest["files"]) / 1e6,
        files=len(manifest["files"]),
        bundle=bundle.name,
        source="" if carries_packages(archive) else ", with packages from the package index",
    )


def carries_packages(archive: zipfile.ZipFile) -> bool:
    """Tell whether what ocrpack needs is inside."""
    return any(name.startswith("tool/wheels/") for name in archive.namelist())


def interpreter(archive: zipfile.ZipFile) -> str | None:
    """Return a Python that ocrpack and the wheels inside run on, or None after saying that there is none."""
    tags = [re.match(r"tool/wheels/.*-cp3(\d+)-cp3\d+-", name) for name in archive.namelist()]
    carried = {(3, int(tag.group(1))) for tag in tags if tag}

    def suits(version: tuple[int, int]) -> bool:
        return version >= OLDEST and (not carried or version in carried)

    if suits(sys.version_info[:2]):
        return sys.executable
    for minor in range(30, OLDEST[1] - 1, -1):
        other = shutil.which(f"python3.{minor}")
        if other and suits((3, minor)):
            return other
    wanted = ", ".join(f"3.{minor}" for _, minor in sorted(carried)) or "3.11 or later"
    complain(f"this needs Python {wanted}, and this is {sys.version.split()[0]}", "install it, and run again")
    return None


def prepare(archive: zipfile.ZipFile, python: str) -> Path | None:
    """Return the environment that ocrpack runs in, made where it is missing; None after saying why it cannot be."""
    names = sorted(name for name in archive.namelist() if name.startswith("tool/"))
    key = hashlib.sha256(subprocess.check_output([python, "-I", "-c", "import sys; print(sys.version, sys.prefix)"]))
    for name in names:
        key.update(f"{name} {hashlib.sha256(archive.read(name)).hexdigest()}\n".encode())
    cache = os.environ.get("LOCALAPPDATA" if os.name == "nt" else "XDG_CACHE_HOME") or "~/.cache"
    home = Path(cache).expanduser() / "ocrpack" / "self" / key.hexdigest()[:16]
    if (home / READY).exists():
        return home
    home.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="making-", dir=str(home.parent)) as name:
        place = Path(name)
        archive.extractall(name, names)
        if not install(place / "tool", place / "environment", python):
            return None
        (place / "environment" / READY).touch()
        try:
            (place / "environment").rename(home)
        except OSError:
            if not (home / READY).exists():  # else another one made it meanwhile
                raise
    return home


def program(environment: Path) -> str:
    """Return the interpreter of an environment."""
    return str(environment.joinpath(*(("Scripts", "python.exe") if os.name == "nt" else ("bin", "python"))))


def install(tool: Path, environment: Path, python: str) -> bool:
    """Make an environment with ocrpack in it, and tell whether that went well."""
    sys.stderr.write("making an environment for ocrpack in the user's cache, once\n")
    own = [str(path) for path in tool.glob("*.whl")]
    wheels = tool / "wheels"
    if wheels.is_dir():
        uv = carried_uv(wheels, tool / "uv")
        if uv is None:
            complain("the bundle carries no packages for this kind of machine", "get one that was built for it")
            return False
        offline = [
            uv,
            "pip",
            "install",
            "--no-config",
            "--quiet",
            "--python",
            program(environment),
            "--offline",
            "--no-index",
        ]
        commands = [
            [python, "-I", "-m", "venv", "--without-pip", str(environment)],
            [*offline, "--find-links", str(wheels), "--require-hashes", "-r", str(tool / "requirements.lock")],
            [*offline, "--no-deps", *own],
        ]
    else:
        if subprocess.call([python, "-I", "-c", "import ensurepip"], stderr=subprocess.DEVNULL):
            complain("this Python has no ensurepip", "Debian, Ubuntu: `apt-get install python3-venv`")
            return False
        commands = [
            [python, "-I", "-m", "venv", str(environment)],
            [program(environment), "-I", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *own],
        ]
    for command in commands:
        if subprocess.call(command, stdout=sys.stderr):
            complain(f"`{' '.join(command)}` failed", "its words are above; it may need a network")
            return False
    return True


def carried_uv(wheels: Path, place: Path) -> str | None:
    """Return the uv program of the wheel that is for this machine, unpacked to `place`, or None."""
    for path in sorted(wheels.glob("uv-*.whl")):
        with zipfile.ZipFile(path) as wheel:
            inside = [name for name in wheel.namelist() if re.search(r"\.data/scripts/uv(\.exe)?$", name)]
            for name in inside:
                found = Path(wheel.extract(name, str(place)))
                found.chmod(0o755)
                try:
                    if subprocess.call([str(found), "--version"], stdout=subprocess.DEVNULL) == 0:
                        return str(found)
                except OSError:  # a program for another kind of machine
                    continue
    return None


def complain(what: str, remedy: str) -> None:
    """Say what is wrong, as ocrpack does."""
    sys.stderr.write(f"error: {what}\n  {remedy}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
