"""The command line as a user calls it, and small bundle sources that deploy in a second."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ocrpack.bundle.packages.lockfile import parse_pin
from tests.command_line import REPOSITORY, argv, run_command
from tests.patience import PATIENCE, eventually
from tests.ports import free_port

DATA = REPOSITORY.parent / "shared" / "data"

MINI_APP = '''
"""Answers the bytes of the uploaded file as its text: an OCR service that needs no engine."""
import json
import os


def text_of(body):
    return body.split(b"\\r\\n\\r\\n", 1)[1].rsplit(b"\\r\\n--", 1)[0].decode()


def app(environ, start_response):
    if environ["PATH_INFO"] == "/ocr":
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        answer = {"text": text_of(body), "version": VERSION, "pid": os.getpid()}
    elif environ["PATH_INFO"] in ("/healthz", "/readyz", "/"):
        answer = {"status": "ok", "version": VERSION, "pid": os.getpid()}
    else:
        start_response("404 Not Found", [("Content-Type", "text/plain")])
        return [b"no such page"]
    data = json.dumps(answer).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(data)))])
    return [data]
'''


def changed(text, old, new):
    """Return an app's text with a part of it replaced; that part must be there."""
    assert old in text, f"the app does not have: {old}"
    return text.replace(old, new)


def paged(text, path, *lines):
    """Return an app's text with one page more, whose lines set `answer`."""
    body = "".join(f"        {line}\n" for line in lines)
    return changed(
        text,
        '    elif environ["PATH_INFO"] in (',
        f'    elif environ["PATH_INFO"] == "{path}":\n{body}    elif environ["PATH_INFO"] in (',
    )


MAY_SKIP = (
    "permissions bind", "may not mount", "may not make a cgroup", "may not make a network namespace",
    "no shared/data", "the hostile archives",
)  # fmt: skip
"""Reasons to skip that CI accepts: the data beside the checkout, and what the user running it may not do."""


def pytest_sessionstart():
    """Let interrupts reach the children of tests: they inherit an ignored SIGINT, as of a job in the background."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Let nothing be skipped silently in CI: there, a tool that is missing is a failure."""
    report = yield
    if report.skipped and os.environ.get("CI") and not hasattr(report, "wasxfail"):
        reason = str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr)
        if not any(accepted in reason for accepted in MAY_SKIP):
            report.outcome = "failed"
            report.longrepr = f"skipped in CI: {reason}"
    return report


@functools.cache
def lock_of_nothing(interface):
    """Return the lock of a source without requirements: the server alone. With it, a build asks no index."""
    from ocrpack.bundle import BuildOptions, lock_of
    from ocrpack.descriptor import load_source

    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        (place / "requirements.txt").touch()
        (place / "app.py").touch()
        document = {"schema_version": 1, "name": "x", "version": "1", "model": {"name": "x", "version": "1"}}
        (place / "descriptor.json").write_text(json.dumps({**document, "app": {"interface": interface}}))
        return lock_of(load_source(place), BuildOptions(), silent()).lock


def silent():
    """Return who listens to a build and says nothing."""
    from ocrpack.bundle import BuildListener

    return BuildListener(total=lambda _: None, progress=lambda _: None, command_line=lambda _: None)


@dataclass
class Ran:
    """A finished command."""

    status: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


@dataclass
class Machine:
    """A target of its own: an empty home, a root, a free port, and the command line."""

    folder: Path
    port: int
    env: dict[str, str]
    root: Path
    background: list[subprocess.Popen] = field(default_factory=list)
    within: tuple[str, ...] = ()
    """What every command is called through, such as `nsenter`."""

    def argv(self, *words):
        return argv(words, self.within)

    def run(self, *words, status=0, cwd=None, env=None, timeout=2 * PATIENCE, limits=()):
        done = run_command(
            [str(word) for word in words], cwd=cwd or self.folder, env={**self.env, **(env or {})}, timeout=timeout,
            within=self.within, limits=limits,
        )  # fmt: skip
        assert done.returncode == status, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return Ran(done.returncode, done.stdout, done.stderr)

    def start(self, *words, env=None):
        process = subprocess.Popen(
            self.argv(*words), cwd=self.folder, env={**self.env, **(env or {})}, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        self.background.append(process)
        return process

    def source(self, name="mini", version="1.0", *, app=MINI_APP, text="HELLO WORLD", truth=None, folder=None, **more):
        """Write a bundle source whose single sample holds `text`."""
        place = self.folder / (folder or f"{name}-{version}-src")
        shutil.rmtree(place, ignore_errors=True)
        (place / "samples").mkdir(parents=True)
        (place / "app.py").write_text(app.replace("VERSION", repr(version)), encoding="utf-8")
        wanted, pins = more.pop("requirements_text", ""), more.pop("pins", "")
        (place / "requirements.txt").write_text(wanted, encoding="utf-8")
        if not wanted and "python" not in more:
            lock = lock_of_nothing(more.get("app_options", {}).get("interface", "wsgi"))
            own = tuple(parse_pin(line) for line in pins.splitlines())
            (place / "requirements.lock").write_bytes(dataclasses.replace(lock, pins=lock.pins + own).data)
        (place / "samples" / "a.txt").write_text(text, encoding="utf-8")
        descriptor = {
            "schema_version": 1,
            "name": name,
            "version": version,
            "model": {"name": "echo", "version": "1"},
            "app": {"workers": 1, "threads": 4, "boot_seconds": PATIENCE, **more.pop("app_options", {})},
            "samples": [{"image": "samples/a.txt", "text": truth or text, "max_cer": 0.0}],
            "port": self.port,
            **more,
        }
        (place / "descriptor.json").write_text(json.dumps(descriptor, indent=2), encoding="utf-8")
        return place

    def bundle(self, *args, **kwargs):
        """Build a source made by `source` and return the bundle; in this process, which saves a start of Python."""
        from ocrpack.bundle import BuildOptions, build

        return build(self.source(*args, **kwargs), self.folder, BuildOptions(), silent()).path

    def deploy(self, bundle, *words, status=0, env=None):
        return self.run("deploy", bundle, "--no-tag", *words, status=status, env=env)

    def get(self, path="/healthz", timeout=PATIENCE):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=timeout) as answer:
            return json.loads(answer.read())

    def listening(self):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def app_folder(self, name="mini"):
        return self.root / "apps" / name

    def events(self, name="mini"):
        lines = (self.app_folder(name) / "logs" / "deploy.jsonl").read_text("utf-8").splitlines()
        return [json.loads(line) for line in lines]

    def processes(self):
        """Return the pids of everything that runs for this root."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    words = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
                    if str(self.root).encode() in words and int(entry.name) != os.getpid():
                        found.append(int(entry.name))
        return found

    def processes_of(self, module):
        """Return the pids of what runs a module of ocrpack for this root."""
        return [pid for pid in self.processes() if module.encode() in self.words(pid).split(b"\0")]

    def words(self, pid):
        with contextlib.suppress(OSError):
            return Path(f"/proc/{pid}/cmdline").read_bytes()
        return b""

    def wait(self, condition):
        return eventually(condition)


@contextlib.contextmanager
def new_machine(folder, root=None):
    """Yield a fresh target; all that runs on it is ended then, and the home folder must be as it was."""
    home = folder / "home"
    home.mkdir()
    root = root or folder / "root"
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OCRPACK_", "GIT_", "XDG_"))}
    env = {
        **kept,
        "HOME": str(home),
        "XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache")),
        "UV_CACHE_DIR": os.environ.get("UV_CACHE_DIR", str(Path.home() / ".cache" / "uv")),
        "PIP_CACHE_DIR": os.environ.get("PIP_CACHE_DIR", str(Path.home() / ".cache" / "pip")),
        "GIT_CEILING_DIRECTORIES": str(folder),
        "GIT_CONFIG_NOSYSTEM": "1",
        "OCRPACK_ROOT": str(root),
        "PYTHONPATH": str(REPOSITORY),
    }
    made = Machine(folder, free_port(), env, root)
    yield made
    for process in made.background:
        if process.poll() is None:
            process.kill()
        process.communicate()
    for name in [folder.name for folder in (made.root / "apps").glob("*")]:
        made.run("remove", name, "--yes")
    made.wait(lambda: not made.processes())
    assert not list(home.rglob("*ocrpack*")), "something was written to the home folder"


@pytest.fixture
def machine(tmp_path):
    """A target of the test's own."""
    with new_machine(tmp_path) as made:
        yield made


class Load:
    """Clients that ask a page over and over, half of them over kept-alive connections, and count what fails."""

    def __init__(self, port, path="/healthz", clients=8):
        self.port, self.path = port, path
        self.good, self.bad, self.versions = 0, [], set()
        self._guard, self._stop = threading.Lock(), threading.Event()
        self._threads = [threading.Thread(target=self._client, args=(n % 2 == 0,)) for n in range(clients)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _client(self, keep):
        import http.client

        connection = None
        while not self._stop.is_set():
            try:
                if connection is None:
                    connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
                connection.request("GET", self.path)
                answer = connection.getresponse()
                body = json.loads(answer.read())
                with self._guard:
                    if answer.status == 200:
                        self.good += 1
                        self.versions.add(body.get("version"))
                    else:
                        self.bad.append(answer.status)
                if not keep or answer.will_close:
                    connection.close()
                    connection = None
            except (OSError, http.client.HTTPException, ValueError) as error:
                with self._guard:
                    self.bad.append(repr(error))
                if connection is not None:
                    connection.close()
                connection = None
        if connection is not None:
            connection.close()


@pytest.fixture
def load():
    return Load
