"""What is killed, hangs or is interrupted: the next command mends it, and what serves serves on."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from tests.conftest import MINI_APP, changed, paged
from tests.deploy.apps import APPS, app_reading
from tests.patience import PATIENCE


def held_page(folder):
    """Return an app whose page `/slow` makes the file `asked` and answers once the file `told` is there."""
    asked, told = str(folder / "asked"), str(folder / "told")
    waiting = f"while not os.path.exists({told!r}): __import__('time').sleep(0.05)"
    return paged(MINI_APP, "/slow", f"open({asked!r}, 'w').close()", waiting, "answer = {}")


def the_state(machine):
    return machine.run("status", "--json").json["deployments"][0]


def generations(machine):
    return list((machine.app_folder() / "run").glob("generation-*"))


def test_a_killed_deploy_gets_its_end_from_the_next_command(machine):
    machine.deploy(machine.bundle(version="1.0"))
    slow = app_reading('__import__("time").sleep(20) or text_of(body)')
    process = machine.start("deploy", machine.bundle(version="2.0", app=slow), "--no-tag")
    machine.wait(lambda: any(event["phase"] == "gate" and event["deploy"] != machine.events()[0]["deploy"]
                             for event in machine.events()))  # fmt: skip
    process.send_signal(signal.SIGKILL)
    process.wait(PATIENCE)
    machine.run("status")
    ends = {}
    for event in machine.events():
        if event["event"] in {"begin", "end"}:
            ends.setdefault(event["deploy"], []).append((event["event"], event["data"].get("exit_code")))
    assert list(ends.values()) == [[("begin", None), ("end", None)], [("begin", None), ("end", 137)]]
    assert [folder.name for folder in (machine.app_folder() / "releases").glob("2.0*")] == []
    machine.wait(lambda: len(generations(machine)) == 1)


@pytest.mark.slow
@pytest.mark.parametrize("interface", APPS)
def test_a_killed_supervisor_is_replaced_without_losing_the_address(machine, load, interface):
    options = {"app": APPS[interface], "app_options": {"interface": interface}}
    machine.deploy(machine.bundle(version="1.0", **options))
    second = machine.bundle(version="2.0", **options)

    def kill():
        (pid,) = machine.processes_of("ocrpack.deploy.supervisor")
        os.kill(pid, signal.SIGKILL)

    before = the_state(machine)["pid"]
    with load(machine.port) as clients:
        kill()
        assert the_state(machine) | {"uptime_s": 0} == {**the_state(machine), "pid": before, "state": "running"} | {
            "uptime_s": 0
        }
        kill()
        machine.deploy(second)
        kill()
        machine.run("restart")
    assert clients.bad == []
    assert the_state(machine)["version"] == "2.0"
    machine.run("stop")
    machine.wait(lambda: not machine.processes())


def test_a_supervisor_that_is_told_to_end_ends_all_of_it(machine):
    machine.deploy(machine.bundle())
    (pid,) = machine.processes_of("ocrpack.deploy.supervisor")
    os.kill(pid, signal.SIGTERM)
    machine.wait(lambda: not machine.processes())
    assert the_state(machine)["state"] == "failed", "it is meant to run, and does not"
    machine.run("start")
    assert machine.get()["status"] == "ok"


@pytest.mark.slow
def test_an_app_that_hangs_is_started_again(machine):
    locked = changed(MINI_APP, "def app(", "lock = __import__('threading').Lock()\nlock.acquire()\n\n\ndef app(")
    hanging = paged(locked, "/hang", "lock.acquire()", "answer = {}")
    options = {"threads": 1, "request_seconds": 3, "boot_seconds": 20}
    machine.deploy(machine.bundle(app=hanging, app_options=options))
    before = the_state(machine)["pid"]
    with pytest.raises(OSError):
        machine.get("/hang", timeout=2)
    machine.wait(lambda: the_state(machine)["restarts"] == 1 and machine.listening())
    machine.wait(lambda: the_state(machine)["pid"] != before)
    assert machine.get()["status"] == "ok"
    assert "answered nothing" in machine.run("logs", "--level", "error").out


def test_a_worker_is_replaced_after_its_requests(machine, load):
    machine.deploy(machine.bundle(app_options={"max_requests": 50}))
    pids = {machine.get()["pid"] for _ in range(300)}
    assert len(pids) >= 4


def test_daemons_of_an_app_end_with_it(machine):
    forking = MINI_APP + (
        "\n\nif 'OCRPACK_RUN' in os.environ and os.fork() == 0:\n"
        "    os.setsid()\n"
        "    __import__('time').sleep(600)\n"
        "    os._exit(0)\n"
    )
    machine.deploy(machine.bundle(app=forking))
    machine.run("stop")
    machine.wait(lambda: not machine.processes())


def test_a_dead_log_writer_is_replaced(machine):
    asked = 'if environ["PATH_INFO"] == "/ocr":'
    talking = changed(MINI_APP, asked, f'print("asked for", environ["PATH_INFO"])\n    {asked}')
    machine.deploy(machine.bundle(app=talking))
    (writer,) = machine.processes_of("ocrpack.deploy.supervisor.log_writer")
    os.kill(writer, signal.SIGKILL)
    machine.wait(lambda: machine.processes_of("ocrpack.deploy.supervisor.log_writer") not in ([], [writer]))
    assert machine.get("/readyz")["status"] == "ok"
    machine.wait(lambda: "asked for /readyz" in machine.run("logs", "--instance").out)


def test_status_is_quick_with_many_releases(machine):
    import json

    machine.deploy(machine.bundle())
    file = machine.app_folder() / "state.json"
    state = json.loads(file.read_text())
    ((name, record),) = state["releases"].items()
    for number in range(200):
        state["releases"][f"0.{number}-{name.partition('-')[2]}"] = record
    file.write_text(json.dumps(state))
    assert the_state(machine)["state"] == "running"


def test_memory_that_does_not_suffice_for_two_releases_is_told_beforehand(machine):
    """The running release takes more than half of the memory that a container may have."""
    import psutil

    machine.deploy(machine.bundle(version="1.0"))
    free = psutil.virtual_memory().available >> 20
    greedy = machine.bundle(version="2.0", resources={"memory_mb": free + 100_000})
    failed = machine.deploy(greedy, "--json", status=12).json["error"]
    assert "beside the running release, which takes" in failed["findings"][0]["message"]
    assert machine.get()["version"] == "1.0"


@pytest.mark.slow
def test_an_app_that_is_busy_is_not_one_that_hangs(machine, load):
    """One thread, more clients than it can serve in time: no probe is answered soon, and nobody may be hurt."""
    slow = paged(MINI_APP, "/page", '__import__("time").sleep(1)', 'answer = {"version": VERSION}')
    machine.deploy(machine.bundle(app=slow, app_options={"threads": 1, "request_seconds": 5}))
    clients = load(machine.port, "/page", clients=14)
    with clients:
        time.sleep(30)
    assert clients.bad == []
    assert the_state(machine)["restarts"] == 0


@pytest.mark.slow
def test_a_drain_that_was_interrupted_does_not_hurt_the_next_deploy(machine):
    hanging = held_page(machine.folder)
    machine.deploy(machine.bundle(version="1.0", app=hanging))
    second, third = machine.bundle(version="2.0"), machine.bundle(version="3.0")
    client = threading.Thread(target=machine.get, args=("/slow",))
    client.start()
    machine.wait((machine.folder / "asked").exists)
    deploy = machine.start("deploy", second, "--no-tag")
    machine.wait(lambda: any(event["phase"] == "drain" for event in machine.events()[1:] if event["deploy"]
                             != machine.events()[0]["deploy"]))  # fmt: skip
    deploy.send_signal(signal.SIGINT)
    assert deploy.wait(PATIENCE) == 130
    (machine.folder / "told").touch()
    machine.deploy(third)
    client.join()
    assert machine.get()["version"] == "3.0"
    assert the_state(machine)["version"] == "3.0"


@pytest.mark.slow
def test_a_deploy_is_the_remedy_for_a_lost_release(machine):
    from ocrpack.deploy.system.files import remove_tree

    machine.deploy(machine.bundle(version="1.0"))
    machine.run("stop")
    machine.run("start")
    for pid in machine.processes():
        os.kill(pid, signal.SIGKILL)
    machine.wait(lambda: not machine.processes())
    remove_tree((machine.app_folder() / "current").resolve())
    machine.deploy(machine.bundle(version="2.0"))
    assert machine.get()["version"] == "2.0"


@pytest.mark.slow
def test_a_begin_without_its_process_keeps_nobody_from_anything(machine):
    machine.deploy(machine.bundle())
    log = machine.app_folder() / "logs" / "deploy.jsonl"
    first = log.read_text().splitlines()[0].replace(machine.events()[0]["deploy"], "older")
    start, _, rest = first.partition('"data":')
    assert rest
    log.write_text(log.read_text() + start + '"data":{}}\n')
    machine.run("restart")


def test_a_secret_does_not_reach_a_supervisor_that_takes_over(machine):
    bundle = machine.bundle(secrets=["OCR_TOKEN"])
    machine.deploy(bundle, env={"OCR_TOKEN": "s3cr3t-word"})
    (pid,) = machine.processes_of("ocrpack.deploy.supervisor")
    os.kill(pid, signal.SIGKILL)
    machine.deploy(bundle, env={"OCR_TOKEN": "s3cr3t-word"})
    for pid in machine.processes():
        assert b"s3cr3t-word" not in Path(f"/proc/{pid}/environ").read_bytes()


@pytest.mark.slow
def test_a_stop_that_is_interrupted_stays_a_stop(machine):
    hanging = held_page(machine.folder)
    machine.deploy(machine.bundle(app=hanging))
    client = threading.Thread(target=machine.get, args=("/slow",))
    client.start()
    machine.wait((machine.folder / "asked").exists)
    stop = machine.start("stop")
    machine.wait(lambda: any(event["message"] == "stop mini" for event in machine.events()))
    time.sleep(1)  # the supervisor is asked just after that event, and shows nothing of it until the request ends
    stop.send_signal(signal.SIGINT)
    (machine.folder / "told").touch()
    assert stop.wait(PATIENCE) == 130
    client.join()
    machine.wait(lambda: not machine.processes())
    assert (machine.app_folder() / "logs" / "supervisor.log").read_text() == ""
    assert the_state(machine)["state"] == "stopped"


@pytest.mark.slow
def test_text_that_no_file_can_hold_is_still_a_wrong_text(machine):
    odd = app_reading('"half \\\\ud800 and \\\\0"')
    bundle = machine.bundle(app=odd, hooks={"on_failure": ['test -n "$OCRPACK_ERROR"']})
    failed = machine.deploy(bundle, "--json", status=15).json["error"]
    assert failed["code"] == "smoke"
    (evidence,) = (machine.app_folder() / "failed").iterdir()
    assert "half" in (evidence / "reason.txt").read_text()
