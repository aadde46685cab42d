"""Deploying for real: uv, gunicorn, sockets and processes, with a small app."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import MINI_APP, changed
from tests.deploy.apps import APPS
from tests.patience import PATIENCE
from tests.ports import free_port
from tests.variants import slow

PHASES = ["preflight", "unpack", "environment", "boot", "gate", "promote", "observe", "drain", "tag", "prune"]


def test_a_deployment_from_first_to_last(machine):
    bundle = machine.bundle()
    done = machine.deploy(bundle, "--json")
    answer = done.json
    assert answer["url"] == f"http://127.0.0.1:{machine.port}"
    assert [phase["name"] for phase in answer["phases"]] == PHASES
    assert answer["samples"][0] | {"seconds": 0} == {
        "image": "samples/a.txt", "passed": True, "seconds": 0, "cer": 0.0, "wer": 0.0, "max_cer": 0.0,
        "expected": "HELLO WORLD", "got": "HELLO WORLD", "problem": "",
    }  # fmt: skip
    assert machine.get()["version"] == "1.0"

    (one,) = machine.run("status", "--json").json["deployments"]
    assert (one["name"], one["version"], one["state"], one["restarts"]) == ("mini", "1.0", "running", 0)
    assert one["digest"] == answer["digest"]
    os.kill(one["pid"], 0)
    assert "running" in machine.run("status").out

    assert machine.run("verify", "mini", "--json").json["ok"] is True

    before = machine.get()["pid"]
    machine.run("restart", "mini")
    assert machine.get()["pid"] != before

    machine.run("stop")
    assert not machine.listening()
    assert machine.run("status", "--json").json["deployments"][0]["state"] == "stopped"
    machine.wait(lambda: not machine.processes())

    machine.run("start")
    assert machine.get()["version"] == "1.0"

    machine.run("remove", "mini", "--yes")
    assert not machine.app_folder().exists()
    assert not list((machine.root / "environments").glob("[!.]*"))
    assert not machine.listening()
    assert machine.run("status", "--json").json == {"deployments": []}


@pytest.mark.slow
def test_the_journal_has_one_begin_and_one_end(machine):
    machine.deploy(machine.bundle())
    events = machine.events()
    assert [event["event"] for event in events if event["event"] in {"begin", "end"}] == ["begin", "end"]
    assert events[-1]["event"] == "end"
    assert events[-1]["data"]["ok"] is True
    assert [event["phase"] for event in events if event["event"] == "done"] == PHASES
    assert len({event["deploy"] for event in events}) == 1


def test_the_server_imports_nothing_of_the_release(machine):
    """An app may have a module of a name that the server needs, too; and no compiled module comes to lie beside it."""
    source = machine.source(files=["argparse.py"])
    (source / "argparse.py").write_text("raise SystemExit('the server took the module of the app')\n")
    machine.run("build", source, "-o", machine.folder)
    machine.deploy(machine.folder / "mini-1.0.zip")
    assert machine.get()["status"] == "ok"
    machine.run("verify", "mini")


def test_the_service_outlives_the_terminal(machine):
    """The deployer's whole session gets a hang-up, as when a terminal is closed."""
    bundle = machine.bundle()
    shell = subprocess.Popen(
        ["/bin/sh", "-c", f"{sys.executable} -m ocrpack deploy {bundle} --no-tag; kill -HUP 0"],
        env=machine.env, cwd=machine.folder, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    shell.wait(PATIENCE)
    assert machine.get()["status"] == "ok"


def test_a_wrong_text_never_serves(machine):
    bundle = machine.bundle(text="HELLO WORLD", truth="GOODBYE WORLD")
    failed = machine.deploy(bundle, status=15)
    assert "GOODBYE WORLD" in failed.err
    assert "HELLO WORLD" in failed.err
    assert not machine.listening()
    machine.wait(lambda: not machine.processes())
    assert not list((machine.app_folder() / "releases").iterdir())
    (evidence,) = (machine.app_folder() / "failed").iterdir()
    assert "samples/a.txt" in (evidence / "reason.txt").read_text()
    assert "gunicorn" in (evidence / "instance.log").read_text()
    assert (evidence / "release" / "app.py").exists()
    ends = [event for event in machine.events() if event["event"] == "end"]
    assert [(end["data"]["ok"], end["data"]["exit_code"]) for end in ends] == [(False, 15)]
    machine.deploy(machine.bundle(version="1.1"))
    assert machine.get()["version"] == "1.1"


def test_a_bad_version_leaves_the_running_one_alone_and_a_good_one_replaces_it(machine, load):
    machine.deploy(machine.bundle(version="1.0"))
    bad = machine.bundle(version="2.0", truth="SOMETHING ELSE")
    good = machine.bundle(version="3.0")
    with load(machine.port) as clients:
        machine.deploy(bad, status=15)
        assert clients.versions == {"1.0"}
        machine.deploy(good)
        machine.wait(lambda: "3.0" in clients.versions)
    assert clients.bad == []
    assert clients.versions == {"1.0", "3.0"}
    assert clients.good > 100
    status = machine.run("status", "--json").json["deployments"][0]
    assert status["version"] == "3.0"


@pytest.mark.parametrize("interface", ["asgi", "aiohttp"])
@pytest.mark.slow
def test_other_interfaces_deploy_and_switch(machine, load, interface):
    options = {"app": APPS[interface], "app_options": {"interface": interface}}
    machine.deploy(machine.bundle(version="1.0", **options))
    second = machine.bundle(version="2.0", **options)
    with load(machine.port, clients=1) as clients:
        machine.deploy(second)
        machine.wait(lambda: "2.0" in clients.versions)
    assert machine.get()["version"] == "2.0"
    machine.run("restart")
    assert machine.get()["version"] == "2.0"


@pytest.mark.slow
def test_the_same_bundle_again_is_proven_again(machine):
    bundle = machine.bundle()
    machine.deploy(bundle)
    again = machine.deploy(bundle, "--json").json
    assert again["samples"][0]["passed"] is True
    assert len(list((machine.app_folder() / "releases").iterdir())) == 1


def test_the_same_version_with_other_content_is_refused(machine):
    machine.deploy(machine.bundle())
    other = machine.folder / "other"
    other.mkdir()
    source = machine.source(text="OTHER TEXT")
    made = machine.run("build", source, "-o", other, "--json").json
    before = machine.get()["pid"]
    failed = machine.deploy(made["bundle"], "--json", status=17).json
    assert failed["error"]["code"] == "conflict"
    assert "1.0" in failed["error"]["message"]
    assert machine.get()["pid"] == before


@pytest.mark.parametrize(
    ("app", "options", "words"),
    [
        ("def app(:\n", {}, "SyntaxError"),
        ("raise RuntimeError('no model today')\n", {}, "no model today"),
        *slow(
            ("import os\nos._exit(7)\n", {}, "ended with status"),
            ("import time\ntime.sleep(600)\n", {"boot_seconds": 1.5}, "not ready within 1.5 s"),
            (changed(MINI_APP, '("/healthz", "/readyz", "/")', '("/",)'), {"boot_seconds": 20}, "answered 404"),
        ),
    ],
)
def test_an_app_that_does_not_come_up(machine, app, options, words):
    source = machine.source(app="def app(environ, start_response):\n    pass\n", app_options=options)
    (source / "app.py").write_text(app)
    if app.startswith("def app(:"):
        assert "syntax" in machine.run("build", source, status=10).err
        return
    machine.run("build", source, "-o", machine.folder)
    failed = machine.deploy(machine.folder / "mini-1.0.zip", status=14)
    assert words in failed.err
    assert not machine.listening()
    machine.wait(lambda: not machine.processes())


def test_requirements_that_cannot_be_met(machine):
    bundle = machine.bundle(pins=f"no-such-package-as-this-one==99.99 --hash=sha256:{'0' * 64}\n")
    failed = machine.deploy(bundle, status=13)
    assert "no-such-package-as-this-one" in failed.err
    assert not list((machine.root / "environments").glob("[!.]*"))


def test_a_module_that_no_requirement_brings(machine):
    failed = machine.deploy(machine.bundle(app="import cv2\n" + MINI_APP), status=13)
    assert "cv2" in failed.err


@pytest.mark.slow
def test_pip_can_make_the_environment_too(machine):
    machine.deploy(machine.bundle(), "--installer", "pip")
    (environment,) = (machine.root / "environments").glob("[!.]*")
    assert json.loads((environment / "ocrpack-ready.json").read_text())["installer"] == "pip"
    assert machine.get()["status"] == "ok"


def test_an_environment_is_made_once_and_an_interrupted_one_anew(machine):
    machine.deploy(machine.bundle())
    (environment,) = (machine.root / "environments").glob("[!.]*")
    made = environment.stat().st_ino
    machine.deploy(machine.bundle(version="1.1"))
    assert environment.stat().st_ino == made
    (environment / "ocrpack-ready.json").unlink()
    (environment / "bin" / "python").unlink()
    machine.deploy(machine.bundle(version="1.2"))
    assert (environment / "bin" / "python").exists()


def test_a_taken_port_is_named_and_any_port_takes_the_next(machine):
    bundle = machine.bundle()
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", machine.port))
        other.listen()
        failed = machine.deploy(bundle, status=12)
        assert f"pid {os.getpid()}" in failed.err
        assert "--any-port" in failed.err
        assert not machine.app_folder().exists()
        answer = machine.deploy(bundle, "--any-port", "--json").json
        assert answer["url"] != f"http://127.0.0.1:{machine.port}"
        assert str(machine.port) in answer["warnings"][0]["message"]
    first = answer["url"]
    assert machine.deploy(bundle, "--json").json["url"] == first, "a later deploy keeps the address"


@pytest.mark.slow
def test_a_running_service_does_not_move_by_accident(machine):
    bundle = machine.bundle()
    machine.deploy(bundle)
    failed = machine.deploy(bundle, "--port", free_port(), status=12)
    assert "ocrpack stop" in failed.err
    moved = free_port()
    machine.run("stop")
    machine.deploy(bundle, "--port", moved)
    machine.port = moved
    assert machine.get()["status"] == "ok"


@pytest.mark.parametrize("port", ["65536", *slow("0", "-1")])
def test_a_port_that_is_none(machine, port):
    assert "port" in machine.deploy(machine.bundle(), f"--port={port}", status=2).err


def test_all_preflight_findings_come_at_once_and_nothing_is_touched(machine):
    bundle = machine.bundle(
        python=">=3.11,<3.11.1",
        secrets=["OCR_TOKEN"],
        system_packages=[
            {"name": "libnothing1", "library": "libnothing.so.1"},
            {"name": "noprog", "program": "noprog"},
        ],
        resources={"memory_mb": 99_999_999, "disk_mb": 99_999_999_999},
    )
    failed = machine.deploy(bundle, "--json", status=12, env={"PATH": "/usr/bin:/bin"}).json["error"]
    codes = {finding["code"] for finding in failed["findings"]}
    assert {"secret-missing", "library-missing", "program-missing", "memory", "disk"} <= codes
    assert all(finding["remedy"] for finding in failed["findings"])
    assert not machine.root.exists()


def test_secrets_reach_the_app_and_nothing_else(machine):
    app = changed(MINI_APP, '"status": "ok"', '"status": "ok", "token": os.environ["OCR_TOKEN"]')
    bundle = machine.bundle(app=app, secrets=["OCR_TOKEN"])
    machine.deploy(bundle, env={"OCR_TOKEN": "s3cr3t-word"})
    assert machine.get()["token"] == "s3cr3t-word"
    machine.run("restart")
    assert machine.get()["token"] == "s3cr3t-word", "kept for later starts"
    stored = machine.app_folder() / "secrets.env"
    assert stored.stat().st_mode & 0o777 == 0o600
    for pid in machine.processes():
        shown = Path(f"/proc/{pid}/environ").read_bytes() + Path(f"/proc/{pid}/cmdline").read_bytes()
        assert b"s3cr3t-word" not in shown
    for file in machine.root.rglob("*"):
        if file.is_file() and file != stored and "environments" not in file.parts:
            assert b"s3cr3t-word" not in file.read_bytes(), file
    assert b"s3cr3t-word" not in bundle.read_bytes()


def test_a_secrets_file_must_be_private(machine):
    bundle = machine.bundle(secrets=["OCR_TOKEN"])
    file = machine.folder / "secrets"
    file.write_text("OCR_TOKEN=word\n")
    file.chmod(0o644)
    assert "chmod 600" in machine.deploy(bundle, "--secrets", file, status=12).err
    file.chmod(0o600)
    machine.deploy(bundle, "--secrets", file)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_deploy_that_is_ended_in_its_gate_leaves_nothing(machine, number):
    machine.deploy(machine.bundle(version="1.0"))
    slow = changed(MINI_APP, 'answer = {"text"', '__import__("time").sleep(20); answer = {"text"')
    process = machine.start("deploy", machine.bundle(version="2.0", app=slow), "--no-tag")
    machine.wait(lambda: any(event["phase"] == "gate" for event in machine.events() if event["message"] == ""
                             and event["deploy"] != machine.events()[0]["deploy"]))  # fmt: skip
    failed = machine.start("deploy", machine.folder / "mini-1.0.zip", "--no-tag")
    assert failed.wait(PATIENCE) == 16
    assert "locked by" in failed.stderr.read()
    process.send_signal(number)
    assert process.wait(PATIENCE) == (130 if number != signal.SIGKILL else -signal.SIGKILL)
    machine.wait(lambda: len(machine.run("status", "--json").json["deployments"]) == 1)
    assert machine.get()["version"] == "1.0"
    machine.deploy(machine.bundle(version="3.0"))
    assert machine.get()["version"] == "3.0"
    machine.wait(lambda: len(list((machine.app_folder() / "run").glob("generation-*"))) == 1)


@pytest.mark.slow
def test_lock_wait_waits(machine):
    slow = changed(MINI_APP, 'answer = {"text"', '__import__("time").sleep(3); answer = {"text"')
    first = machine.start("deploy", machine.bundle(version="1.0", app=slow), "--no-tag")
    machine.wait(lambda: (machine.app_folder() / "lock").exists())
    machine.deploy(machine.bundle(version="1.1"), "--lock-wait", "60")
    assert first.wait(PATIENCE) == 0
    assert machine.get()["version"] == "1.1"


def test_a_master_that_dies_is_started_again(machine):
    machine.deploy(machine.bundle())
    before = machine.run("status", "--json").json["deployments"][0]["pid"]
    os.kill(before, signal.SIGKILL)

    def back():
        one = machine.run("status", "--json").json["deployments"][0]
        return one["state"] == "running" and one["pid"] != before and one["restarts"] == 1

    machine.wait(back)
    machine.wait(machine.listening)
    assert machine.get()["status"] == "ok"
    assert "starting it again" in machine.run("logs", "--level", "warning").out


@pytest.mark.slow
def test_a_supervisor_that_dies_is_replaced_by_start(machine):
    machine.deploy(machine.bundle())
    pid = next(pid for pid in machine.processes() if b"supervisor" in Path(f"/proc/{pid}/cmdline").read_bytes())
    os.kill(pid, signal.SIGKILL)
    time.sleep(0.3)
    assert machine.get()["status"] == "ok", "the generation goes on"
    machine.run("start")
    assert machine.run("status", "--json").json["deployments"][0]["state"] == "running"
    assert machine.get()["status"] == "ok"


@pytest.mark.slow
def test_odd_and_long_paths(machine):
    root = machine.folder / "ein ganz langer Ordner mit Umlauten äöü" / ("x" * 90) / "root"
    bundle = machine.bundle()
    odd = machine.folder / "mein Bündel 1.zip"
    bundle.rename(odd)
    machine.deploy(odd, "--root", root)
    assert machine.get()["status"] == "ok"
    machine.run("restart", "--root", root)
    machine.run("remove", "mini", "--yes", "--root", root)
    assert not machine.listening()


def test_dry_run_touches_nothing(machine):
    bundle = machine.bundle()
    plan = machine.deploy(bundle, "--dry-run", "--json").json
    assert plan["dry_run"] is True
    assert plan["address"] == f"127.0.0.1:{machine.port}"
    assert not machine.root.exists()
    machine.deploy(bundle)
    before = machine.get()["pid"]
    for command in ("stop", "restart", "remove"):
        assert "would" in machine.run(command, "mini", "--dry-run").out
    assert machine.get()["pid"] == before


@pytest.mark.slow
def test_old_releases_are_pruned_but_never_the_last_good(machine):
    for number in range(1, 5):
        machine.deploy(machine.bundle(version=f"1.{number}"), "--keep", "1")
    kept = sorted(folder.name.partition("-")[0] for folder in (machine.app_folder() / "releases").iterdir())
    assert kept == ["1.3", "1.4"]


@pytest.mark.parametrize(
    "damage",
    ["altered", *slow("missing", "extra", "stopped", "package")],
)
def test_verify_finds_what_is_wrong(machine, damage):
    machine.deploy(machine.bundle())
    release = machine.app_folder() / "current"
    if damage == "altered":
        (release / "app.py").chmod(0o644)
        (release / "app.py").write_text((release / "app.py").read_text() + "\n")
    elif damage == "missing":
        (release / "samples").resolve().chmod(0o755)
        (release / "samples" / "a.txt").unlink()
    elif damage == "extra":
        release.resolve().chmod(0o755)
        (release / "extra.txt").write_text("x")
    elif damage == "stopped":
        machine.run("stop")
    else:
        (environment,) = (machine.root / "environments").glob("[!.]*")
        next((environment / "lib").glob("python*/site-packages/gunicorn/util.py")).unlink()
    answer = machine.run("verify", "mini", "--json", status=18).json
    assert answer["ok"] is False
    expected = {"altered": "file-altered", "missing": "file-missing", "extra": "file-extra", "stopped": "not-running",
                "package": "environment"}  # fmt: skip
    assert expected[damage] in {finding["code"] for finding in answer["findings"]}
    assert answer["error"]["exit_code"] == 18


def test_commands_on_nothing(machine):
    for command in ("stop", "start", "restart", "verify", "logs"):
        assert "ocrpack deploy" in machine.run(command, "nothing", status=19).err
    machine.run("deploy", "nothing.zip", status=19)
    machine.run("verify", "nothing.zip", status=19)


def test_two_deployments_need_a_name(machine):
    machine.deploy(machine.bundle("one"))
    machine.deploy(machine.bundle("two"), "--any-port")
    assert "one, two" in machine.run("stop", status=19).err
    machine.run("stop", "two")
    states = {one["name"]: one["state"] for one in machine.run("status", "--json").json["deployments"]}
    assert states == {"one": "running", "two": "stopped"}


@pytest.mark.slow
def test_what_a_killed_deploy_unpacked_does_not_block_its_version(machine):
    machine.deploy(machine.bundle(version="1.0"))
    slow = changed(MINI_APP, 'answer = {"text"', '__import__("time").sleep(20); answer = {"text"')
    process = machine.start("deploy", machine.bundle(version="2.0", app=slow), "--no-tag")
    machine.wait(lambda: list((machine.app_folder() / "releases").glob("2.0-*")))
    process.kill()
    process.wait(PATIENCE)
    assert list((machine.app_folder() / "releases").glob("2.0-*"))
    mended = machine.folder / "mended"
    machine.run("build", machine.source(version="2.0"), "-o", mended)
    machine.deploy(mended / "mini-2.0.zip")
    assert machine.get()["version"] == "2.0"
    assert len(list((machine.app_folder() / "releases").glob("2.0-*"))) == 1
    assert "interrupted" in machine.run("logs", "--phase", "recover").out


@pytest.mark.slow
def test_a_restart_that_fails_after_its_promotion_leaves_the_old_processes(machine):
    app = changed(
        MINI_APP,
        'elif environ["PATH_INFO"] in',
        'elif environ["PATH_INFO"] == "/healthz" and os.environ["SICK"] in os.listdir("/tmp") and '
        'os.path.exists(os.environ["OCRPACK_RUN"] + "/gate-open") and os.path.getmtime("/tmp/" + os.environ["SICK"]) '
        '< os.path.getmtime(os.environ["OCRPACK_RUN"]):\n'
        '        start_response("503 Service Unavailable", [])\n'
        '        return [b"sick"]\n'
        '    elif environ["PATH_INFO"] in',
    )
    flag = Path("/tmp") / f"ocrpack-test-sick-{machine.port}"
    machine.deploy(machine.bundle(app=app, env={"SICK": flag.name}))
    before = machine.get("/readyz")["pid"]
    flag.touch()
    try:
        failed = machine.run("restart", status=14)
        assert "after its promotion" in failed.err
        machine.wait(lambda: len(list((machine.app_folder() / "run").glob("generation-*"))) == 1)
        assert {machine.get("/readyz")["pid"] for _ in range(8)} == {before}
        assert machine.run("status", "--json").json["deployments"][0]["state"] == "running"
    finally:
        flag.unlink()


@pytest.mark.slow
def test_a_failed_deploy_does_not_touch_the_secrets_of_the_running_release(machine):
    app = changed(MINI_APP, '"status": "ok"', '"status": "ok", "token": os.environ["OCR_TOKEN"]')
    machine.deploy(machine.bundle(app=app, secrets=["OCR_TOKEN"]), env={"OCR_TOKEN": "good"})
    bad = machine.bundle(version="2.0", app=app, secrets=["OCR_TOKEN"], truth="NOT THIS")
    machine.deploy(bad, status=15, env={"OCR_TOKEN": "wrong"})
    os.kill(machine.run("status", "--json").json["deployments"][0]["pid"], signal.SIGKILL)
    machine.wait(lambda: machine.run("status", "--json").json["deployments"][0]["restarts"] == 1)
    machine.wait(machine.listening)
    assert machine.get() | {"pid": 0} == {"status": "ok", "version": "1.0", "pid": 0, "token": "good"}
    machine.run("restart")
    assert machine.get()["token"] == "good"


@pytest.mark.slow
def test_a_bad_deploy_after_the_supervisor_died_leaves_the_service(machine):
    machine.deploy(machine.bundle())
    pid = next(pid for pid in machine.processes() if b"supervisor" in Path(f"/proc/{pid}/cmdline").read_bytes())
    os.kill(pid, signal.SIGKILL)
    machine.deploy(machine.bundle(version="2.0", truth="NOT THIS"), status=15)
    assert machine.get()["version"] == "1.0"
    assert machine.run("status", "--json").json["deployments"][0]["state"] == "running"


@pytest.mark.slow
def test_a_missing_module_is_found_again_in_an_environment_that_exists(machine):
    bundle = machine.bundle(app=MINI_APP + "\n\ndef seldom():\n    import nosuch\n")
    for _ in range(2):
        assert "nosuch" in machine.deploy(bundle, status=13).err


@pytest.mark.slow
def test_deploying_again_mends_what_verify_found(machine):
    bundle = machine.bundle()
    machine.deploy(bundle)
    app = machine.app_folder() / "current" / "app.py"
    app.chmod(0o644)
    app.write_text(app.read_text() + "\n")
    (environment,) = (machine.root / "environments").glob("[!.]*")
    next((environment / "lib").glob("python*/site-packages/gunicorn/debug.py")).unlink()
    assert len(machine.run("verify", "--json", status=18).json["findings"]) == 2
    machine.deploy(bundle)
    assert machine.run("verify", "--json").json["ok"] is True


@pytest.mark.slow
def test_a_lost_state_loses_no_release(machine):
    machine.deploy(machine.bundle(version="1.0"))
    machine.deploy(machine.bundle(version="2.0"))
    state = machine.app_folder() / "state.json"
    state.write_text("{")
    assert machine.run("status", "--json").json["deployments"][0]["state"] == "damaged"
    failed = machine.deploy(machine.bundle(version="3.0"), status=12)
    assert "move it away" in failed.err
    assert machine.get()["version"] == "2.0"
    state.unlink()
    machine.deploy(machine.bundle(version="3.0"))
    assert machine.get()["version"] == "3.0"
    kept = {folder.name.partition("-")[0] for folder in (machine.app_folder() / "releases").glob("[!.]*")}
    assert kept == {"1.0", "2.0", "3.0"}


@pytest.mark.slow
def test_the_host_may_be_named_in_another_way_later(machine):
    bundle = machine.bundle()
    machine.deploy(bundle)
    machine.deploy(bundle, "--host", "localhost")
    assert f"127.0.0.1:{machine.port}" in machine.deploy(bundle, "--host", "0.0.0.0", status=12).err


def test_a_host_that_is_not_here(machine):
    bundle = machine.bundle()
    for host in ("192.0.2.1", "a..b"):
        assert "cannot listen on" in machine.deploy(bundle, "--host", host, "--any-port", status=12).err
