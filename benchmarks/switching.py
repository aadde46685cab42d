"""Upgrade a service over and over under saturating clients, by ocrpack and in the ways that people use instead."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.measure import free_port

REPOSITORY = Path(__file__).parent.parent
OCRPACK = Path(sys.executable).with_name("ocrpack")
CLIENTS = 32
STEADY_S = 15.0
APP = """
import json


def app(environ, start_response):
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    text = body.split(b"\\r\\n\\r\\n", 1)[1].rsplit(b"\\r\\n--", 1)[0].decode() if body else ""
    data = json.dumps({"text": text, "version": VERSION}).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(data)))])
    return [data]
"""


@dataclass(frozen=True)
class Switches:
    """What clients saw while a service was replaced that many times; times in seconds."""

    name: str
    count: int
    total: int
    failed: int
    steady_p99: float
    steady_worst: float
    switch_p99: float
    switch_worst: float

    def as_markdown(self) -> str:
        """Return the row of a Markdown table."""
        times = (self.steady_p99, self.switch_p99, self.steady_worst, self.switch_worst)
        shown = " | ".join(f"{1000 * seconds:.0f}" for seconds in times)
        return f"| {self.name} | {self.count} | {self.failed} of {self.total:,} | {shown} |"


HEAD = (
    "| way | switches | failed requests | p99 steady, ms | p99 while switching, ms | worst steady, ms | "
    "worst while switching, ms |\n|---|---|---|---|---|---|---|\n"
)


def measure(folder: Path, upgrades: int) -> list[Switches]:
    """Return rows for stopping and starting, for a reload, and for ocrpack, where every third candidate is bad."""
    return [
        _by_hand(folder, "gunicorn stopped, then started", 5, _restart),
        _by_hand(folder, "gunicorn reloaded (HUP)", 5, _reload),
        _ocrpack(folder, upgrades),
    ]


@contextmanager
def _clients(port: int, results: dict[str, Any]) -> Iterator[None]:
    argv = [sys.executable, "-m", "benchmarks.clients", str(port), str(CLIENTS), "7200"]
    process = subprocess.Popen(argv, cwd=REPOSITORY, stdout=subprocess.PIPE)
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        results.update(json.loads(process.communicate()[0]))


def _row(name: str, seen: dict[str, Any], windows: list[tuple[float, float]], steady: tuple[float, float]) -> Switches:
    calm, busy = [], []
    for began, seconds in zip(seen["begin"], seen["seconds"], strict=True):
        if steady[0] <= began <= steady[1]:
            calm.append(seconds)
        elif any(began + seconds >= begin and began <= end for begin, end in windows):
            busy.append(seconds)
    calm.sort()
    busy.sort()
    return Switches(
        name, len(windows), len(seen["seconds"]), len(seen["failed"]),
        calm[int(len(calm) * 0.99)], calm[-1], busy[int(len(busy) * 0.99)], busy[-1],
    )  # fmt: skip


def _gunicorn(folder: Path, port: int) -> subprocess.Popen[bytes]:
    (folder / "app.py").write_text(APP.replace("VERSION", "'1'"))
    argv = [sys.executable, "-m", "gunicorn", "-b", f"127.0.0.1:{port}", "-k", "gthread", "--threads", "8", "app:app"]
    process = subprocess.Popen(argv, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _wait_until_it_listens(port)
    return process


def _restart(process: subprocess.Popen[bytes], folder: Path, port: int) -> subprocess.Popen[bytes]:
    process.terminate()
    process.wait()
    return _gunicorn(folder, port)


def _reload(process: subprocess.Popen[bytes], folder: Path, port: int) -> subprocess.Popen[bytes]:
    process.send_signal(signal.SIGHUP)
    return process


def _by_hand(folder: Path, name: str, count: int, switch: Callable[..., subprocess.Popen[bytes]]) -> Switches:
    port, windows = free_port(), []
    seen: dict[str, Any] = {}
    process = _gunicorn(folder, port)
    try:
        with _clients(port, seen):
            time.sleep(1)
            steady = time.time(), time.time() + STEADY_S
            time.sleep(STEADY_S)
            for _ in range(count):
                begin = time.time()
                process = switch(process, folder, port)
                time.sleep(2)
                windows.append((begin, time.time()))
    finally:
        process.terminate()
        process.wait()
    return _row(name, seen, windows, steady)


def _ocrpack(folder: Path, upgrades: int) -> Switches:
    port, root = free_port(), folder / "switching"
    seen: dict[str, Any] = {}
    where = ["--root", str(root)]
    bundles = [_bundle(folder, number, port) for number in range(upgrades + 1)]
    options = ["--no-tag", "--keep", "2", "-q"]
    subprocess.run([OCRPACK, "deploy", bundles[0], *where, *options], check=True)
    try:
        with _clients(port, seen):
            time.sleep(1)
            steady = time.time(), time.time() + STEADY_S
            time.sleep(STEADY_S)
            for number, bundle in enumerate(bundles[1:], 1):
                done = subprocess.run([OCRPACK, "deploy", bundle, *where, *options], capture_output=True, check=False)
                if done.returncode != (15 if _is_bad(number) else 0):
                    raise RuntimeError(f"upgrade {number}: {done.returncode}\n{done.stderr.decode()}")
        events = [json.loads(line) for line in (root / "apps" / "switched" / "logs" / "deploy.jsonl").open()]
    finally:
        subprocess.run([OCRPACK, "remove", "switched", *where, "--yes", "-q"], check=True)
    return _row(
        f"ocrpack deploy, {upgrades // 3} of {upgrades} candidates bad", seen, list(_windows(events))[1:], steady
    )


def _windows(events: list[dict[str, Any]]) -> Iterator[tuple[float, float]]:
    """Yield when each deploy began to start a candidate, and when it ended, good or bad."""
    begins: dict[str, float] = {}
    for event in events:
        moment = datetime.fromisoformat(event["time"]).timestamp()
        if event["event"] == "start" and event["phase"] == "boot":
            begins[event["deploy"]] = moment
        elif event["event"] == "end" and event["deploy"] in begins:
            yield begins[event["deploy"]], moment


def _is_bad(number: int) -> bool:
    return number % 3 == 0


def _bundle(folder: Path, number: int, port: int) -> Path:
    source = folder / f"switched-{number}"
    (source / "samples").mkdir(parents=True)
    (source / "app.py").write_text(APP.replace("VERSION", repr(str(number))))
    (source / "requirements.txt").write_text("")
    (source / "samples" / "a.txt").write_text("HELLO WORLD")
    truth = "SOMETHING ELSE" if _is_bad(number) and number else "HELLO WORLD"
    paths = {"inference": "/ocr", "health": "/healthz"}
    descriptor = {
        "schema_version": 1, "name": "switched", "version": f"1.{number}", "model": {"name": "echo", "version": "1"},
        "app": {"workers": 1, "threads": 8}, "port": port,
        "endpoints": [
            {"path": path, "purpose": purpose, "method": "POST" if purpose == "inference" else "GET"}
            for purpose, path in paths.items()
        ],
        "samples": [{"image": "samples/a.txt", "text": truth, "max_cer": 0.0}],
    }  # fmt: skip
    (source / "descriptor.json").write_text(json.dumps(descriptor))
    bundle = folder / f"switched-1.{number}.zip"
    subprocess.run([OCRPACK, "build", source, "-o", bundle, "-q"], check=True, stdout=subprocess.DEVNULL)
    return bundle


def _wait_until_it_listens(port: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise RuntimeError(f"nothing listens on port {port}")
