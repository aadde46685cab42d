"""`ocrpack ocr` and `ocrpack eval` as users and scripts meet them."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.client.servers import SAMPLES, Misbehaving, answer, real_app
from tests.patience import PATIENCE, without_hanging

ESCAPE = "\x1b["


@pytest.fixture(scope="module")
def tesseract(tmp_path_factory):
    with real_app(tmp_path_factory.mktemp("served") / "bundle") as url:
        yield url


@pytest.fixture
def scans(machine):
    """Three images in the working folder, with their truth."""
    folder = machine.folder / "scans é"
    folder.mkdir()
    for file in SAMPLES.iterdir():
        shutil.copy(file, folder)
    return folder


def same_words(text, name):
    return text.split() == (SAMPLES / name).read_text("utf-8").split()


def echo(_, handler):
    """Answer an image's name as its text."""
    name = handler.body.partition(b'filename="')[2].partition(b'"')[0].decode()
    handler.send(document=answer(name))


def images(folder, count):
    folder.mkdir()
    for number in range(count):
        (folder / f"{number}.png").write_bytes(b"x")


def test_one_image_is_its_text_alone(machine, tesseract):
    done = machine.run("ocr", SAMPLES / "paragraph.png", "--url", tesseract)
    assert same_words(done.out, "paragraph.txt")
    assert done.err == ""


def test_several_have_headings(machine, tesseract, scans):
    done = machine.run("ocr", "scans é", "--url", tesseract)
    heads = re.findall(r"^==> (.*) <==$", done.out, re.MULTILINE)
    assert heads == [f"scans é{os.sep}{name}" for name in ("invoice.png", "paragraph.png", "photo.jpg")]
    assert "3 read (3 pages)" in done.err
    quiet = machine.run("ocr", "scans é", "--url", tesseract, "-q")
    assert (quiet.err, "==>" in quiet.out) == ("", False)


def test_json_of_one_and_of_several(machine, tesseract, scans):
    one = machine.run("ocr", scans / "invoice.png", "-f", "json", env={"OCRPACK_URL": tesseract})
    assert one.json["pages"][0]["lines"]
    lines = machine.run("ocr", scans, "-f", "json", "--url", tesseract).out.splitlines()
    assert [json.loads(line)["input"].rpartition(os.sep)[2] for line in lines] == [
        "invoice.png", "paragraph.png", "photo.jpg",
    ]  # fmt: skip


def test_one_json_document_about_the_run(machine, tesseract, scans):
    (scans / "bad.png").write_bytes(b"no image")
    done = machine.run("ocr", scans, "--url", tesseract, "--json", status=18)
    assert done.err == ""
    answer = done.json
    assert (answer["read"], answer["failed"], answer["pages"]) == (3, 1, 3)
    assert answer["results"][0]["error"]["code"] == "unknown-format"
    assert same_words(answer["results"][2]["result"], "paragraph.txt")
    assert answer["error"]["exit_code"] == 18


def test_standard_input(machine, tesseract):
    with (SAMPLES / "paragraph.png").open("rb") as image:
        done = subprocess.run(
            machine.argv("ocr", "-", "--url", tesseract), env=machine.env, stdin=image, capture_output=True, text=True
        )
    assert done.returncode == 0
    assert same_words(done.stdout, "paragraph.txt")
    assert "standard input is empty" in machine.run("ocr", "-", "--url", tesseract, status=2).err


def test_results_in_a_folder(machine, tesseract, scans):
    done = machine.run("ocr", scans, "--url", tesseract, "-o", "out", "--annotate")
    assert done.out == ""
    names = sorted(path.name for path in (machine.folder / "out").iterdir())
    assert names[:2] == ["invoice.png.annotated.png", "invoice.png.ocr.txt"]
    assert len(names) == 6
    again = machine.run("ocr", scans, "--url", tesseract, "-o", "out", "--annotate")
    assert "0 read (0 pages)" in again.err
    assert "3 were there already (--force reads again)" in again.err


def test_a_deployment_is_found_by_itself(machine):
    """Any app that reads to JSON with a text will do."""
    bundle = machine.bundle(text="DEPLOYED")
    machine.run("deploy", bundle, "--no-tag")
    (machine.folder / "a.png").write_text("FROM THE APP")
    try:
        assert "FROM THE APP" in machine.run("ocr", "a.png").out
        assert "FROM THE APP" in machine.run("ocr", "a.png", "--name", "mini").out
        assert machine.run("ocr", "a.png", "--name", "none", "--json", status=19).json["error"]["code"] == "not-found"
        machine.run("stop", "mini")
        failed = machine.run("ocr", "a.png", "--json", status=14).json["error"]
        assert failed["message"] == "mini is stopped"
        assert "ocrpack start mini" in failed["remedy"]
    finally:
        machine.run("remove", "mini", "--yes")
    assert "--url" in machine.run("ocr", "a.png", status=19).err


USAGE = [
    ["a.png", "--beside", "-o", "x"], ["a.png", "--url", "ftp://x"], ["a.png", "--url", "u", "--name", "n"],
    ["a.png", "-f", "docx"], ["a.png", "-f", "pdf", "--json"], ["-", "--beside"],
    ["a.png", "--jobs", "0"], ["a.png", "--token-file", "none"], ["a.png", "--preprocess", "magic"], [],
]  # fmt: skip


@pytest.mark.parametrize("words", USAGE, ids=" ".join)
def test_wrong_usage(machine, words):
    for name in ("a.png", "b.png"):
        (machine.folder / name).write_bytes(b"x")
    env = {"OCRPACK_URL": "http://127.0.0.1:1"}
    error = machine.run("ocr", *words, "--json", status=2, env=env).json["error"]
    assert error["message"]
    assert error["remedy"]


def test_several_results_that_no_stream_can_hold(machine):
    images(machine.folder / "s", 2)
    for output in ("hocr", "alto", "tsv", "csv", "pdf"):
        assert "--beside" in machine.run("ocr", "s", "-f", output, "--url", "http://127.0.0.1:1", status=2).err


def test_nothing_to_read(machine):
    for words in (["none.png"], ["*.png"], [machine.folder]):
        error = machine.run("ocr", *words, "--url", "http://127.0.0.1:1", "--json", status=19).json["error"]
        assert error["remedy"]


def test_a_service_that_is_gone(machine):
    (machine.folder / "a.png").write_bytes(b"x")
    with without_hanging(30):
        done = machine.run("ocr", "a.png", "--url", "http://127.0.0.1:1", "--retry-seconds", 0, status=14)
    assert "http://127.0.0.1:1 cannot be reached" in done.err
    assert "ocrpack status" in done.err
    assert done.out == ""


def test_a_token_comes_from_a_file_or_the_environment(machine):
    seen = []

    def react(_, handler):
        seen.append(handler.headers["Authorization"])
        handler.problem(401, "token", "A token is needed", "Bring one.")

    (machine.folder / "a.png").write_bytes(b"x")
    (machine.folder / "token").write_text("from-file\n")
    with Misbehaving(react) as server:
        words = ("ocr", "a.png", "--url", server.url)
        for more, env in (([], {}), ([], {"OCRPACK_TOKEN": "from-env"}), (["--token-file", "token"], {})):
            failed = machine.run(*words, *more, status=2, env=env)
            assert "wants a" in failed.err
            assert "from-" not in failed.err
    assert seen == [None, "Bearer from-env", "Bearer from-file"]
    assert "--token " not in machine.run("ocr", "--help").out


@pytest.mark.skipif(os.name == "nt", reason="file names are bytes elsewhere")
def test_a_name_that_is_no_unicode(machine):
    name = os.fsdecode(b"caf\xe9.png")
    (machine.folder / name).write_bytes(b"x")
    (machine.folder / "b.png").write_bytes(b"x")
    (machine.folder / f"{name}.txt").write_text("caf?.png")
    with Misbehaving(echo) as server:
        env = {"OCRPACK_URL": server.url}
        assert machine.run("ocr", name, env=env).out.endswith("caf?.png\n")
        assert machine.run("ocr", ".", "--json", env=env).json["read"] == 2
        assert "==> caf\\udce9.png <==\ncaf?.png\n" in machine.run("ocr", ".", env=env).out
        assert re.search(r"^caf\\udce9\.png +0\.0000", machine.run("eval", ".", env=env).out, re.MULTILINE)
        machine.run("ocr", ".", "--beside", env=env)
    assert (machine.folder / f"{name}.ocr.txt").read_text() == "caf?.png\n"


def test_no_terminal_no_animation(machine):
    images(machine.folder / "s", 3)
    with Misbehaving(echo) as server:
        done = machine.run("ocr", "s", "--beside", "-j", 1, "--url", server.url, env={"TERM": "xterm-256color"})
    lines = done.err.splitlines()
    assert [line.split()[:2] for line in lines[:3]] == [[f"{n + 1}/3", str(Path("s", f"{n}.png"))] for n in range(3)]
    assert ESCAPE not in done.err
    assert "\r" not in done.err


def test_hostile_text_does_nothing_on_a_terminal(machine):
    pty = pytest.importorskip("pty")
    (machine.folder / "a.png").write_bytes(b"x")
    with Misbehaving(lambda _, handler: handler.send(document=answer("\x1b]0;owned\x07 HELLO"))) as server:
        leader, follower = pty.openpty()
        process = subprocess.Popen(
            machine.argv("ocr", "a.png", "--url", server.url), cwd=machine.folder, env=machine.env,
            stdin=follower, stdout=follower, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        assert process.wait(PATIENCE) == 0
        os.close(follower)
        shown = os.read(leader, 4096).decode()
        os.close(leader)
        piped = machine.run("ocr", "a.png", "--url", server.url).out
    assert "\\x1b]0;owned\\x07 HELLO" in shown
    assert "\x1b]0;owned\x07 HELLO" in piped, "a file gets the very bytes"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_a_killed_run_goes_on_where_it_stopped(machine, number):
    images(machine.folder / "s", 8)
    held = threading.Event()

    def react(server, handler):
        if handler.number >= 4:
            held.wait(PATIENCE)
        echo(server, handler)

    def results():
        return sorted(path.name for path in (machine.folder / "s").glob("*.ocr.txt"))

    with Misbehaving(react) as server:
        process = machine.start("ocr", "s", "--beside", "--jobs", "2", "--url", server.url)
        assert any("4/8" in line for line in process.stderr), "it ended before four were read"
        machine.wait(lambda: len(results()) == 4 and len(server.asked) == 6)
        process.send_signal(number)
        _, err = process.communicate(timeout=PATIENCE)
        held.set()
        if number == signal.SIGKILL:
            assert process.returncode == -number
        else:
            assert process.returncode == 130
            assert "interrupted: 4 of 8 are done" in err
            assert "goes on where it stopped" in err
        before = results()
        assert len(before) == 4
        asked = len(server.asked)
        done = machine.run("ocr", "s", "--beside", "--url", server.url)
        assert len(server.asked) == asked + 4, "what was read is not read again"
    assert "4 read" in done.err
    assert "4 were there already" in done.err
    assert len(results()) == 8
    assert all((machine.folder / "s" / f"{n}.png.ocr.txt").read_text() == f"{n}.png\n" for n in range(8))
    assert not list((machine.folder / "s").glob(".*"))


def test_results_into_a_closed_pipe(machine):
    if sys.platform == "win32" or not shutil.which("bash"):
        pytest.skip("a POSIX shell")
    images(machine.folder / "s", 20)
    with Misbehaving(echo) as server:
        command = " ".join(machine.argv("ocr", "s", "--url", server.url, "-q"))
        done = subprocess.run(
            ["bash", "-c", f"{command} | head -1"], env=machine.env, cwd=machine.folder, capture_output=True, text=True
        )
    assert (done.stdout, done.stderr) == ("0.png\n", "")


def test_eval(machine, tesseract, scans):
    (scans / "alone.png").write_bytes((scans / "photo.jpg").read_bytes())
    done = machine.run("eval", scans, "--url", tesseract, "--report", "r.html")
    total = re.search(r"^all 3 +(\S+) +(\S+) +(\S+)", done.out, re.MULTILINE)
    assert float(total[1]) < 0.02
    assert float(total[3]) > 0.95
    assert "1 image without a true text left out" in done.err
    page = (machine.folder / "r.html").read_text("utf-8")
    assert page.count("data:image/jpeg;base64,") == 3
    answer = machine.run("eval", scans, "--url", tesseract, "--json").json
    assert answer.keys() >= {
        "images",
        "failed",
        "total",
        "files",
        "worst_lines",
        "confusions",
        "without_truth",
        "report",
    }
    assert answer["total"]["cer"] == pytest.approx(float(total[1]), abs=1e-4)


def test_eval_fails_where_it_is_asked_to(machine):
    folder = machine.folder / "s"
    images(folder, 2)
    (folder / "0.txt").write_text("0.png")
    (folder / "1.txt").write_text("9.xxx")
    with Misbehaving(echo) as server:
        words = ("eval", "s", "--url", server.url)
        shown = machine.run(*words).out
        assert re.search(r"^all 2 +0\.4000 +0\.5000 +0\.5000", shown, re.MULTILINE)
        machine.run(*words, "--fail-above", "0.4")
        failed = machine.run(*words, "--fail-above", "0.39", "--json", status=15).json
        assert failed["error"]["message"] == "the character error rate is 0.4000, at most 0.39 is allowed"
        assert failed["total"]["cer"] == 0.4
    with Misbehaving(lambda _, handler: handler.problem(422)) as server:
        failed = machine.run("eval", "s", "--url", server.url, "--json", status=18).json
        assert (failed["failed"], failed["total"]["cer"]) == (2, 1)
