"""Time whole commands side by side: they take turns, so that a machine that slows down slows all of them."""

from __future__ import annotations

import os
import platform
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path


@dataclass(frozen=True)
class Contender:
    """One way to do a job; `prepare` runs before each turn, outside the clock. `run` may return its own seconds."""

    name: str
    run: Callable[[], float | None]
    prepare: Callable[[], object] = lambda: None


@dataclass(frozen=True)
class Row:
    """What one contender took in seconds, and its median against that of the first one."""

    job: str
    name: str
    seconds: tuple[float, ...]
    ratio: float

    @property
    def median(self) -> float:
        """The median of the turns."""
        return statistics.median(self.seconds)

    def as_markdown(self) -> str:
        """Return the row of a Markdown table."""
        low, high = min(self.seconds), max(self.seconds)
        return f"| {self.job} | {self.name} | {self.median:.3f} | {low:.3f} to {high:.3f} | {self.ratio:.2f} |"


def race(job: str, contenders: list[Contender], turns: int) -> list[Row]:
    """Let the contenders take turns and return their rows; ratios are against the first contender, turn by turn."""
    seconds: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    for _ in range(turns):
        for contender in contenders:
            contender.prepare()
            begin = time.perf_counter()
            own = contender.run()
            seconds[contender.name].append(time.perf_counter() - begin if own is None else own)
    first = seconds[contenders[0].name]
    return [
        Row(job, name, tuple(taken), statistics.median(a / b for a, b in zip(taken, first, strict=True)))
        for name, taken in seconds.items()
    ]


def free_port() -> int:
    """Return a port of 127.0.0.1 on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def command(*words: object, cwd: Path | None = None, env: dict[str, str] | None = None) -> Callable[[], None]:
    """Return a function that runs a command and fails loudly."""

    def run() -> None:
        argv = [str(word) for word in words]
        done = subprocess.run(argv, cwd=cwd, env=env, capture_output=True, check=False, stdin=subprocess.DEVNULL)
        if done.returncode != 0:
            raise RuntimeError(f"{argv}: {done.returncode}\n{done.stdout.decode()}\n{done.stderr.decode()}")

    return run


def environment(home: Path, *packages: str) -> Path | None:
    """Return the programs of a new virtual environment with some packages; None, said on stderr, where it fails."""
    uv, python = Path(sys.executable).with_name("uv"), home / "bin" / "python"
    try:
        command(uv, "venv", "--quiet", "--python", sys.executable, home)()
        command(uv, "pip", "install", "--quiet", "--python", python, *packages)()
    except RuntimeError as error:
        print(f"{packages[0]} cannot be installed here: {error}", file=sys.stderr)
        return None
    return python.parent


def machine() -> str:
    """Describe this machine and the day."""
    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    processor = names[0].partition(":")[2].strip() if names else platform.processor()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 30
    return (
        f"{date.today().isoformat()}, {processor}, {os.cpu_count()} cores, {memory} GiB of memory, "
        f"Linux {platform.release().partition('-')[0]}, Python {platform.python_version()}; a shared machine"
    )
