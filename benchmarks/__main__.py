"""Measure ocrpack side by side with what a user would do instead, and write benchmarks/RESULTS.md.

Usage: python -m benchmarks [--gib 1] [--turns 3] [--upgrades 100] [--only races|serving|switching|huge]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from benchmarks import bundles, serving, soak, switching
from benchmarks.measure import Contender, Row, command, free_port, machine, race

REPOSITORY = Path(__file__).parent.parent
OCRPACK = Path(sys.executable).with_name("ocrpack")
SAMPLE = REPOSITORY / "bundles" / "tesseract" / "samples" / "paragraph.png"
HEAD = "| job | what | median s | range s | ratio to the job's first row (median of turns) |\n|---|---|---|---|---|\n"


def start_up(turns: int) -> list[Row]:
    """The time until a command answers."""
    return race(
        "start",
        [
            Contender("python -c pass", command(sys.executable, "-c", "pass")),
            Contender("ocrpack --version", command(OCRPACK, "--version")),
            Contender("ocrpack --help", command(OCRPACK, "--help")),
            Contender("ocrpack status, where nothing is deployed", command(OCRPACK, "status", "--root", os.devnull)),
            *(
                Contender(
                    f"ocrpack {name}, where nothing is deployed",
                    command("sh", "-c", f"! '{OCRPACK}' {name} x --root /dev/null"),
                )
                for name in ("logs", "verify")
            ),
        ],
        turns * 5,
    )


class Deploys:
    """The default bundle, deployed by hand and by ocrpack, with package caches warm."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.by_hand = folder / "by-hand"
        self.root = folder / "root"
        self.port = free_port()
        self.env = {**os.environ, "PORT": str(self.port)}
        command(OCRPACK, "build", REPOSITORY / "bundles" / "tesseract", "-o", folder, "-q")()
        self.bundle = next(folder.glob("tesseract-*.zip"))

    def clear(self, *, keep_environment: bool = False) -> None:
        """Take everything away again."""
        shutil.rmtree(self.by_hand, ignore_errors=True)
        if (self.root / "apps" / "tesseract").exists():
            command(OCRPACK, "stop", "tesseract", "--root", self.root)()
            subprocess.run(["chmod", "-R", "u+w", self.root / "apps"], check=True)
            shutil.rmtree(self.root / "apps")
        if not keep_environment:
            shutil.rmtree(self.root, ignore_errors=True)

    def manual(self) -> float:
        """The commands of SETUP.md, up to the first text; return the seconds but for the app's own start."""
        begin = time.perf_counter()
        command("unzip", "-q", self.bundle, "-d", self.by_hand)()
        command(sys.executable, "-m", "venv", self.by_hand / ".venv")()
        python = self.by_hand / ".venv" / "bin" / "python"
        command(python, "-m", "pip", "install", "--upgrade", "pip")()
        command(python, "-m", "pip", "install", "--require-hashes", "-r", self.by_hand / "requirements.lock")()
        started = time.perf_counter()
        with subprocess.Popen(
            [python, "app.py"], cwd=self.by_hand, env=self.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as app:
            while not self._ready():
                time.sleep(0.03)
            ready = time.perf_counter()
            self._read()
            end = time.perf_counter()
            app.send_signal(signal.SIGTERM)
        return end - begin - (ready - started)

    def deploy(self) -> float:
        """One command; return the seconds but for the app's own start, which is the phase `boot`."""
        begin = time.perf_counter()
        done = subprocess.run(
            [OCRPACK, "deploy", self.bundle, "--root", self.root, "--port", str(self.port), "--json"],
            capture_output=True, check=True, cwd=self.folder,
        )  # fmt: skip
        seconds = time.perf_counter() - begin
        return seconds - next(
            phase["seconds"] for phase in json.loads(done.stdout)["phases"] if phase["name"] == "boot"
        )

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=1) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def _read(self) -> None:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/ocr", SAMPLE.read_bytes(), {"Content-Type": "image/png"}, method="POST"
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            answer.read()

    def race(self, turns: int) -> list[Row]:
        """By hand, against a first deploy, against one whose environment exists."""
        try:
            return race(
                "deploy of the default bundle, caches warm, without the app's own start",
                [
                    Contender("by hand: unzip, venv, pip, one image", self.manual, self.clear),
                    Contender("ocrpack deploy, three samples", self.deploy, self.clear),
                    Contender(
                        "ocrpack deploy, environment there, three samples",
                        self.deploy,
                        lambda: self.clear(keep_environment=True),
                    ),
                ],
                turns,
            )
        finally:
            self.clear()


def main() -> None:
    """Run all races and write the results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=main.__doc__)
    parser.add_argument("--gib", type=float, default=1, help="size of the large weights")
    parser.add_argument("--turns", type=int, default=5, help="how often each contender runs")
    parser.add_argument("--upgrades", type=int, default=100, help="how many upgrades under load")
    parser.add_argument("--requests", type=int, default=1000, help="how many requests in the soak")
    parser.add_argument("--huge-gib", type=int, default=20, help="size of the sparse weights, with --only huge")
    parser.add_argument("--only", choices=["races", "serving", "switching", "huge"], help="one of the tables")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ocrpack-bench-") as name:
        folder = Path(name)
        if chosen.only == "huge":  # takes minutes and 40 GiB of disk
            _write("huge", bundles.huge(chosen.huge_gib))
            return
        if chosen.only in (None, "races"):
            rows = start_up(chosen.turns)
            rows += bundles.large(folder, chosen.gib, chosen.turns)
            rows += bundles.small(folder, chosen.turns)
            rows += Deploys(folder).race(chosen.turns)
            _write("measured", HEAD + "\n".join(row.as_markdown() for row in rows))
        if chosen.only in (None, "serving"):
            rates = serving.throughput(folder, chosen.turns)
            _write("serving", serving.HEAD + "\n".join(row.as_markdown() for row in rates))
            _write("figures", _figures({**serving.latency(folder), **soak.measure(folder, chosen.requests)}))
        if chosen.only in (None, "switching"):
            switches = switching.measure(folder, chosen.upgrades)
            _write("switching", switching.HEAD + "\n".join(row.as_markdown() for row in switches))


def _figures(values: dict[str, float]) -> str:
    rows = "\n".join(f"| {name} | {value:.1f} |" for name, value in values.items())
    return f"| what | value |\n|---|---|\n{rows}"


def _write(mark: str, table: str) -> None:
    """Replace one table of the results."""
    results = Path(__file__).with_name("RESULTS.md")
    text = results.read_text("utf-8")
    begin = f"<!-- {mark} by `make bench` -->"
    head, _, rest = text.partition(begin)
    results.write_text(
        f"{head}{begin}\n{machine()}.\n\n{table}\n<!-- end -->{rest.partition('<!-- end -->')[2]}", "utf-8"
    )
    print(table)


if __name__ == "__main__":
    main()
