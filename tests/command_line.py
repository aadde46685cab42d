"""`ocrpack` as a shell calls it, forked from a process that has imported it already.

Starting Python and importing the package take longer than most commands that tests run; a fork begins after both. A
command sees what it would see otherwise: its words, folder, environment, an empty input, and files for its output.
"""

from __future__ import annotations

import multiprocessing
import os
import pkgutil
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import ocrpack

REPOSITORY = Path(__file__).parent.parent
_OTHERS = (
    "cyclonedx.output.json", "jsonschema", "psutil", "rich.console", "rich.progress", "rich.table", "typer._adapters",
)  # fmt: skip
_AT_START = ("PYTHON", "LC_", "LANG", "LD_")
"""How the names of variables begin that Python looks at as it starts; where a test sets them, it must start."""
_NOT_OF_COMMANDS = (
    "ocrpack.app",
    "ocrpack.deploy.app_server",
    "ocrpack.__main__",
    "ocrpack.deploy.supervisor.__main__",
)


def _modules():
    """Yield what commands import, each at its time."""
    for module in pkgutil.walk_packages(ocrpack.__path__, "ocrpack."):
        if not module.name.startswith(_NOT_OF_COMMANDS):
            yield module.name


_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload([*_OTHERS, *_modules()])


def argv(words, within=()):
    """Return the words by which a command is started for real, through `within` if that is given."""
    return [*within, sys.executable, "-m", "ocrpack", *map(str, words)]


def run_command(words, *, cwd, env, timeout, within=(), limits=()):
    """Run a command, and return its status and what it printed, as `subprocess.run` does.

    `within` is what it is called through, such as `nsenter`; `limits` are pairs of a resource, as `setrlimit` numbers
    it, and how much of that the command may have.

    Raises:
        subprocess.TimeoutExpired: it took longer than `timeout` seconds, and was killed.
    """
    if within or _at_start(env) != {**_at_start(os.environ), "PYTHONPATH": str(REPOSITORY)}:
        return subprocess.run(
            argv(words, within), cwd=cwd, env=env, capture_output=True, text=True, timeout=timeout,
            stdin=subprocess.DEVNULL, preexec_fn=lambda: limit(limits),
        )  # fmt: skip
    with tempfile.TemporaryDirectory() as place:
        files = [str(Path(place, name)) for name in ("out", "err")]
        process = _forks.Process(target=_command, args=(words, str(cwd), env, files, limits))
        process.start()
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(words, timeout)
        return subprocess.CompletedProcess(words, process.exitcode, *(Path(file).read_text("utf-8") for file in files))


def _at_start(env):
    return {name: value for name, value in env.items() if name.startswith(_AT_START)}


def limit(limits):
    """Bind this process, and what it starts, to the limits."""
    for kind, most in limits:
        resource.setrlimit(kind, (most, most))


def _command(words, cwd, env, files, limits):
    limit(limits)
    for number, file in zip((1, 2), files, strict=True):
        opened = os.open(file, os.O_WRONLY | os.O_CREAT)
        os.dup2(opened, number)
        os.close(opened)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    sys.argv = ["ocrpack", *words]
    from ocrpack.cli.main import run

    sys.exit(run(words))
