"""What ocrpack 0.1.0 built and deployed goes on with this version: its bundles, its releases and what runs."""

from __future__ import annotations

import io
import shutil
import subprocess
import sysconfig
import venv
import zipfile

import pytest

from tests.conftest import REPOSITORY
from tests.deploy.booted import Booted

BUNDLE = REPOSITORY / "tests" / "old" / "mini-1.0.zip"


@pytest.fixture
def old(tmp_path):
    """Return the variables that let a command run with the code of 0.1.0."""
    with zipfile.ZipFile(BUNDLE) as bundle:
        wheel = io.BytesIO(bundle.read("tool/ocrpack-0.1.0-py3-none-any.whl"))
    with zipfile.ZipFile(wheel) as code:
        code.extractall(tmp_path / "old")
    return {"PYTHONPATH": str(tmp_path / "old")}


def the_state(machine):
    return machine.run("status", "--json").json["deployments"][0]


def test_what_an_older_version_deployed_goes_on_without_losing_a_request(machine, load, old):
    machine.deploy(BUNDLE, "--port", machine.port, env=old)
    (supervisor,) = machine.processes_of("ocrpack.deploy.supervisor")
    served_by = machine.get()["pid"]
    second = machine.bundle(version="2.0")
    with load(machine.port) as clients:
        adopted = the_state(machine)
        assert (adopted["state"], adopted["version"]) == ("running", "1.0")
        (successor,) = machine.processes_of("ocrpack.deploy.supervisor")
        assert successor != supervisor
        assert machine.get()["pid"] == served_by, "the worker itself goes on"
        told = machine.run("logs", "--level", "warning").out
        assert "its supervisor was of an older ocrpack: a new one took over what runs" in told
        refused = machine.run("restart", "--json", status=14, env=old).json["error"]
        assert refused["message"] == "the supervisor is of a newer ocrpack than the command"
        assert the_state(machine) | {"uptime_s": 0} == adopted | {"uptime_s": 0}
        machine.deploy(second)
        assert machine.get()["version"] == "2.0"
        machine.run("rollback", "mini")
        assert machine.get()["version"] == "1.0"
    assert clients.bad == []
    assert clients.versions == {"1.0", "2.0"}
    assert machine.processes_of("ocrpack.deploy.supervisor") == [successor]
    machine.run("stop")
    machine.wait(lambda: not machine.processes())
    machine.run("start")
    assert machine.get()["version"] == "1.0"
    machine.run("remove", "mini", "--yes")
    assert not machine.listening()


@pytest.mark.slow
def test_an_older_supervisor_is_stopped(machine, old):
    machine.deploy(BUNDLE, "--port", machine.port, env=old)
    machine.run("stop")
    machine.wait(lambda: not machine.processes())


def test_an_older_bundle_deploys(machine):
    machine.deploy(BUNDLE, "--port", machine.port)
    assert machine.get()["version"] == "1.0"


class Installed:
    """An environment of its own with ocrpack in it, as a user has it, that is updated in place."""

    def __init__(self, folder, code):
        venv.create(folder, symlinks=True)
        self.python = folder / "bin" / "python"
        (packages,) = folder.glob("lib/python*/site-packages")
        self._paths = packages / "ocrpack.pth"
        self.update(code)

    def update(self, code):
        self._paths.write_text(f"{code}\n{sysconfig.get_path('purelib')}\n")

    def run(self, machine, *words, status=0):
        env = {name: value for name, value in machine.env.items() if name != "PYTHONPATH"}
        argv = [*machine.within, self.python, "-m", "ocrpack", *map(str, words)]
        done = subprocess.run(argv, cwd=machine.folder, env=env, capture_output=True, text=True, timeout=120)
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout


@pytest.mark.slow
def test_an_older_supervisor_of_systemds_is_replaced_without_losing_a_request(machine, load, old, tmp_path):
    if shutil.which("systemctl") is None:
        pytest.skip("no systemctl")
    tool = Installed(tmp_path / "tool", old["PYTHONPATH"])
    booted = Booted(tmp_path / "systemd")
    machine.within = booted.boot()
    try:
        tool.run(machine, "deploy", BUNDLE, "--no-tag", "--port", machine.port)
        tool.run(machine, "service", "install")
        with load(machine.port) as clients:
            served_by = machine.get(timeout=60)["pid"]
            assert the_state(machine)["state"] == "running", "another ocrpack than the unit's leaves it alone"
            before = main_pid(machine)
            refused = machine.run("restart", "--json", status=14).json["error"]
            assert refused["message"].endswith(f"with an older ocrpack, that of {tool.python}")
            assert main_pid(machine) == before
            tool.update(REPOSITORY)
            tool.run(machine, "status")
            assert main_pid(machine) not in {0, before}
            assert machine.get()["pid"] == served_by
            assert "its supervisor was of an older ocrpack" in tool.run(machine, "logs", "--level", "warning")
            tool.run(machine, "restart")
            assert machine.get()["pid"] != served_by
        assert clients.bad == []
        tool.run(machine, "remove", "mini", "--yes")
    finally:
        machine.within = ()
        booted.power_off()


def main_pid(machine):
    argv = [*machine.within, "systemctl", "show", "-P", "MainPID", "ocrpack-mini.service"]
    return int(subprocess.run(argv, capture_output=True, text=True).stdout)
