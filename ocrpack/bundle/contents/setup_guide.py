"""Write SETUP.md: how a deployer without ocrpack brings the bundle up by hand."""

from __future__ import annotations

import shlex
from string import Template

from ocrpack.bundle.format.manifest import WHEELS, Entry
from ocrpack.bundle.packages.lockfile import LOCK
from ocrpack.descriptor import Descriptor

GUIDE = "SETUP.md"

_GUIDE = Template("""\
# $name $version: setup

$summary

You need a machine with Python $python and $disk of free disk space.$memory
Nothing else is needed: no Docker, no administrator rights. Choose one of the two ways.

## With ocrpack

    ocrpack deploy $name-$version.zip

installs the bundle, starts it, proves it with the samples inside and tags the version in git.

## By hand

### 1. Extract the package

Keep the folder structure as it is.

Linux and macOS:

    unzip $name-$version.zip -d $name-$version
    cd $name-$version

Windows (PowerShell):

    Expand-Archive $name-$version.zip -DestinationPath $name-$version
    cd $name-$version

### 2. Make a virtual environment and install the requirements

Linux and macOS:

    python3 -m venv .venv
    . .venv/bin/activate
    python -m pip install --upgrade pip
    python -m pip install $requirements

Windows (PowerShell):

    py -m venv .venv
    .venv\\Scripts\\Activate.ps1
    python -m pip install --upgrade pip
    python -m pip install $requirements
$offline$system$variables
### $start_number. Start the app

$start

### $use_number. Use it

$use
## What is inside

Model: $model. Languages: $languages.

| file | size in bytes | SHA-256 |
|---|---|---|
$weights

`manifest.json` lists every file with its size and SHA-256, `sbom.cdx.json` every package with its licence. If the
archive was made without the model's files, put them there first.

## When something goes wrong

| symptom | remedy |
|---|---|
| `python3: command not found` | install Python $python (Debian, Ubuntu: `apt-get install python3 python3-venv`) |
| `ensurepip is not available` | Debian, Ubuntu: `apt-get install python3-venv` |
| `No matching distribution found` | no internet access, or its Python is not $python: see `python --version` |
| `Address already in use` | another program listens on port $port: stop it, or set another port |
| PowerShell refuses `Activate.ps1` | `Set-ExecutionPolicy -Scope Process RemoteSigned`, then again |
| the text is wrong | try the samples: they were read within the error bound `max_cer` in `descriptor.json` |
""")

_OFFLINE = f"""
Without a network: the packages are in the folder `{WHEELS}`. Leave out the upgrade of pip, and install them with

    python -m pip install --no-index --find-links {WHEELS} --require-hashes -r {LOCK}
"""

_PLAIN_START = Template("""\
    python $module

It listens on $url/.
""")

_SERVER_START = Template("""\
Linux and macOS:

    python -m gunicorn --workers $workers $options--bind $address '$entrypoint'

Windows (PowerShell), where gunicorn does not run:

    $windows_start

It listens on $url/.
""")


def guide(
    descriptor: Descriptor, weights: tuple[Entry, ...], total_bytes: int, runs_alone: bool, carries_wheels: bool
) -> bytes:
    """Return SETUP.md for one bundle.

    `runs_alone` tells that the entry point's module, when it is run, starts the app; else gunicorn does.
    `carries_wheels` tells that the packages are inside.
    """
    app, model = descriptor.app, descriptor.model
    module = app.entrypoint.partition(":")[0]
    system, variables = _system(descriptor), _variables(descriptor)
    number = 3 + bool(system) + bool(variables)
    values = {
        "name": descriptor.name,
        "version": descriptor.version,
        "summary": descriptor.summary or "An OCR service.",
        "python": descriptor.python,
        "disk": f"{(descriptor.resources.disk_mb or 500) + total_bytes // (1 << 20) + 1} MiB",
        "memory": f"\nIt needs {descriptor.resources.memory_mb} MiB of memory."
        if descriptor.resources.memory_mb
        else "",
        "requirements": f"--require-hashes -r {LOCK}",
        "offline": _OFFLINE if carries_wheels else "",
        "system": system and f"\n### 3. Install what the operating system must bring\n\n{system}",
        "variables": variables and f"\n### {3 + bool(system)}. Set the variables\n\n{variables}",
        "start_number": number,
        "use_number": number + 1,
        "address": f"{_in_url(descriptor.host)}:{descriptor.port}",
        "url": _url(descriptor),
        "port": descriptor.port,
        "module": f"-m {module}" if "." in module else f"{module}.py",
        "workers": app.server_processes,
        "options": _server_options(descriptor),
        "windows_start": _windows_start(descriptor),
        "entrypoint": app.entrypoint,
        "model": f"{model.name} {model.version}" + (f" ({model.license})" if model.license else ""),
        "languages": ", ".join(model.languages) or "not stated",
        "weights": "\n".join(f"| `{entry.path}` | {entry.size} | `{entry.sha256}` |" for entry in weights)
        or "| none | | |",
    }
    start = (_PLAIN_START if runs_alone else _SERVER_START).substitute(values)
    return _GUIDE.substitute(values, start=start.rstrip(), use=_use(descriptor)).encode()


def _server_options(descriptor: Descriptor) -> str:
    worker = {
        "wsgi": f"--threads {descriptor.app.server_threads} ",
        "asgi": "--worker-class uvicorn_worker.UvicornWorker ",
        "aiohttp": "--worker-class aiohttp.GunicornWebWorker ",
    }
    return worker[descriptor.app.interface]


def _windows_start(descriptor: Descriptor) -> str:
    host, port = descriptor.host, descriptor.port
    module, _, attribute = descriptor.app.entrypoint.partition(":")
    target = f"{module}:{attribute.removesuffix('()')}"
    made = attribute.endswith("()")
    if descriptor.app.interface == "wsgi":
        start = f"python -m waitress --host={host} --port={port} {'--call ' if made else ''}{target}"
        return f"python -m pip install waitress\n    {start}"
    if descriptor.app.interface == "asgi":
        return f"python -m uvicorn --host {host} --port {port} {'--factory ' if made else ''}{target}"
    run = f"web.run_app({module}.{attribute}, host='{host}', port={port})"
    return f'python -c "import {module}; from aiohttp import web; {run}"'


def _url(descriptor: Descriptor) -> str:
    """Return the address for a client on the same machine; one that listens everywhere is asked at the local one."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(descriptor.host, descriptor.host)
    return f"http://{_in_url(host)}:{descriptor.port}"


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _system(descriptor: Descriptor) -> str:
    names = " ".join(package.name for package in descriptor.system_packages)
    return f"Debian and Ubuntu, as administrator:\n\n    apt-get install {names}\n" if names else ""


def _variables(descriptor: Descriptor) -> str:
    values = {**descriptor.env, **dict.fromkeys(descriptor.secrets, "<your secret value>")}
    if not values:
        return ""
    posix = "\n".join(f"    export {name}={shlex.quote(value)}" for name, value in values.items())
    windows = "\n".join("    $env:{} = '{}'".format(name, value.replace("'", "''")) for name, value in values.items())
    return f"Linux and macOS:\n\n{posix}\n\nWindows (PowerShell):\n\n{windows}\n"


def _use(descriptor: Descriptor) -> str:
    base = _url(descriptor)
    lines = []
    page = descriptor.endpoint("page")
    if page is not None:
        lines.append(f"Open {base}{page.path} in a browser, choose an image, and read its text.\n")
    inference = descriptor.endpoint("inference")
    if inference is not None:
        image = descriptor.samples[0].image if descriptor.samples else "image.png"
        method = "" if inference.method == "POST" else f"-X {inference.method} "
        curl = f'curl {method}-F "image=@{image}" {base}{inference.path}'
        lines.append(f"Or from the command line (`curl.exe` on Windows):\n\n    {curl}\n")
    if descriptor.samples:
        lines.append("The samples and the text that they must give:\n\n| image | true text |\n|---|---|")
        lines.extend(f"| `{sample.image}` | {_truth(sample.text, sample.text_file)} |" for sample in descriptor.samples)
        lines.append("")
    return "\n".join(lines)


def _truth(text: str | None, text_file: str | None) -> str:
    return f"in `{text_file}`" if text is None else " ".join(text.split()).replace("|", "\\|")
