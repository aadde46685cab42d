"""The instance log under load and under faults, and `ocrpack logs` on a real deployment."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ocrpack.deploy.supervisor.log_writer import KEEP, MAX_LINE, InstanceLog
from ocrpack.logs import parse_instance_line, read, rotated_files
from tests.conftest import MINI_APP, REPOSITORY, changed
from tests.patience import PATIENCE, eventually

WRITER = """
import sys
from pathlib import Path
from ocrpack.deploy.supervisor.log_writer import InstanceLog
log = InstanceLog(Path(sys.argv[1]), sys.argv[2], max_bytes=8000, keep=400)
for n in range(int(sys.argv[3])):
    log.write(f"{sys.argv[2]} {n}\\n".encode())
"""


def _events(path):
    return list(read(path, parse_instance_line))


def test_concurrent_writers_lose_no_line_when_the_log_rotates(tmp_path):
    path = tmp_path / "instance.log"
    count = 3000
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, path, f"r{n}", str(count)], cwd=REPOSITORY) for n in range(2)
    ]
    assert [writer.wait(PATIENCE) for writer in writers] == [0, 0]
    events = _events(path)
    assert len(rotated_files(path)) > 10
    for n in range(2):
        written = [int(event.message.split()[1]) for event in events if event.release == f"r{n}"]
        assert sorted(written) == list(range(count))
    assert len(events) == 2 * count
    assert all(file.stat().st_size < 8200 for file in rotated_files(path))


def test_only_so_many_rotated_logs_are_kept(tmp_path):
    log = InstanceLog(tmp_path / "instance.log", "r", max_bytes=1000, keep=3)
    for n in range(300):
        log.write(f"line {n}".encode())
    names = sorted(file.name for file in tmp_path.iterdir())
    assert names == ["instance.lock", "instance.log", "instance.log.1", "instance.log.2", "instance.log.3"]
    messages = [event.message for event in _events(tmp_path / "instance.log")]
    assert messages == [f"line {n}" for n in range(300 - len(messages), 300)]
    assert KEEP >= 3


def test_a_log_that_was_moved_away_is_made_anew(tmp_path):
    log = InstanceLog(tmp_path / "instance.log", "r")
    log.write(b"one")
    (tmp_path / "instance.log").rename(tmp_path / "taken")
    log.write(b"two")
    assert [event.message for event in _events(tmp_path / "instance.log")] == ["two"]


def _start(path, release="r1"):
    return subprocess.Popen(
        [sys.executable, "-m", "ocrpack.deploy.supervisor.log_writer", path, release],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
    )


def test_every_byte_of_output_becomes_whole_lines(tmp_path):
    path = tmp_path / "instance.log"
    writer = _start(path)
    long = b"y" * (3 * MAX_LINE + 5)
    writer.communicate(
        b"plain\nWARNING careful\n\xff\xfe bytes\r\nprogress 1\rprogress 2\n" + long + b"\nno end",
        timeout=PATIENCE,
    )
    assert writer.returncode == 0
    events = _events(path)
    assert [event.message for event in events[:4]] == [
        "plain",
        "WARNING careful",
        "\ufffd\ufffd bytes",
        "progress 1 progress 2",
    ]
    assert [event.level for event in events[:2]] == ["info", "warning"]
    assert "".join(event.message for event in events[4:-1]) == long.decode()
    assert events[-1].message == "no end"
    assert {event.release for event in events} == {"r1"}
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", event.time) for event in events)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_it_ends_with_the_output_and_not_with_a_signal(tmp_path, number):
    path = tmp_path / "instance.log"
    writer = _start(path)
    writer.stdin.write(b"before\n")
    writer.stdin.flush()
    while not path.exists() or b"before" not in path.read_bytes():
        time.sleep(0.02)
    writer.send_signal(number)
    writer.communicate(b"after\n", timeout=PATIENCE)
    assert [event.message for event in _events(path)] == ["before", "after"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_costs_lines_and_nothing_else():
    writer = _start("/dev/full")
    writer.stdin.write(b"line\n" * 5000)
    writer.stdin.flush()
    time.sleep(1)
    assert writer.poll() is None
    assert len(list(Path(f"/proc/{writer.pid}/fd").iterdir())) < 12, "descriptors leak"
    writer.communicate(timeout=PATIENCE)
    assert writer.returncode == 0


def test_the_log_goes_on_when_there_is_space_again(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.geteuid() != 0 or not shutil.which("mount") or subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], capture_output=True
    ).returncode:  # fmt: skip
        pytest.skip("may not mount")
    try:
        path = disk / "instance.log"
        writer = _start(path)
        for _ in range(3000):
            writer.stdin.write(b"x" * 50 + b"\n")
        writer.stdin.flush()
        eventually(lambda: not shutil.disk_usage(disk).free)
        time.sleep(0.5)
        os.truncate(path, 0)
        writer.communicate(b"there is space again\nand more\n", timeout=PATIENCE)
        messages = [event.message for event in _events(path)]
        assert messages[-2:] == ["there is space again", "and more"]
    finally:
        subprocess.run(["umount", disk], check=True)


def test_logs_of_a_deployment(machine):
    app = changed(MINI_APP, '"/ocr":', '"/ocr":\n        print("WARNING reading an image", flush=True)')
    machine.deploy(machine.bundle(app=app))
    merged = machine.run("logs").out
    assert "boot start" in merged
    assert "reading an image" in merged

    def lines(*words):
        return machine.run("logs", "mini", "--json", *words).out.splitlines()

    def messages(*words):
        return [json.loads(line) for line in lines(*words)]

    everything = messages()
    assert [event["time"] for event in everything] == sorted(event["time"] for event in everything)
    assert {event["event"] for event in messages("--instance")} == {"output"}
    assert all(event["deploy"] for event in messages("--deploys"))
    assert {event["phase"] for event in messages("--phase", "gate")} == {"gate"}
    assert {event["level"] for event in messages("--level", "warning")} <= {"warning", "error"}
    assert len(lines("-n", "3")) == 3
    assert lines("-n", "3") == lines()[-3:]
    assert lines("-n", "0") == []
    assert lines("--since", "1h") == lines()
    assert lines("--until", "1h") == []
    assert lines("--since", everything[-1]["time"]) != []
    assert all("image" in event["message"] for event in messages("--grep", "im[a]ge"))
    assert messages("--grep", "image")
    machine.run("logs", "--grep", "(", status=2)
    machine.run("logs", "--instance", "--deploys", status=2)
    for wrong in ("yesterday", "99999999999999d", "9" * 400 + "d"):
        assert "is no time" in machine.run("logs", "--since", wrong, status=2).err

    cut = machine.app_folder() / "logs" / "deploy.jsonl"
    with cut.open("ab") as file:
        file.write(b'{"time":"2999-01-01T00:00:00.000Z","deploy":"x","mess')
    assert messages()[-1]["event"] == "cut"
    assert len(messages()) == len(everything) + 1

    argv = " ".join(machine.argv("logs", "--level", "debug"))
    many = machine.app_folder() / "logs" / "instance.log.1"
    many.write_text("".join(f"2020-01-01T00:00:00.000Z r {n}\n" for n in range(20_000)))
    for command in (argv, argv + " --json"):
        done = subprocess.run(
            ["bash", "-c", f"set -o pipefail; {command} | head -1"], env=machine.env, cwd=machine.folder,
            capture_output=True, text=True,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")
        assert len(done.stdout.splitlines()) == 1
    many.unlink()

    follower = machine.start("logs", "--follow", "--grep", "reading|worker", "--json")
    first = follower.stdout.readline()
    assert first
    machine.run("restart")
    assert any("worker" in line for line in follower.stdout)
    follower.send_signal(signal.SIGINT)
    assert follower.wait(PATIENCE) == 130
