"""Start, find again and end the processes of one release.

Everything about a generation stands in its run folder, so that a supervisor can take over what an earlier one
started: `generation.json` (what it is), `private.sock`, `handover.sock` (where its master gives the public listener
away), `output` (the FIFO that its log writer reads), `gate-new`, `gate-open` or `gate-closed`, and a home folder.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from ocrpack.deploy import app_server
from ocrpack.deploy.app_server import instructions
from ocrpack.deploy.store.layout import Deployment
from ocrpack.deploy.store.state import Launch
from ocrpack.deploy.system.processes import Adopted, Child, Identity, Master, started_with
from ocrpack.deploy.system.sockets import bind_unix, short_address
from ocrpack.deploy.system.variables import inherited
from ocrpack.shell import spawn

_CONFIGURATION = Path(app_server.__file__).with_name("gunicorn_config.py")
_LOG_WRITER_END_S = 5
_UNPROMOTED_DRAIN_S = 5.0
_KILL_MARGIN_S = 3.0
_HANDOVER_S = 5.0
_RECORD = "generation.json"
_MARK = "OCRPACK_RUN"
_OWN_PYCACHE = ("-X", "pycache_prefix=")
"""Lets the server find itself and the standard library compiled; gunicorn_config.py then sets the app's place."""


@dataclass(kw_only=True)
class Generation:
    """The running processes of one release: a gunicorn master, its workers and their log writer."""

    number: int
    release: str
    launch: Launch
    run: Path
    started: float
    master: Master
    writer: Master
    gone: bool = False

    @property
    def private(self) -> Path:
        """The private socket, where the generation answers whether its gate is open or not."""
        return self.run / "private.sock"

    @property
    def is_open(self) -> bool:
        """Whether it may take public connections."""
        return (self.run / "gate-open").exists()

    @property
    def served(self) -> bool:
        """Whether it was ever promoted."""
        return not (self.run / "gate-new").exists()

    def open_gate(self) -> None:
        """Let the workers accept public connections; a rename, which a full disk does not keep from going back."""
        self._turn_gate("gate-open", "gate-new", "gate-closed")

    def close_gate(self) -> None:
        """Let the workers accept no more public connections; those that are there end with their next answer."""
        self._turn_gate("gate-closed", "gate-open")

    def _turn_gate(self, to: str, *before: str) -> None:
        for state in before:
            with contextlib.suppress(FileNotFoundError):
                (self.run / state).replace(self.run / to)

    def accepting(self) -> int:
        """Return how many workers say that they accept public connections."""
        return len(list(self.run.glob("accepting-*")))

    def progress(self) -> int:
        """Return a number that changes while the workers finish requests."""
        return max((mark.stat().st_mtime_ns for mark in self.run.glob("progress-*")), default=0)

    def leave(self) -> bool:
        """Let it finish its requests and end, in its drain deadline, and return whether it had to be killed."""
        if self.served and self.master.ended() is not None:
            self.outlive_master()
            return False
        self.master.identity.signal(signal.SIGTERM)
        deadline = self.launch.drain_seconds if self.served else _UNPROMOTED_DRAIN_S
        begin = time.monotonic()
        self.master.wait(deadline + _KILL_MARGIN_S)  # gunicorn ends its workers by force at the deadline itself
        forced = time.monotonic() - begin >= deadline
        self.kill()
        return forced

    def outlive_master(self) -> None:
        """Let the workers of a dead master finish their requests, in the drain deadline, then kill the rest."""
        deadline = time.monotonic() + self.launch.drain_seconds
        while any(self._processes()) and time.monotonic() < deadline:
            time.sleep(0.5)
        self.kill()

    def _processes(self) -> Iterator[Identity]:
        return started_with(_MARK, str(self.run))

    def kill(self) -> None:
        """Kill whatever is left of it, daemons of the app included, and remove its run folder; once only."""
        if self.gone:
            return
        self.gone = True
        self.master.identity.kill_group()
        _kill_all(self.run)
        self.master.wait(_LOG_WRITER_END_S)
        if self.writer.wait(_LOG_WRITER_END_S) is None:
            self.writer.identity.kill_group()
        shutil.rmtree(self.run, ignore_errors=True)

    def keep_log(self, deployment: Deployment) -> None:
        """Start another log writer if the one that was there is dead."""
        if not self.gone and self.writer.ended() is not None and self.master.ended() is None:
            handle = os.open(self.run / "output", os.O_RDONLY | os.O_NONBLOCK)
            os.set_blocking(handle, True)
            try:
                self.writer = _start_writer(deployment, self.release, handle)
            finally:
                os.close(handle)
            self.record()

    def record(self) -> None:
        """Write down what it is, for a later supervisor."""
        document = {
            "number": self.number,
            "release": self.release,
            "launch": asdict(self.launch),
            "started": self.started,
            "master": asdict(self.master.identity),
            "writer": asdict(self.writer.identity),
        }
        fresh = self.run / f"{_RECORD}.new"
        fresh.write_text(json.dumps(document), encoding="utf-8")
        fresh.replace(self.run / _RECORD)


def _end_all(run: Path) -> None:
    """Let the processes of a run folder that nobody can read finish for a while, then kill them."""
    deadline = time.monotonic() + _UNPROMOTED_DRAIN_S
    for identity in started_with(_MARK, str(run)):
        identity.signal(signal.SIGTERM)
    while any(started_with(_MARK, str(run))) and time.monotonic() < deadline:
        time.sleep(0.2)
    _kill_all(run)


def _kill_all(run: Path) -> None:
    """Kill every process that was started for a run folder; new ones may appear while that goes on."""
    for _ in range(10):
        left = list(started_with(_MARK, str(run)))
        if not left:
            return
        for identity in left:
            identity.signal(signal.SIGKILL)
        time.sleep(0.02)


def start(
    deployment: Deployment,
    public: socket.socket,
    *,
    number: int,
    release: str,
    launch: Launch,
    secrets: Mapping[str, str],
) -> Generation:
    """Start a release behind its gate and return at once.

    It runs with the descriptor's variables, a few of this process's own (PATH, locale) and an empty home folder;
    secrets go through a pipe. Its output goes to the instance log.

    Raises:
        CommandError: the interpreter cannot be started.
        OSError: no more descriptors, or the run folder cannot be made.
    """
    run = deployment.run / f"generation-{number}"
    with contextlib.ExitStack() as undo:
        undo.callback(shutil.rmtree, run, ignore_errors=True)
        undo.callback(_kill_all, run)
        master, writer = _start(deployment, public, run, release=release, launch=launch, secrets=secrets)
        made = Generation(
            number=number,
            release=release,
            launch=launch,
            run=run,
            started=time.time(),
            master=master,
            writer=writer,
        )
        made.record()
        undo.pop_all()
    return made


def _start(
    deployment: Deployment,
    public: socket.socket,
    run: Path,
    *,
    release: str,
    launch: Launch,
    secrets: Mapping[str, str],
) -> tuple[Master, Master]:
    """Make the run folder, and start the master and its log writer in it."""
    shutil.rmtree(run, ignore_errors=True)
    (run / "home").mkdir(parents=True)
    os.mkfifo(run / "output", 0o600)
    (run / "gate-new").touch()
    with contextlib.ExitStack() as handles:
        private, handover = (
            handles.enter_context(contextlib.closing(bind_unix(handles.enter_context(short_address(run / name)))))
            for name in ("private.sock", "handover.sock")
        )
        secrets_end = _pipe_holding(json.dumps(dict(secrets)).encode()) if secrets else None
        # The app holds both ends of its output, so that it never writes to a broken pipe.
        output = os.open(run / "output", os.O_RDWR)
        output_end = os.open(run / "output", os.O_RDONLY)
        passed = [private.fileno(), public.fileno(), handover.fileno()]
        for handle in (output, output_end, *([] if secrets_end is None else [secrets_end])):
            handles.callback(os.close, handle)
        told = instructions.Instructions(
            run=str(run),
            release=str(deployment.releases / release),
            interface=launch.interface,
            listeners=(private.fileno(), public.fileno()),
            handover_fd=handover.fileno(),
            secrets_fd=secrets_end,
            workers=launch.workers,
            threads=launch.threads,
            request_seconds=math.ceil(launch.request_seconds),
            drain_seconds=math.ceil(launch.drain_seconds),
            max_requests=launch.max_requests,
            certificate=launch.certificate,
            key=launch.key,
            title=f"{deployment.name} {release}",
        )
        writer = _start_writer(deployment, release, output_end)
        # The program, and not the module: with `-m`, the release would be looked through for what gunicorn imports.
        gunicorn = Path(launch.python).with_name("gunicorn")
        process = spawn(
            [launch.python, *_OWN_PYCACHE, gunicorn, "--config", _CONFIGURATION, launch.entrypoint],
            cwd=deployment.releases / release,
            env={**_environment(deployment, release, launch, run), instructions.VARIABLE: told.encode()},
            output=output,
            pass_fds=[*passed, *([] if secrets_end is None else [secrets_end])],
        )
    return Child(process), writer


def _environment(deployment: Deployment, release: str, launch: Launch, run: Path) -> dict[str, str]:
    return {
        **inherited(),
        "HOME": str(run / "home"),
        "PYTHONUNBUFFERED": "1",
        **launch.env,
        "PYTHONPYCACHEPREFIX": launch.pycache,
        "OCRPACK_NAME": deployment.name,
        "OCRPACK_RELEASE": release,
        "OCRPACK_DATA": str(deployment.folder / "data"),
        "OCRPACK_GATE": str(run / "gate-open"),
        _MARK: str(run),
    }


def _start_writer(deployment: Deployment, release: str, output_end: int) -> Child:
    argv = [sys.executable, "-m", "ocrpack.deploy.supervisor.log_writer", deployment.instance_log, release]
    return Child(spawn(argv, cwd=deployment.folder, env=dict(os.environ), stdin=output_end))


def _pipe_holding(data: bytes) -> int:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    try:
        os.write(writing, data)
    finally:
        os.close(writing)
    return reading


def left_running(deployment: Deployment) -> list[Generation]:
    """Return the generations whose masters run, oldest first; nothing is changed."""
    found = (_read(run) for run in deployment.run.glob("generation-*"))
    alive = [generation for generation in found if generation is not None and generation.master.ended() is None]
    return sorted(alive, key=lambda generation: generation.number)


def end_others(deployment: Deployment, kept: Collection[Generation]) -> None:
    """End what is left of all generations but those: of dead masters, and of records that cannot be read."""
    for run in set(deployment.run.glob("generation-*")) - {generation.run for generation in kept}:
        _end_all(run)
        shutil.rmtree(run, ignore_errors=True)


def lingers(deployment: Deployment) -> bool:
    """Tell whether workers whose master is dead still finish their requests, and hold the address."""
    return any(any(started_with(_MARK, str(run))) for run in deployment.run.glob("generation-*"))


def _read(run: Path) -> Generation | None:
    try:
        values = json.loads((run / _RECORD).read_bytes())
        master, writer = (Adopted(Identity(**values.pop(key))) for key in ("master", "writer"))
        values["launch"] = Launch.from_dict(values["launch"])
        return Generation(**values, run=run, master=master, writer=writer)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def take_listener(generation: Generation) -> socket.socket | None:
    """Return the public listener that a generation holds, or None when its master does not give it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_HANDOVER_S)
        try:
            with short_address(generation.run / "handover.sock") as address:
                connection.connect(address)
            _, handles, _, _ = socket.recv_fds(connection, 1, 1)
        except OSError:
            return None
    return socket.socket(fileno=handles[0]) if handles else None
