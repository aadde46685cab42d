"""A deployment that cells use one after the other: each finds a good release serving, and must leave one."""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

from ocrpack.bundle import BuildListener, BuildOptions, build
from ocrpack.deploy.store.layout import Root
from ocrpack.deploy.supervisor import status
from tests.conftest import MINI_APP, Machine, Ran, changed
from tests.faults.index import Index
from tests.patience import PATIENCE

HERE = Path(__file__).parent
PLACES = {
    "preflight": ("open", r"/state\.json'"),
    "unpack": ("open", r"/\.staging-[^/]+/samples/"),
    "tag": (r"subprocess\.Popen", r"'tag'"),
    "prune": (r"os\.(listdir|scandir)", r"/failed'"),
}
"""Where the deployer waits in the phases that it goes through alone; else the app or the index makes it wait."""
_SILENT = BuildListener(lambda _: None, lambda _: None, lambda _: None)


class Command:
    """An ocrpack command at work, and how it ended."""

    def __init__(self, process):
        self.process = process
        self._ran = None

    @property
    def ran(self):
        """Wait for its end."""
        if self._ran is None:
            out, err = self.process.communicate(timeout=PATIENCE)
            self._ran = Ran(self.process.returncode, out, err)
        return self._ran


class Bench:
    """One deployment, its bundles and its processes."""

    def __init__(self, machine: Machine, index: Index, holds: Path):
        self.machine, self.index, self.holds = machine, index, holds
        self.sound = False
        self.plain = False
        self._serial = 0

    # --- bundles and commands

    @property
    def folder(self):
        return self.machine.app_folder()

    def bundle(self, *, misbehaves="", at_import="", version=None, **more):
        """Build a bundle of a new version, whose app differs by code before it or in place of its answers."""
        if version is None:
            self._serial += 1
            version = f"{self._serial}.0"
        options = {"workers": 2, "threads": 16, "drain_seconds": 4, **more.pop("app_options", {})}
        env = {"HOLDS": str(self.holds), **more.pop("env", {})}
        app = (HERE / "service.py").read_text("utf-8")
        if misbehaves:
            before, rest = app.split("def misbehave", 1)
            app = f"{before}{misbehaves}\n\n\ndef app{rest.split('def app', 1)[1]}"
        source = self.machine.source(
            version=version, app=app + at_import, app_options=options, env=env, files=["mini.py"],
            resources={"disk_mb": 1, **more.pop("resources", {})}, folder="source", **more,
        )  # fmt: skip
        (source / "mini.py").write_text(changed(MINI_APP, "VERSION", repr(version)), encoding="utf-8")
        return build(source, self.machine.folder, BuildOptions(force=True), _SILENT).path

    def start(self, *words, at=None, hold=None, env=None):
        """Start a command; at an event with its arguments it waits while the file `hold` is there, or dies."""
        argv = self.machine.argv(*words)
        if at is not None:
            plan = {"event": at[0], "arguments": at[1], "hold": hold and str(hold)}
            argv = [sys.executable, str(HERE / "held.py"), json.dumps(plan), *map(str, words)]
        process = subprocess.Popen(
            argv, cwd=self.machine.folder, env={**self.machine.env, "UV_INDEX": self.index.url, **(env or {})},
            text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        self.machine.background.append(process)
        return Command(process)

    def run(self, *words, env=None):
        return self.start(*words, env=env).ran

    @contextlib.contextmanager
    def in_phase(self, phase, *words, at=None, env=None):
        """Start a command, and yield it while it stays in a phase, or at an event in that phase."""
        with contextlib.ExitStack() as stack:
            mark = self.holds / f"{phase}.reached"
            stack.callback(mark.unlink, missing_ok=True)
            (self.holds / phase).touch()
            stack.callback((self.holds / phase).unlink, missing_ok=True)
            if phase == "drain":
                stack.enter_context(self._long_request(phase))
                self.machine.wait(mark.exists)
            begin = self.journal.stat().st_size
            command = self.start(*words, at=at or PLACES.get(phase), hold=self.holds / phase, env=env)

            def reached():
                assert command.process.poll() is None, f"ended before {phase}: {command.ran}"
                started = any((event["phase"], event["event"]) == (phase, "start") for event in self.events(begin))
                return started and mark.exists()

            self.machine.wait(reached)
            time.sleep(0.05)  # let it come from the phase's first line to where it waits
            yield command

    @contextlib.contextmanager
    def _long_request(self, place):
        connection = http.client.HTTPConnection("127.0.0.1", self.machine.port, timeout=PATIENCE)
        connection.request("GET", "/healthz", headers={"X-Wait-At": place})
        yield
        (self.holds / place).unlink()
        assert connection.getresponse().status == 200, "the request that was at work during the drain"
        connection.close()

    # --- what is there

    @property
    def current(self):
        """The version that is meant to serve, or None."""
        try:
            return (self.folder / "current").readlink().name.partition("-")[0]
        except FileNotFoundError:
            return None

    @property
    def previous(self):
        """The version that a rollback goes to, or None."""
        good = Root(self.machine.root).deployment("mini").load_state().last_good
        return None if good is None else good.partition("-")[0]

    @property
    def journal(self):
        return self.folder / "logs" / "deploy.jsonl"

    def events(self, begin=0):
        """Return the whole lines of the journal, from a place in it."""
        events = []
        for line in self.journal.read_bytes()[begin:].splitlines():
            with contextlib.suppress(ValueError):  # a line that the cell's fault cut
                events.append(json.loads(line))
        return events

    def status(self):
        """Return what `ocrpack status` tells."""
        return status.status(Root(self.machine.root).deployment("mini"))

    def processes(self):
        """Return the processes of this deployment by what they are."""
        found: dict[str, list[psutil.Process]] = {}
        for pid in self.machine.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process = psutil.Process(pid)
                found.setdefault(_kind(process), []).append(process)
        return found

    def find(self, kind):
        """Return the pids of a kind of process; of masters and workers the serving ones, or the candidate's."""
        base, _, which = kind.partition(" of ")
        found = [process.pid for process in self.processes().get(base, [])]
        if not which:
            return found
        folders = sorted(self.folder.glob("run/generation-*"), key=lambda folder: int(folder.name.rpartition("-")[2]))
        folder = folders[-1] if which == "candidate" else folders[0]
        return [pid for pid in found if f"{folder}\0".encode() in Path(f"/proc/{pid}/environ").read_bytes() + b"\0"]

    def locked(self):
        with (self.folder / "lock").open() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def left_behind(self):
        """Return what lies on disk that no finished command leaves."""
        root = self.machine.root
        names = (".*", "back", "undo", "*.new", "releases/.*", "run/.*", "run/*/*.new")
        patterns = ("**/.staging-*", *(f"apps/*/{name}" for name in names))
        found = {path for pattern in patterns for path in root.glob(pattern)}
        found |= {path for path in root.glob("environments/[!.]*") if not (path / "ocrpack-ready.json").exists()}
        generations = sorted(root.glob("apps/*/run/generation-*"))
        found |= set(generations[:-1] if len(generations) > 1 else [])
        found |= {link.parent for link in self._short_links() if not link.exists()}
        return sorted(str(path.relative_to(root)) if path.is_relative_to(root) else path.name for path in found)

    def _short_links(self):
        """Return the links that stand for folders of this root whose paths are too long for a socket's address."""
        return [link for link in Path("/tmp").glob("ocrpack-*/d") if link.readlink().is_relative_to(self.machine.root)]

    def discard(self):
        """Kill all that runs and delete all that is there."""
        deadline = time.monotonic() + 20
        while pids := self.machine.processes():
            assert time.monotonic() < deadline, f"these do not end: {pids}"
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.05)
        for link in self._short_links():
            shutil.rmtree(link.parent)
        for folder in [self.machine.root, *self.machine.root.rglob("*")]:
            if folder.is_dir() and not folder.is_symlink():
                folder.chmod(0o755)
        if self.machine.root.exists():
            shutil.rmtree(self.machine.root)
        self.sound = False


def _kind(process):
    words = process.cmdline()
    if "ocrpack.deploy.supervisor" in words:
        return "supervisor"
    if "ocrpack.deploy.supervisor.log_writer" in words:
        return "log writer"
    if any("gunicorn" in word for word in words[:4]):
        parent = process.parent()
        is_worker = parent is not None and parent.cmdline() == words
        return "worker" if is_worker else "master"
    return "other: " + " ".join(words)[-120:]
