"""`ocrpack doctor`, on machines that are able and on some that are not; the same looks in preflight."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from ocrpack.deploy.system import resources as looks

FACTS = {
    "python", "ocrpack", "uv", "git", "root", "disk_free_bytes", "memory_total_bytes", "memory_available_bytes",
    "memory_limit_bytes", "swap_bytes", "cpus", "cpus_total", "open_files", "open_files_hard", "gpu", "systemd",
    "lingering", "tessdata",
}  # fmt: skip


def codes(answer):
    return {finding["code"]: finding["severity"] for finding in answer["findings"]}


def test_an_able_machine(machine):
    answer = machine.run("doctor", "--json").json
    assert answer["ok"] is True
    assert "error" not in codes(answer).values()
    assert set(answer["facts"]) == FACTS
    assert answer["facts"]["root"] == str(machine.root)
    assert answer["facts"]["memory_available_bytes"] > 1 << 20
    assert not machine.root.exists(), "it makes nothing"
    assert not list(machine.folder.glob(".doctor-*")), "it leaves nothing behind"


def test_for_a_person(machine):
    shown = machine.run("doctor")
    lines = [line for line in shown.out.splitlines() if not line.startswith(" ")]
    assert {line.split()[0] for line in lines} <= {"ok", "info", "warning"}
    for part in ("python", "git", "root", "file system", "memory", "clock", "systemd", "tesseract"):
        assert any(line[9:].startswith(part) for line in lines), part
    quiet = machine.run("doctor", "-q")
    assert quiet.out + quiet.err == ""


def test_a_machine_without_tools(machine, tmp_path):
    """No git, no Tesseract data: warnings that say what to install."""
    (tmp_path / "bin").mkdir()
    answer = machine.run("doctor", "--json", env={"PATH": str(tmp_path / "bin")}).json
    assert codes(answer)["git"] == "warning"
    assert answer["facts"]["git"] is None
    assert all(finding["remedy"] for finding in answer["findings"] if finding["severity"] != "info")


def test_a_root_that_cannot_hold_files(machine):
    failed = machine.run("doctor", "--root", "/proc/ocrpack", "--json", status=12)
    assert codes(failed.json)["fs-write"] == "error"
    assert failed.json["ok"] is False
    assert failed.json["error"]["code"] == "preflight"
    assert failed.json["error"]["findings"]
    shown = machine.run("doctor", "--root", "/proc/ocrpack", status=12)
    assert "error    file system" in shown.out
    assert "-> pass --root" in shown.out
    assert "not ready: " in shown.err


@pytest.mark.skipif(os.geteuid() == 0, reason="permissions bind ordinary users alone")
def test_a_root_that_may_not_be_written(machine):
    machine.root.mkdir(mode=0o500)
    assert codes(machine.run("doctor", "--json", status=12).json)["root"] == "error"


def test_a_file_system_where_nothing_runs(machine):
    """noexec, as hardened machines mount /home: an environment's Python could not start."""
    machine.root.mkdir()
    mount = f"mount -t tmpfs -o noexec,size=16m tmpfs '{machine.root}' && exec \"$@\""
    probe = subprocess.run(["unshare", "--mount", "true"], capture_output=True, text=True)
    if probe.returncode != 0:
        pytest.skip(f"may not mount: {probe.stderr}")
    machine.within = ("unshare", "--mount", "sh", "-c", mount, "sh")
    try:
        found = codes(machine.run("doctor", "--json", status=12).json)
    finally:
        machine.within = ()
    assert found["fs-programs"] == "error"
    assert found["disk"] == "error"
    assert "fs-symlinks" not in found


def test_open_files_and_a_long_path(machine):
    machine.within = ("sh", "-c", 'ulimit -n 256 && exec "$@"', "sh")
    root = machine.folder / ("long-" * 20) / ("long-" * 20)
    answer = machine.run("doctor", "--root", root, "--json").json
    assert codes(answer)["open-files"] == "warning"
    assert codes(answer)["path-length"] == "warning"
    assert answer["facts"]["open_files"] == 256


@pytest.fixture
def small_group():
    """A cgroup with little memory and half a processor, of whichever version this machine has."""
    made = []
    own = dict(line.split(":", 2)[1:] for line in Path("/proc/self/cgroup").read_text().splitlines())
    limits = {"memory": {"memory.limit_in_bytes": 200 << 20}, "cpu": {"cpu.cfs_quota_us": 50000}}
    if "memory" not in own:
        limits = {"": {"memory.max": 200 << 20, "cpu.max": "50000 100000"}}
    try:
        for controller, values in limits.items():
            group = Path("/sys/fs/cgroup", controller, own[controller].lstrip("/"), f"ocrpack-doctor-{os.getpid()}")
            group.mkdir()
            made.append(group)
            for name, value in values.items():
                (group / name).write_text(str(value))
        yield made
    except OSError as error:
        pytest.skip(f"may not make a cgroup: {error}")
    finally:
        for group in made:
            group.rmdir()


def test_limits_of_a_container(machine, small_group):
    joined = "".join(f"echo $$ > '{group}/cgroup.procs'; " for group in small_group)
    machine.within = ("sh", "-c", f'{joined}exec "$@"', "sh")
    try:
        answer = machine.run("doctor", "--json").json
        bundle = machine.bundle(resources={"memory_mb": 400, "cpus": 1})
        refused = machine.deploy(bundle, "--json", status=12).json["error"]
    finally:
        machine.within = ()
    assert answer["facts"]["memory_limit_bytes"] == 200 << 20
    assert 0 < answer["facts"]["memory_available_bytes"] < 200 << 20
    assert answer["facts"]["cpus"] == 0.5
    assert codes(answer)["memory"] == codes(answer)["cpus"] == "warning"
    assert "400 MiB needed" in refused["message"]


def test_a_clock_that_is_behind(tmp_path):
    journal = tmp_path / "deploy.jsonl"
    journal.touch()
    now = time.time()
    assert list(looks.clock([journal, tmp_path / "none"], now)) == []
    (behind,) = looks.clock([journal], now - 3600)
    assert (behind.code, behind.severity) == ("clock", "warning")
    assert "deploy.jsonl was written 3" in behind.message
    (ancient,) = looks.clock([], 0.0)
    assert "1970" in ancient.message


def test_a_clock_that_is_behind_is_said_by_doctor_and_deploy(machine):
    bundle = machine.bundle()
    machine.deploy(bundle)
    later = time.time() + 86400
    os.utime(machine.app_folder() / "logs" / "deploy.jsonl", (later, later))
    assert codes(machine.run("doctor", "--json").json)["clock"] == "warning"
    warned = machine.deploy(bundle, "--dry-run", "--json").json["warnings"]
    assert [finding["code"] for finding in warned] == ["clock"]


@pytest.mark.skipif(os.geteuid() != 0, reason="permissions bind ordinary users alone: one gives no files away")
def test_a_deployment_of_someone_else(machine):
    bundle = machine.bundle()
    machine.deploy(bundle)
    os.chown(machine.app_folder(), 12345, -1)
    warned = machine.deploy(bundle, "--dry-run", "--json").json["warnings"]
    assert [(finding["code"], finding["severity"]) for finding in warned] == [("owner", "warning")]
    assert "12345" in warned[0]["message"]
    assert codes(machine.run("doctor", "--json").json)["owner"] == "warning"
    script = (
        "import os, pwd; from pathlib import Path\n"
        "from ocrpack.deploy.system import resources as machine; os.setuid(12346)\n"
        "print([(finding.severity, finding.message) for finding in machine.foreign(Path('/usr'))])"
    )
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=machine.env)
    assert said.stdout == "[('error', '/usr belongs to root')]\n"


def test_memory_of_processes(tmp_path):
    held = 64 << 20
    code = f"held = bytearray(b'x') * {held}; print(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        used = looks.memory_of([process.pid])
        assert held < used <= psutil.Process(process.pid).memory_info().rss
        assert looks.memory_of([process.pid, 1 << 30]) == pytest.approx(used, rel=0.1), "one is not there"
        process.stdin.close()
    assert looks.memory_of([process.pid]) == 0


def test_available_memory():
    available = looks.available_memory()
    assert 0 < available <= psutil.virtual_memory().total
    assert json.dumps(available)
