"""Start and end the processes of one release."""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen, TimeoutExpired

from ocrpack.deploy.root import Deployment, Launch
from ocrpack.shell import spawn

DRAIN_S = 30.0
_GATE = Path(__file__).with_name("gate.py")
_LOG_WRITER_END_S = 5
_LONGEST_SOCKET_PATH = 100
_INHERITED = ("PATH", "LANG", "LANGUAGE", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "USER", "LOGNAME")


@contextlib.contextmanager
def short_address(path: Path) -> Iterator[str]:
    """Yield an address for a Unix socket at `path`, which may be longer than the system's limit of about 107 bytes."""
    if len(os.fsencode(path)) <= _LONGEST_SOCKET_PATH:
        yield str(path)
        return
    folder = Path(tempfile.mkdtemp(prefix="ocrpack-", dir="/tmp"))
    link = folder / "d"
    link.symlink_to(path.parent)
    try:
        yield str(link / path.name)
    finally:
        shutil.rmtree(folder)


def bind_unix(address: str) -> socket.socket:
    """Listen on a Unix socket that only this user can reach, replacing a stale one."""
    Path(address).unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(address)
    Path(address).chmod(0o600)
    listener.listen(128)
    return listener


@dataclass
class Generation:
    """The running processes of one release: a gunicorn master, its workers and their log writer."""

    number: int
    release: str
    launch: Launch
    run: Path
    process: Popen[bytes]
    started: float
    secrets: Mapping[str, str]
    resources: contextlib.ExitStack
    gone: bool = False

    @property
    def private(self) -> Path:
        """The private socket, where the generation answers before its gate opens."""
        return self.run / "private.sock"

    def open_gate(self) -> None:
        """Let the workers accept public connections."""
        (self.run / "gate-open").touch()

    def accepting(self) -> bool:
        """Tell whether every worker said that it accepts public connections."""
        return len(list(self.run.glob("accepting-*"))) >= self.launch.workers

    def signal(self, number: int) -> None:
        """Send a signal to the master."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)

    def kill(self) -> None:
        """Kill whatever is left of the generation's process group, and remove its run folder; once only."""
        if self.gone:
            return
        self.gone = True
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.resources.close()
        shutil.rmtree(self.run, ignore_errors=True)


def start(
    deployment: Deployment, number: int, release: str, launch: Launch, public: socket.socket, secrets: Mapping[str, str]
) -> Generation:
    """Start a release behind its gate and return at once.

    It runs with the descriptor's variables, a few of this process's own (PATH, locale) and an empty home folder;
    secrets go through a pipe. Its output goes to the instance log.

    Raises:
        CommandError: the interpreter cannot be started.
        OSError: no more descriptors, or the run folder cannot be made.
    """
    run = deployment.run / f"generation-{number}"
    shutil.rmtree(run, ignore_errors=True)
    (run / "home").mkdir(parents=True)
    resources = contextlib.ExitStack()
    folder = deployment.releases / release
    private = bind_unix(resources.enter_context(short_address(run / "private.sock")))
    secrets_end = _pipe_holding(json.dumps(dict(secrets)).encode()) if secrets else None
    output_end, output = os.pipe()
    inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    inherited.update((name, value) for name, value in os.environ.items() if name.startswith("LC_"))
    plan = {
        "run": str(run),
        "release": str(folder),
        "interface": launch.interface,
        "listeners": [private.fileno(), public.fileno()],
        "secrets_fd": secrets_end,
        "workers": launch.workers,
        "threads": launch.threads,
        "request_seconds": math.ceil(launch.request_seconds),
        "drain_seconds": math.ceil(DRAIN_S),
        "title": f"{deployment.name} {release}",
    }
    env = {
        **inherited,
        "HOME": str(run / "home"),
        "PYTHONPYCACHEPREFIX": launch.pycache,
        "PYTHONUNBUFFERED": "1",
        "OCRPACK_NAME": deployment.name,
        "OCRPACK_RELEASE": release,
        "OCRPACK_RUN": str(run),
        **launch.env,
        "OCRPACK_GENERATION": json.dumps(plan),
    }
    with contextlib.closing(private):
        try:
            log_writer = [sys.executable, "-m", "ocrpack.deploy.instance_log", deployment.instance_log, release]
            writer = spawn(log_writer, cwd=deployment.folder, env=dict(os.environ), stdin=output_end)
            descriptors = [private.fileno(), public.fileno(), *([] if secrets_end is None else [secrets_end])]
            process = spawn(
                [launch.python, "-m", "gunicorn", "--config", _GATE, launch.entrypoint],
                cwd=folder,
                env=env,
                output=output,
                pass_fds=descriptors,
            )
        finally:
            for handle in (output_end, output, secrets_end):
                if handle is not None:
                    os.close(handle)
    resources.callback(_let_end, writer)
    return Generation(number, release, launch, run, process, time.time(), secrets, resources)


def _let_end(writer: Popen[bytes]) -> None:
    """Wait for the log writer; one that a daemon of the app keeps busy goes on by itself."""
    with contextlib.suppress(TimeoutExpired):
        writer.wait(_LOG_WRITER_END_S)


def _pipe_holding(data: bytes) -> int:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    try:
        os.write(writing, data)
    finally:
        os.close(writing)
    return reading
