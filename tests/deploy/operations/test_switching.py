"""Switching versions: observed, compared, rolled back, and never at the cost of what serves."""

from __future__ import annotations

import threading
import time

import pytest

from tests.conftest import MINI_APP, changed, paged
from tests.deploy.apps import APPS, INTERFACES, OCR, app_reading
from tests.patience import without_hanging


def the_state(machine):
    return machine.run("status", "--json").json["deployments"][0]


def generations(machine):
    return list((machine.app_folder() / "run").glob("generation-*"))


@pytest.mark.parametrize("interface", INTERFACES)
def test_no_request_is_lost_by_a_deploy_a_bad_one_a_rollback_and_a_restart(machine, load, interface):
    options = {"app": APPS[interface], "app_options": {"interface": interface}}
    machine.deploy(machine.bundle(version="1.0", **options))
    second, bad = machine.bundle(version="2.0", **options), machine.bundle(version="3.0", truth="WRONG", **options)
    with load(machine.port) as clients:
        machine.deploy(second)
        machine.deploy(bad, status=15)
        machine.run("rollback")
        machine.run("restart")
    assert clients.bad == []
    assert clients.versions == {"1.0", "2.0"}
    assert the_state(machine)["version"] == "1.0"


def test_rollback_and_back_again_and_to_a_version(machine):
    for version in ("1.0", "2.0", "3.0"):
        machine.deploy(machine.bundle(version=version))
    assert the_state(machine)["last_good"] == "2.0"
    assert "to 2.0" in machine.run("rollback", "--dry-run").out
    assert machine.get()["version"] == "3.0"
    answer = machine.run("rollback", "--json").json
    assert (answer["version"], answer["previous"].partition("-")[0]) == ("2.0", "3.0")
    assert answer["samples"][0]["passed"] is True
    assert machine.get()["version"] == "2.0"
    machine.run("rollback")
    assert machine.get()["version"] == "3.0", "a rollback of a rollback"
    machine.run("rollback", "mini", "--to", "1.0.0")
    assert machine.get()["version"] == "1.0"
    assert "current already" in machine.run("rollback", "--to", "1.0", status=2).err
    assert "2.0, 3.0" in machine.run("rollback", "--to", "9.9", status=19).err
    begun = [event["message"] for event in machine.events() if event["event"] == "begin"]
    assert begun[3:6] == ["rollback mini", "rollback mini", "rollback mini --to 1.0.0"]


@pytest.mark.slow
def test_nothing_to_roll_back_to(machine):
    machine.deploy(machine.bundle(version="1.0"))
    assert "no earlier release" in machine.run("rollback", status=19).err
    machine.deploy(machine.bundle(version="2.0", truth="WRONG"), status=15)
    assert "no earlier release" in machine.run("rollback", status=19).err, "a failed release is never good"
    assert machine.get()["version"] == "1.0"


@pytest.mark.slow
def test_a_rollback_is_tagged_and_makes_a_lost_environment_again(machine):
    repository = machine.folder / "repository"
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c", "-C", repository]
    from subprocess import check_output, run

    run(["git", "init", "-q", repository], check=True)
    run([*git, "commit", "-q", "--allow-empty", "-m", "first"], check=True)
    one = machine.bundle(version="1.0", requirements_text="packaging==24.2\n")
    machine.run("deploy", one, "--tag-repo", repository)
    machine.run("deploy", machine.bundle(version="2.0"), "--tag-repo", repository)
    run([*git, "tag", "-d", "mini/v1.0"], check=True)
    first = next(path for path in (machine.root / "environments").glob("[!.]*") if any(path.rglob("packaging")))
    (first / "ocrpack-ready.json").unlink()
    assert machine.run("rollback", "--json").json["tag"] == "mini/v1.0"
    assert "mini/v1.0" in check_output([*git, "tag"], text=True)
    assert (first / "ocrpack-ready.json").exists()


@pytest.mark.slow
def test_what_is_wrong_only_on_the_public_address_goes_back_by_itself(machine, load):
    """The app reads right until its gate is open for two seconds."""
    machine.deploy(machine.bundle(version="1.0"))
    late = app_reading(
        '"WRONG" if os.path.exists(os.environ["OCRPACK_RUN"] + "/gate-open") and __import__("time").time() - '
        'os.path.getctime(os.environ["OCRPACK_RUN"] + "/gate-open") > 2 else text_of(body)'
    )
    bundle = machine.bundle(version="2.0", app=late)
    with load(machine.port) as clients:
        failed = machine.deploy(bundle, "--observe", "30", status=15)
        assert machine.get()["version"] == "1.0"
    assert "after its promotion" in failed.err
    assert clients.bad == []
    assert "2.0" in clients.versions
    assert the_state(machine) | {"pid": 0, "uptime_s": 0} == {
        "name": "mini", "version": "1.0", "digest": the_state(machine)["digest"], "state": "running", "pid": 0,
        "url": f"http://127.0.0.1:{machine.port}", "uptime_s": 0, "restarts": 0, "last_good": None,
    }  # fmt: skip
    assert not (machine.app_folder() / "back").exists()
    assert len(generations(machine)) == 1


@pytest.mark.slow
def test_a_crash_right_after_the_promotion_goes_back(machine):
    machine.deploy(machine.bundle(version="1.0"))
    crash = MINI_APP + (
        "\n\ndef crash():\n"
        "    import signal, time\n"
        '    while not os.path.exists(os.environ["OCRPACK_RUN"] + "/gate-open"):\n'
        "        time.sleep(0.01)\n"
        "    os.kill(os.getppid(), signal.SIGKILL)\n"
        "    os._exit(1)\n\n\n"
        'if "OCRPACK_RUN" in os.environ:\n'
        "    import threading\n"
        "    threading.Thread(target=crash, daemon=True).start()\n"
    )
    failed = machine.deploy(machine.bundle(version="2.0", app=crash), "--observe", "3", status=14)
    assert "ended" in failed.err
    assert machine.get()["version"] == "1.0"
    machine.wait(lambda: len(generations(machine)) == 1)
    (evidence,) = (machine.app_folder() / "failed").iterdir()
    assert "2.0" in evidence.name


@pytest.mark.slow
def test_a_release_that_reads_worse_is_refused_when_that_is_asked(machine):
    sample = [{"image": "samples/a.txt", "text": "HELLO WORLD", "max_cer": 0.5}]
    machine.deploy(machine.bundle(version="1.0", samples=sample))
    worse = machine.bundle(version="2.0", app=app_reading('"HELLO WURLD"'), samples=sample)
    refused = machine.deploy(worse, "--max-regression", "0.05", "--json", status=15).json["error"]
    assert refused["findings"][0]["code"] == "regression"
    assert machine.get()["version"] == "1.0"
    answer = machine.deploy(worse, "--max-regression", "0.2", "--json").json
    (compared,) = answer["comparison"]
    assert compared["cer_before"] == 0
    assert compared["cer"] == pytest.approx(1 / 11, abs=1e-4)
    assert (compared["text"], compared["text_before"], compared["same_text"]) == ("HELLO WURLD", "HELLO WORLD", False)
    assert any("comparison" in event["data"] for event in machine.events())


def test_answers_that_mix_when_requests_come_together_are_refused(machine):
    """Each request leaves its text in a global, and the answer is made from that a moment later."""
    mixing = changed(MINI_APP, OCR, 'last = text_of(body); __import__("time").sleep(0.4); answer = {"text": last')
    begin = "def app(environ, start_response):"
    mixing = changed(mixing, begin, f"last = ''\n\n\n{begin}\n    global last")
    source = machine.source(app=mixing)
    (source / "samples" / "b.txt").write_text("SOMETHING ELSE")
    text = (source / "descriptor.json").read_text()
    two = '"samples": [{"image": "samples/b.txt", "text": "SOMETHING ELSE", "max_cer": 0.0},'
    (source / "descriptor.json").write_text(changed(text, '"samples": [', two))
    machine.run("build", source, "-o", machine.folder)
    failed = machine.deploy(machine.folder / "mini-1.0.zip", "--json", status=15).json["error"]
    assert failed["findings"][0]["code"] == "concurrency"


def test_the_right_text_only_the_first_time_is_refused(machine):
    once = changed(MINI_APP, OCR, 'seen.append(1); answer = {"text": text_of(body) if len(seen) == 1 else "no"')
    failed = machine.deploy(machine.bundle(app="seen = []\n" + once), "--json", status=15).json["error"]
    assert failed["findings"][0]["code"] == "concurrency"


def test_stop_first_stops_first_and_comes_back_when_the_new_one_fails(machine):
    machine.deploy(machine.bundle(version="1.0"))
    machine.deploy(machine.bundle(version="2.0", truth="WRONG"), "--stop-first", status=15)
    assert machine.get()["version"] == "1.0"
    done = machine.deploy(machine.bundle(version="3.0"), "--stop-first", "--json").json
    assert "stop" in [phase["name"] for phase in done["phases"]]
    assert machine.get()["version"] == "3.0"


@pytest.mark.slow
def test_what_ignores_sigterm_is_ended_at_its_deadline(machine):
    stubborn = paged(MINI_APP, "/hang", '__import__("time").sleep(600)', "answer = {}")
    machine.deploy(machine.bundle(version="1.0", app=stubborn, app_options={"drain_seconds": 2}))
    cut = []

    def ask():
        try:
            machine.get("/hang")
        except OSError as error:
            cut.append(error)

    client = threading.Thread(target=ask)
    client.start()
    time.sleep(0.5)
    with without_hanging():
        done = machine.deploy(machine.bundle(version="2.0"))
    assert "by force" in done.err
    client.join()
    assert cut
    machine.wait(lambda: len(generations(machine)) == 1)


@pytest.mark.slow
def test_prune_spares_what_is_needed(machine):
    for version in ("1.0", "2.0", "3.0", "4.0"):
        machine.deploy(machine.bundle(version=version))
    machine.run("rollback", "--to", "2.0")
    releases = machine.app_folder() / "releases"
    would = machine.run("prune", "--keep", "1", "--dry-run", "--json").json
    assert (would["dry_run"], len(would["removed"])) == (True, 2)
    assert len(list(releases.iterdir())) == 4
    machine.run("prune", "mini", "--keep", "1")
    assert sorted(folder.name.partition("-")[0] for folder in releases.iterdir()) == ["2.0", "4.0"]
    machine.run("rollback")
    assert machine.get()["version"] == "4.0"
    assert "not here" in machine.run("rollback", "--to", "1.0", status=19).err


@pytest.mark.slow
def test_hooks_tell_which_deploy_they_belong_to_and_cannot_lock_it_up(machine):
    told = machine.folder / "told"
    own = machine.root / "hooks" / "post_deploy"
    own.parent.mkdir(parents=True)
    own.write_text(f'#!/bin/sh\necho "own $OCRPACK_HOOK $OCRPACK_VERSION $OCRPACK_PREVIOUS" >> {told}\n')
    own.chmod(0o755)
    stop = " ".join(machine.argv("stop", "mini", "--lock-wait", "600"))
    hooks = {
        "pre_deploy": [f'echo "$OCRPACK_HOOK $OCRPACK_DEPLOY_ID" >> {told}; command -v python >> {told}'],
        "post_deploy": [f"{stop}; echo stop $? >> {told}"],
        "on_failure": [f'echo "$OCRPACK_HOOK: $OCRPACK_ERROR" | head -1 >> {told}'],
    }
    machine.deploy(machine.bundle(version="1.0", hooks=hooks))
    lines = told.read_text().splitlines()
    assert lines[0] == f"pre_deploy {machine.events()[0]['deploy']}"
    assert "/environments/" in lines[1]
    assert lines[2:] == ["own post_deploy 1.0 ", "stop 16"]
    machine.deploy(machine.bundle(version="2.0", hooks=hooks, truth="WRONG"), status=15)
    assert "on_failure: samples/a.txt" in told.read_text()

    refusing = machine.bundle(version="3.0", hooks={"pre_deploy": ["echo not today; exit 3"]})
    assert "not today" in machine.deploy(refusing, status=12).err
    hanging = machine.bundle(version="4.0", hooks={"post_deploy": ["sleep 600"], "seconds": 1})
    done = machine.deploy(hanging, "--json").json
    assert "did not end within 1 s" in done["warnings"][0]["message"]
    assert machine.get()["version"] == "4.0"

    told.unlink()
    machine.run("rollback")
    assert "own post_deploy 1.0 4.0" in told.read_text()


@pytest.mark.slow
def test_failures_do_not_pile_up(machine):
    for number in range(5):
        machine.deploy(machine.bundle(version=f"1.{number}", truth="WRONG"), status=15)
    kept = sorted(folder.name.split("-")[1] for folder in (machine.app_folder() / "failed").iterdir())
    assert kept == ["1.2", "1.3", "1.4"]
