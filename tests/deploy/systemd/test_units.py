"""`ocrpack service`: the units, as systemd reads them, and machines that boot with them."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ocrpack.deploy.store.layout import Deployment
from ocrpack.deploy.store.state import State
from ocrpack.deploy.systemd.unit_text import Setup, units
from tests.deploy.booted import Booted
from tests.patience import PATIENCE

STRANGE = "a b%h \"q\" 'r' $HOME \\x41 ü漢"
SETUP = Setup("system", sys.executable, "root", {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"})


def tool(name):
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"no {name}")
    return found


def verified(files, folder, scope="system"):
    """Return what systemd has to say about unit files."""
    folder.mkdir(exist_ok=True)
    for file in files:
        (folder / file.name).write_text(file.text, encoding="utf-8")
    argv = [tool("systemd-analyze"), f"--{scope}", "verify", *(folder / file.name for file in files)]
    done = subprocess.run(argv, capture_output=True, text=True, env={**os.environ, "XDG_RUNTIME_DIR": str(folder)})
    return done.returncode, done.stdout + done.stderr


def values(file):
    return dict(line.split("=", 1) for line in file.text.splitlines() if "=" in line)


@pytest.mark.parametrize("scope", ["system", "user"])
@pytest.mark.parametrize("place", ["plain", STRANGE])
@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "0.0.0.0"])
def test_systemd_finds_nothing_to_say(tmp_path, scope, place, host):
    deployment = Deployment(tmp_path / place, "mini")
    setup = Setup(scope, sys.executable, "daemon", {**SETUP.environment, "LC_ALL": STRANGE})
    assert verified(units(deployment, State(host=host, port=8000), setup, 512, ()), tmp_path / "u", scope) == (0, "")


def test_systemd_would_find_something(tmp_path):
    """The test above is worth nothing if systemd does not read the units."""
    listener, service = units(Deployment(tmp_path, "mini"), State(port=8000), SETUP, None, ())
    altered = type(service)(service.name, service.text.replace("ProtectSystem=strict", "ProtectSystem=stern"))
    assert (
        "ProtectSystem" in verified([listener, altered], tmp_path / "u")[1]
        or "stern" in verified([listener, altered], tmp_path / "u")[1]
    )


def test_what_the_service_may_touch():
    def made(root, *paths, scope="system", user="root", memory=None):
        setup = Setup(scope, "/usr/bin/python3", user, {})
        return values(units(Deployment(Path(root), "mini"), State(port=80), setup, memory, tuple(map(Path, paths)))[1])

    apart = made("/srv/ocr", memory=1000)
    assert (apart["ProtectHome"], apart["PrivateTmp"], apart["MemoryMax"]) == ("yes", "yes", "2512M")
    assert apart["ReadWritePaths"] == "/srv/ocr"
    assert "User" not in apart
    assert apart["CapabilityBoundingSet"] == ""
    assert int(apart["TimeoutStopSec"]) > 35
    inside = made("/home/ocr/root", user="ocr")
    assert (inside["ProtectHome"], inside["User"], inside["ReadWritePaths"]) == ("read-only", "ocr", "/home/ocr/root")
    assert "MemoryMax" not in inside
    assert made("/srv/ocr", "/root/.local/bin")["ProtectHome"] == "read-only"
    temporary = made("/tmp/ocr")
    assert (temporary["PrivateTmp"], temporary["ReadWritePaths"]) == ("no", "/tmp/ocr /tmp /var/tmp")
    own = made("/srv/ocr", scope="user", user="ocr")
    assert "User" not in own
    assert "CapabilityBoundingSet" not in own
    assert own["WantedBy"] == "default.target"


@pytest.mark.skipif(Path("/run/systemd/system").exists(), reason="systemd runs here")
@pytest.mark.slow
def test_without_systemd_the_remedy_works(machine):
    machine.deploy(machine.bundle())
    refused = machine.run("service", "install", "--json", status=12).json["error"]
    line = refused["remedy"].splitlines()[-1]
    assert line.startswith("@reboot ")
    machine.run("stop")
    said = subprocess.run(["sh", "-c", line.removeprefix("@reboot ")], env=machine.env, capture_output=True, text=True)
    assert said.returncode == 0, said.stderr
    assert machine.get()["status"] == "ok"
    assert not (machine.app_folder() / "service.json").exists()
    assert machine.run("service", "uninstall").out == "mini has no units\n"


def test_the_line_for_cron_and_for_a_mac():
    from ocrpack.deploy.operations.boot_service import alternative

    strange = Deployment(Path("/srv/50% off"), "mini")
    assert r"'/srv/50\% off'" in alternative(strange, "linux")
    assert "launchd" in alternative(strange, "darwin")


def test_print_and_dry_run_change_nothing(machine):
    machine.run("service", "install", status=19)
    machine.deploy(machine.bundle(resources={"memory_mb": 300}))
    before = machine.app_folder().stat().st_mtime_ns
    shown = machine.run("service", "install", "--user", "--print").out
    assert f"ListenStream=127.0.0.1:{machine.port}" in shown
    assert "MemoryMax=1112M" in shown
    assert str(Path(machine.env["HOME"]) / ".config/systemd/user/ocrpack-mini.socket") in shown
    elsewhere = machine.run("service", "install", "--user", "--print", env={"XDG_CONFIG_HOME": "/srv/config"}).out
    assert "# /srv/config/systemd/user/ocrpack-mini.service" in elsewhere
    answer = machine.run("service", "install", "--system", "--dry-run", "--json").json
    assert (answer["dry_run"], answer["unit"], answer["scope"]) == (True, "ocrpack-mini.service", "system")
    assert [file["path"] for file in answer["files"]] == [
        "/etc/systemd/system/ocrpack-mini.socket",
        "/etc/systemd/system/ocrpack-mini.service",
    ]
    assert "would enable" in machine.run("service", "install", "--dry-run").out
    assert machine.app_folder().stat().st_mtime_ns == before
    assert machine.run("service", "install", "--user", "--system", "--json", status=2).json["error"]["remedy"]


# --- machines that boot


@pytest.fixture
def booted(machine, tmp_path):
    """The machine with a systemd of its own; commands run there."""
    tool("systemctl")
    here = Booted(tmp_path / "systemd")
    machine.within = here.boot()
    yield here
    machine.within = ()
    here.power_off()


def systemctl(machine, *words):
    return subprocess.run([*machine.within, "systemctl", *words], capture_output=True, text=True).stdout.strip()


def supervisor(machine):
    return int(systemctl(machine, "show", "-P", "MainPID", "ocrpack-mini.service"))


def outside(machine, inside):
    """Return the pid that this machine gives to a process of the booted one."""
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            found = re.search(r"^NSpid:.*\t(\d+)$", status.read_text(), re.MULTILINE)
            words = (status.parent / "cmdline").read_bytes()
        except OSError:
            continue
        if (
            found
            and int(found[1]) == inside
            and b"ocrpack.deploy.supervisor" in words
            and str(machine.root).encode() in words
        ):
            return int(status.parent.name)
    raise AssertionError(f"no process {inside}")


def state(machine):
    (one,) = machine.run("status", "--json").json["deployments"]
    return one["state"]


def test_a_deployment_comes_back_after_a_boot(machine, booted):
    machine.root = machine.folder / STRANGE
    machine.env["OCRPACK_ROOT"] = str(machine.root)
    machine.deploy(machine.bundle(resources={"memory_mb": 300}))
    answer = machine.run("service", "install", "--json").json
    assert answer == {
        "name": "mini", "unit": "ocrpack-mini.service", "scope": "system", "started": True, "warnings": [],
    }  # fmt: skip
    assert state(machine) == "running"
    assert machine.get()["status"] == "ok"
    assert systemctl(machine, "is-active", "ocrpack-mini.service") == "active"

    booted.power_off()
    assert not machine.listening()
    machine.within = booted.boot()
    machine.wait(machine.listening)
    assert machine.get()["status"] == "ok", "the first client waits until the app is there"
    assert state(machine) == "running"


@pytest.mark.slow
def test_a_killed_supervisor_comes_back(machine, booted, load):
    machine.deploy(machine.bundle())
    machine.run("service", "install")
    before = supervisor(machine)
    os.kill(outside(machine, before), signal.SIGKILL)
    machine.wait(lambda: supervisor(machine) not in {0, before})
    machine.wait(lambda: state(machine) == "running")
    assert machine.get()["status"] == "ok"


@pytest.mark.slow
def test_what_is_stopped_stays_stopped(machine, booted):
    machine.deploy(machine.bundle())
    machine.run("service", "install")
    machine.run("stop")
    assert not machine.listening()
    booted.power_off()
    machine.within = booted.boot()
    assert not machine.listening(), "no client wakes it"
    assert state(machine) == "stopped"
    machine.run("start")
    assert machine.get()["status"] == "ok"
    assert systemctl(machine, "is-active", "ocrpack-mini.service") == "active"
    booted.power_off()
    machine.within = booted.boot()
    machine.wait(machine.listening)
    assert machine.get()["status"] == "ok"


@pytest.mark.slow
def test_deploys_switch_under_systemd_without_a_failed_request(machine, booted, load):
    machine.deploy(machine.bundle())
    machine.run("service", "install")
    before = supervisor(machine)
    with load(machine.port) as clients:
        machine.deploy(machine.bundle(version="2.0"))
        machine.run("restart")
    assert clients.bad == []
    assert clients.versions == {"1.0", "2.0"}
    assert supervisor(machine) == before


@pytest.mark.slow
def test_units_go(machine, booted):
    machine.deploy(machine.bundle())
    machine.run("service", "install")
    assert "would remove" in machine.run("service", "uninstall", "--dry-run").out
    assert machine.run("service", "uninstall", "--json").json["unit"] == "ocrpack-mini.service"
    assert not list(booted.installed.rglob("ocrpack*"))
    assert machine.get()["status"] == "ok", "it is served on without them"
    machine.run("service", "install", "-q")
    machine.run("remove", "mini", "--yes")
    assert not list(booted.installed.rglob("ocrpack*"))
    assert not machine.listening()


@pytest.mark.slow
def test_units_of_another_root_are_left_alone(machine, booted):
    bundle = machine.bundle()
    machine.deploy(bundle)
    machine.run("service", "install")
    other = machine.folder / "other"
    machine.run("deploy", bundle, "--no-tag", "--any-port", "--root", other)
    try:
        refused = machine.run("service", "install", "--root", other, "--json", status=17).json["error"]
        assert str(machine.app_folder()) in refused["message"]
        assert not (other / "apps/mini/service.json").exists()
    finally:
        machine.run("remove", "mini", "--yes", "--root", other)
    assert machine.get()["status"] == "ok"


def test_socket_activation(machine):
    """The supervisor takes the address from whoever activates it, and brings up what is meant to run."""
    machine.deploy(machine.bundle())
    machine.run("stop")
    file = machine.app_folder() / "state.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "desired": "running"}))
    passed = [
        f"--setenv={name}={value}" for name, value in machine.env.items() if name in {"PATH", "PYTHONPATH", "HOME"}
    ]
    argv = [
        tool("systemd-socket-activate"), f"--listen=127.0.0.1:{machine.port}", *passed,
        sys.executable, "-m", "ocrpack.deploy.supervisor", machine.root, "mini",
    ]  # fmt: skip
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    machine.background.append(process)
    machine.wait(machine.listening)
    assert machine.get()["status"] == "ok", process.stderr
    assert state(machine) == "running"
    process.terminate()
    assert process.wait(PATIENCE) == 0, shlex.join(map(str, argv))
