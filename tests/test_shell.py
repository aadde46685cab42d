"""Child processes: deadlines, both pipes, and errors that tell."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from ocrpack.errors import OcrpackError
from ocrpack.shell import CommandError, kill_group, run, spawn
from tests.patience import PATIENCE, eventually, without_hanging

PYTHON = sys.executable


def _alive(pid):
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def _gone(pid):
    return eventually(lambda: not _alive(pid))


def test_output_and_stdin():
    done = run([PYTHON, "-c", "import sys; data = sys.stdin.read(); print(data[::-1]); print('err', file=sys.stderr)"],
               stdin="abcé".encode())  # fmt: skip
    assert done.stdout == "écba\n"
    assert done.stderr == "err\n"
    assert run([PYTHON, "-c", "import sys; print(repr(sys.stdin.read()))"]).stdout == "''\n", "stdin is empty"


def test_folder_and_environment(tmp_path):
    code = "import os; print(os.getcwd(), os.environ.get('ONLY'), 'HOME' in os.environ)"
    assert run([PYTHON, "-c", code], cwd=tmp_path, env={"ONLY": "this"}).stdout == f"{tmp_path} this False\n"


def test_both_pipes_are_drained():
    code = (
        "import sys\nline = 'x' * 1023 + '\\n'\n"
        "for n in range(4096):\n    sys.stderr.write(line)\n"
        "for n in range(4096):\n    sys.stdout.write(line)\n"
    )
    lines = []
    done = run([PYTHON, "-c", code], on_line=lines.append, deadline_s=PATIENCE)
    assert len(done.stdout) == len(done.stderr) == 4 << 20
    assert len(lines) == 8192
    assert set(lines) == {"x" * 1023}


def test_a_large_stdin_to_one_that_echoes_and_to_one_that_does_not_read():
    data = os.urandom(1 << 20).hex().encode()
    echo = "import sys\nfor line in iter(lambda: sys.stdin.read(4096), ''):\n    sys.stdout.write(line)\n"
    assert run([PYTHON, "-c", echo], stdin=data).stdout.encode() == data
    assert run([PYTHON, "-c", "pass"], stdin=data).stdout == ""


def test_the_deadline_holds_while_stdin_is_not_read():
    with without_hanging(), pytest.raises(CommandError, match=r"did not end within 0\.5 s"):
        run(["sleep", "600"], stdin=bytes(1 << 20), deadline_s=0.5)


def test_a_deadline_ends_the_whole_group(tmp_path):
    pids = tmp_path / "pids"
    code = f"sleep 60 & echo $! >> {pids}; echo $$ >> {pids}; echo last words; echo on stderr >&2; sleep 60"
    with pytest.raises(CommandError) as caught:
        run(["/bin/sh", "-c", code], deadline_s=3)
    assert "did not end within 3 s" in str(caught.value)
    assert "last words" in caught.value.tail
    assert "on stderr" in caught.value.tail
    assert caught.value.exit_status is None
    for pid in map(int, pids.read_text().split()):
        assert _gone(pid)


def test_an_error_has_command_status_and_tail():
    code = "import sys\nfor n in range(100): print('line', n)\nsys.exit(3)"
    with pytest.raises(CommandError) as caught:
        run([PYTHON, "-c", code])
    error = caught.value
    assert isinstance(error, OcrpackError)
    assert error.argv == (PYTHON, "-c", code)
    assert error.exit_status == 3
    assert "status 3" in str(error)
    assert error.tail.splitlines() == [f"line {n}" for n in range(60, 100)]


def test_a_child_that_a_signal_ends():
    with pytest.raises(CommandError) as caught:
        run([PYTHON, "-c", "import os; os.kill(os.getpid(), 9)"])
    assert caught.value.exit_status == -9


@pytest.mark.parametrize("argv", [["no-such-program"], ["/etc"], [Path("/nowhere/program"), "x"]])
def test_what_cannot_start(argv):
    with pytest.raises(CommandError, match=f"cannot start {argv[0]}: ") as caught:
        run(argv)
    assert caught.value.argv == tuple(map(str, argv))
    with pytest.raises(CommandError, match="cannot start"):
        spawn(argv, cwd=Path("/"), env={})


def test_output_that_is_no_text():
    code = "import sys; sys.stdout.buffer.write(b'\\xff\\xfe caf\\xe9\\r\\nno end')"
    lines = []
    done = run([PYTHON, "-c", code], on_line=lines.append)
    assert lines == ["\ufffd\ufffd caf\ufffd", "no end"]
    assert done.stdout.endswith("no end")


def test_a_listener_that_fails_does_not_hang_the_child():
    """A log on a full disk must not stop the pipes: the child would wait for ever."""

    def full(line):
        raise OSError(28, "No space left on device")

    code = "import sys\nfor n in range(5000): print('x' * 100)\n"
    with pytest.raises(OSError, match="No space left"):
        run([PYTHON, "-c", code], on_line=full, deadline_s=PATIENCE)


def test_lines_come_one_at_a_time():
    inside, most = [], []

    def listen(line):
        inside.append(line)
        most.append(len(inside))
        time.sleep(0.001)
        inside.pop()

    run(["/bin/sh", "-c", "for n in 1 2 3 4 5 6 7 8 9; do echo $n; echo $n >&2; done"], on_line=listen)
    assert len(most) == 18
    assert max(most) == 1


def test_words_are_never_parsed_by_a_shell(tmp_path):
    done = run([PYTHON, "-c", "import sys; print(sys.argv[1:])", "a b", "$HOME; touch x", "*", tmp_path / "é ü"])
    assert done.stdout == f"{['a b', '$HOME; touch x', '*', str(tmp_path / 'é ü')]}\n"


def test_spawn_leaves_it_running_in_a_session_of_its_own(tmp_path):
    with (tmp_path / "out").open("wb") as out:
        process = spawn(
            ["/bin/sh", "-c", "echo started; sleep 60 & wait"], cwd=tmp_path, env=os.environ, output=out.fileno()
        )
    try:
        assert process.poll() is None
        assert os.getsid(process.pid) == process.pid != os.getsid(0)
        eventually((tmp_path / "out").read_text)
        assert (tmp_path / "out").read_text() == "started\n"
    finally:
        kill_group(process)
    assert _gone(process.pid)
    kill_group(process)  # once more is no error
