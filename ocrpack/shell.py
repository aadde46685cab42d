"""Run child processes: the only user of `subprocess` in the project.

Commands are argument lists, both pipes are drained, every run has a deadline, and an error carries the
argument list, the exit code and the tail of the output.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from ocrpack.errors import OcrpackError

TAIL_LINES = 40
WINDOWS = sys.platform == "win32"


@dataclass
class CommandError(OcrpackError):
    """A child process failed, could not start, or outlived its deadline."""

    argv: tuple[str, ...] = ()
    exit_status: int | None = None
    tail: str = ""


@dataclass(frozen=True)
class Output:
    """What a finished child process printed."""

    stdout: str
    stderr: str


def run(
    argv: Sequence[object],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    deadline_s: float = 60,
    on_line: Callable[[str], None] | None = None,
    stdin: bytes = b"",
    terminal: bool = False,
) -> Output:
    """Run a command to its end and return what it printed; with `terminal` it may ask the user something there.

    `on_line` gets every line of stdout and stderr as it comes, from two threads at most one at a time.

    Raises:
        CommandError: the command cannot be started, ends with a status other than 0, or outlives `deadline_s`;
            a command that outlives its deadline is killed with all of its process group.
    """
    words = tuple(str(word) for word in argv)
    try:
        process = subprocess.Popen(
            words,
            cwd=cwd,
            env=None if env is None else dict(env),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=not (WINDOWS or terminal),
        )
    except OSError as error:
        raise CommandError(f"cannot start {words[0]}: {error.strerror or error}", argv=words) from error
    collected: tuple[list[str], list[str]] = ([], [])
    tail: deque[str] = deque(maxlen=TAIL_LINES)
    guard = threading.Lock()

    faults: list[Exception] = []

    def drain(pipe: IO[bytes], lines: list[str]) -> None:
        with pipe:
            for raw in pipe:
                line = raw.decode("utf-8", "replace")
                with guard:
                    lines.append(line)
                    tail.append(line)
                    if on_line is not None and not faults:
                        try:
                            on_line(line.rstrip("\r\n"))
                        except Exception as fault:  # a pipe that nobody drains would hang the child
                            faults.append(fault)

    def feed(pipe: IO[bytes]) -> None:
        with contextlib.suppress(OSError), pipe:
            pipe.write(stdin)

    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdin is not None
    feeder = threading.Thread(target=feed, args=(process.stdin,), daemon=True)
    readers = [
        threading.Thread(target=drain, args=(pipe, lines), daemon=True)
        for pipe, lines in zip((process.stdout, process.stderr), collected, strict=True)
    ]
    outlived = False

    def end() -> None:
        nonlocal outlived
        outlived = True
        kill_group(process)

    # `Popen.wait` with a timeout looks only now and then, which costs every short command some 30 ms.
    alarm = threading.Timer(deadline_s, end)
    alarm.daemon = True
    try:
        for thread in (*readers, feeder, alarm):
            thread.start()
        status = process.wait()
    except BaseException:
        kill_group(process)
        raise
    finally:
        alarm.cancel()
    if outlived:
        message = f"{words[0]} did not end within {deadline_s:g} s"
        raise CommandError(message, argv=words, tail="".join(tail))
    for reader in readers:
        reader.join(5)
    if faults:
        raise faults[0]
    if status != 0:
        message = f"`{shlex.join(words)}` ended with status {status}"
        raise CommandError(message, argv=words, exit_status=status, tail="".join(tail))
    return Output("".join(collected[0]), "".join(collected[1]))


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill a process that `run` or `spawn` started, with its whole process group, and reap it."""
    with contextlib.suppress(ProcessLookupError):
        if WINDOWS or os.getpgid(process.pid) != process.pid:
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def spawn(
    argv: Sequence[object],
    *,
    cwd: Path,
    env: Mapping[str, str],
    stdin: int | None = None,
    output: int | None = None,
    pass_fds: Collection[int] = (),
) -> subprocess.Popen[bytes]:
    """Start a process in a session of its own and leave it running.

    Its stdin is the descriptor `stdin` and its stdout and stderr are `output`; without them, nothing.

    Raises:
        CommandError: the command cannot be started.
    """
    words = tuple(str(word) for word in argv)
    options: dict[str, Any] = {"start_new_session": True, "pass_fds": tuple(pass_fds)}
    quiet = subprocess.DEVNULL
    sink = quiet if output is None else output
    try:
        return subprocess.Popen(
            words,
            cwd=cwd,
            env=dict(env),
            stdin=quiet if stdin is None else stdin,
            stdout=sink,
            stderr=sink,
            **options,
        )
    except OSError as error:
        raise CommandError(f"cannot start {words[0]}: {error.strerror or error}", argv=words) from error
