"""The command line as users and scripts meet it."""

from __future__ import annotations

import json
import os
import re
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ocrpack import __version__, errors
from ocrpack.errors import OcrpackError
from tests.conftest import DATA, REPOSITORY
from tests.patience import PATIENCE
from tests.variants import slow

COMMANDS = [
    "init", "validate", "lock", "build", "inspect", "diff", "push", "pull",
    "deploy", "rollback", "verify", "status", "list", "stop", "start", "restart", "prune", "remove",
    "logs", "doctor", "service install", "service uninstall", "ocr", "eval",
]  # fmt: skip
CODES = {
    "OcrpackError": 1, "UsageError": 2, "DescriptorError": 10, "BundleError": 11, "PreflightError": 12,
    "EnvironmentSetupError": 13, "BootError": 14, "SmokeError": 15, "LockedError": 16, "ConflictError": 17,
    "VerifyError": 18, "NotFoundError": 19, "InterruptedByUserError": 130,
}  # fmt: skip
ESCAPE = "\x1b["


def _classes():
    return [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, OcrpackError)]


def test_every_class_owns_its_exit_code():
    assert {kind.__name__: kind.exit_code for kind in _classes()} == CODES
    for values in ([kind.exit_code for kind in _classes()], [kind.code for kind in _classes()]):
        assert len(set(values)) == len(values)
    assert all(kind.__doc__ and kind.meaning for kind in _classes())


def test_every_exit_code_is_documented(machine):
    shown = re.sub(r"\s+", " ", machine.run("--help").out)
    documented = shown.partition("Exit codes:")[2]
    for code in (0, *CODES.values()):
        assert re.search(rf"\b{code} \w", documented), code
    documents = [file.read_text("utf-8") for file in [REPOSITORY / "README.md", *(REPOSITORY / "docs").glob("*.md")]]
    tables = [text for text in documents if re.search(r"exit (code|status)", text, re.IGNORECASE)]
    missing = [code for code in CODES.values() if not any(re.search(rf"\b{code}\b", text) for text in tables)]
    assert not missing, f"exit codes that no document explains: {missing}"


def _modules(machine, *words):
    code = (
        "import sys\nsys.argv = ['ocrpack', *sys.argv[1:]]\nfrom ocrpack.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "sys.stderr.write(' '.join(sys.modules))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        env=machine.env,
        cwd=machine.folder,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout, {name.split(".")[0] for name in done.stderr.split()}


@pytest.mark.parametrize("word", ["--version", "-V"])
def test_the_version_imports_nothing_heavy(machine, word):
    out, modules = _modules(machine, word)
    assert out == f"ocrpack {__version__}\n"
    heavy = {"typer", "click", "pydantic", "jsonschema", "git", "rich", "psutil", "packaging", "json", "subprocess"}
    assert not modules & heavy


def test_verify_imports_nothing_of_the_packager_s(machine):
    bundle = machine.bundle()
    machine.deploy(bundle)
    for words in (["verify", str(bundle)], ["verify", "mini"], ["status"], ["logs"]):
        _, modules = _modules(machine, *words)
        assert "typer" in modules
        assert not modules & {"jsonschema", "pathspec", "cyclonedx", "oras", "requests", "git"}, words


def test_the_help_imports_nothing_heavy(machine):
    for words in (["--help"], ["deploy", "--help"], ["logs", "-h"], ["ocr", "-h"], ["eval", "-h"]):
        out, modules = _modules(machine, *words)
        if words != ["--help"]:
            modules -= {"pydantic"}  # Typer itself imports it where it is installed
        assert "Usage: " in out
        assert not modules & {
            "pydantic",
            "jsonschema",
            "git",
            "psutil",
            "uv",
            "rapidfuzz",
            "urllib3",
            "PIL",
            "packaging",
            "pathspec",
        }


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_helps_with_an_example(machine, command):
    shown = machine.run(*command.split(), "--help").out
    assert f"Usage: ocrpack {command}" in shown
    assert f"Example: ocrpack {command}" in shown
    assert "--json" in shown
    assert "-q, --quiet" in shown
    assert ESCAPE not in shown


def test_all_commands_are_known_here(machine):
    listed = re.findall(r"^  ([a-z]+)  ", machine.run("--help").out.partition("Commands:")[2], re.MULTILINE)
    assert set(listed) == {command.split()[0] for command in COMMANDS}, "add the new command to the tests here"


USAGE = [
    ["nonsense"], ["--nonsense"], ["build", "--nonsense"], ["build", "a", "b"], ["deploy"], ["remove"],
    ["logs", "--level", "loud"], ["logs", "-n", "-1"], ["logs", "-n", "x"], ["deploy", "x.zip", "--keep", "0"],
    ["deploy", "x.zip", "--port", "x"], ["deploy", "x.zip", "--installer", "conda"], ["logs", "--since", "yesterday"],
    ["logs", "--grep", "["], ["logs", "--instance", "--deploys"], ["stop", "--lock-wait", "-1"],
]  # fmt: skip


@pytest.mark.parametrize("words", USAGE, ids=" ".join)
def test_wrong_usage(machine, words):
    failed = machine.run(*words, "--json", status=2)
    error = failed.json["error"]
    assert (error["code"], error["exit_code"]) == ("usage", 2)
    assert error["message"]
    assert error["remedy"]
    assert failed.err == ""


def test_wrong_usage_for_a_person(machine):
    failed = machine.run("build", "--nonsense", status=2)
    assert failed.out == ""
    assert "--nonsense" in failed.err
    assert "`ocrpack build --help`" in failed.err
    assert "Usage: ocrpack" in machine.run(status=2).out + machine.run(status=2).err


def test_json_is_one_document_and_nothing_else(machine):
    """Every command, in the order of a life."""
    source = machine.source()
    bundle = machine.folder / "mini-1.0.zip"

    def one(*words, status=0):
        done = machine.run(*words, "--json", status=status)
        assert done.err == ""
        assert ESCAPE not in done.out
        return json.loads(done.out)

    assert one("validate", source)["ok"] is True
    built = one("build", source, "-o", machine.folder)
    assert {"bundle", "name", "version", "digest", "bytes"} <= built.keys()
    assert one("verify", bundle)["ok"] is True
    assert one("status") == {"deployments": []}
    assert one("deploy", bundle, "--no-tag", "--dry-run")["dry_run"] is True
    deployed = one("deploy", bundle, "--no-tag")
    assert {"name", "version", "digest", "release", "url", "tag", "phases", "samples"} <= deployed.keys()
    assert deployed["phases"][0].keys() >= {"name", "seconds"}
    assert deployed["samples"][0].keys() >= {"image", "cer", "wer", "seconds", "passed"}
    (status,) = one("status")["deployments"]
    assert status.keys() >= {"name", "version", "digest", "state", "url", "pid", "uptime_s", "restarts"}
    assert one("verify", "mini")["ok"] is True
    for line in machine.run("logs", "--json").out.splitlines():
        assert json.loads(line)["time"]
    for command in ("restart", "stop", "start"):
        assert one(command, "--dry-run")["would"] == command
        assert one(command)["deployments"][0]["name"] == "mini"
    assert one("remove", "mini", "--dry-run")["would"] == "remove"
    assert one("remove", "mini") == {"removed": "mini"}

    for words, status in [
        (["validate", machine.folder], 10), (["build", machine.folder / "none"], 10),
        (["verify", source / "app.py"], 11), (["deploy", source / "app.py"], 11), (["verify", "none.zip"], 19),
        (["deploy", "none.zip"], 19), (["stop"], 19),
        (["logs", "none"], 19), (["remove", "none"], 19), (["start", "../../etc"], 19),
    ]:  # fmt: skip
        error = one(*words, status=status)["error"]
        assert error.keys() == {"code", "exit_code", "message", "remedy", "findings"}
        assert error["exit_code"] == status
        assert error["message"]


def test_quiet_is_quiet(machine):
    source = machine.source()
    done = machine.run("build", source, "-q")
    assert (done.out, done.err) == ("dist/mini-1.0.zip\n", "")
    assert machine.run("validate", source, "-q").err == ""
    assert machine.run("status", "-q").err == ""


def test_no_terminal_no_escape_codes(machine):
    source = machine.source()
    for words, status in ((["build", source], 0), (["validate", machine.folder], 10), (["stop"], 19)):
        done = machine.run(*words, status=status, env={"TERM": "xterm-256color", "COLORTERM": "truecolor"})
        assert ESCAPE not in done.out + done.err


def _on_terminal(machine, *words, **more):
    """Run a command on a pseudo-terminal and return its status and all that it showed."""
    pty = pytest.importorskip("pty")
    leader, follower = pty.openpty()
    env = {**machine.env, "TERM": "xterm-256color", **more}
    env = {name: value for name, value in env.items() if name not in {"NO_COLOR", "FORCE_COLOR"} or name in more}
    process = subprocess.Popen(
        machine.argv(*words), cwd=machine.folder, env=env, stdin=follower, stdout=follower, stderr=follower
    )
    os.close(follower)
    shown = b""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if select.select([leader], [], [], 0.1)[0]:
            try:
                data = os.read(leader, 65536)
            except OSError:
                break
            if not data:
                break
            shown += data
        elif process.poll() is not None:
            break
    os.close(leader)
    return process.wait(PATIENCE), shown.decode()


COLOUR = re.compile(r"\x1b\[(\d+;)*(3[0-8]|9[0-7])(;\d+)*m")


def test_a_terminal_has_colour_unless_it_is_not_wanted(machine):
    status, shown = _on_terminal(machine, "validate", machine.folder)
    assert status == 10
    assert COLOUR.search(shown)
    status, shown = _on_terminal(machine, "validate", machine.folder, NO_COLOR="1")
    assert status == 10
    assert not COLOUR.search(shown)
    assert "descriptor-missing" in shown
    status, shown = _on_terminal(machine, "build", machine.source(), NO_COLOR="1")
    assert status == 0
    assert not COLOUR.search(shown)
    status, shown = _on_terminal(machine, "validate", machine.folder, TERM="dumb")
    assert ESCAPE not in shown


def _shadow(machine, module, text):
    """Put a module that fails before the real one."""
    folder = machine.folder / "shadow"
    folder.mkdir()
    (folder / f"{module}.py").write_text(text)
    return {"PYTHONPATH": f"{folder}{os.pathsep}{machine.env['PYTHONPATH']}", "TMPDIR": str(folder)}


def test_an_unexpected_fault_leaves_a_log(machine):
    env = _shadow(machine, "pathspec", "raise RuntimeError('boom é')\n")
    source = machine.source()
    failed = machine.run("build", source, status=1, env=env)
    assert "Traceback" not in failed.err
    assert "RuntimeError: boom é" in failed.err
    log = Path(re.search(r"(/\S+\.log)", failed.err)[1])
    text = log.read_text("utf-8")
    assert "Traceback" in text
    assert __version__ in text
    assert str(source) in text
    error = machine.run("build", source, "--json", status=1, env=env).json["error"]
    assert (error["code"], error["exit_code"]) == ("unexpected", 1)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_fault_whose_log_cannot_be_written_is_told_whole(machine):
    env = _shadow(machine, "pathspec", "raise RuntimeError('boom')\n")
    full = "import tempfile\ntempfile.NamedTemporaryFile = lambda mode, **_: open('/dev/full', mode)\n"
    (machine.folder / "shadow" / "sitecustomize.py").write_text(full)
    failed = machine.run("build", machine.source(), status=1, env=env)
    assert "unexpected fault: RuntimeError: boom" in failed.err
    assert failed.err.count("Traceback") == 1


def test_what_the_machine_refuses_is_no_defect(machine):
    env = _shadow(machine, "pathspec", "raise PermissionError(13, 'Permission denied', 'some/file')\n")
    error = machine.run("build", machine.source(), "--json", status=12, env=env).json["error"]
    assert error["message"] == "some/file: Permission denied"
    assert "permissions" in error["remedy"]
    for place in ("~nobody-of-this-name/x", "x" * 300):
        error = machine.run("status", "--root", place, "--json", status=12).json["error"]
        assert "defect" not in error["remedy"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_results_that_cannot_be_written(machine, unbuffered):
    env = {**machine.env, "PYTHONUNBUFFERED": unbuffered}
    for words in (["status", "--json"], ["validate", machine.source()]):
        with Path("/dev/full").open("w") as full:
            done = subprocess.run(machine.argv(*words), env=env, stdout=full, stderr=subprocess.PIPE, text=True)
        assert done.returncode == 12
        assert done.stderr == "error: No space left on device\n  free some space\n"


@pytest.mark.skipif(os.name == "nt" or not shutil.which("bash"), reason="a POSIX shell")
@pytest.mark.parametrize("closed", ["<&- >&- 2>&-", *slow(">&-", "2>&-", "<&-")])
def test_closed_streams(machine, closed):
    source = machine.source()
    for words in (["--version"], ["status"], ["status", "--json"], ["build", source], ["validate", source, "--json"]):
        command = " ".join(machine.argv(*words))
        done = subprocess.run(
            ["bash", "-c", f"{command} {closed}"], env=machine.env, cwd=machine.folder, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert "Error" not in done.stderr
    assert machine.run("verify", "dist/mini-1.0.zip", "--json").json["ok"] is True


@pytest.mark.parametrize("words", [["--json"], []])
def test_an_interrupt_is_said(machine, words):
    source = machine.source(build_commands=["echo started; sleep 600"])
    process = machine.start("build", source, *words)
    log = machine.folder / "dist" / "mini-1.0.build.log"
    machine.wait(lambda: log.exists() and log.read_text().count("started") == 2)
    process.send_signal(2)
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    if words:
        assert json.loads(out)["error"]["exit_code"] == 130
    else:
        assert "interrupted" in err


def test_completion(machine):
    program = Path(sys.executable).with_name("ocrpack")
    if not program.exists():
        pytest.skip("ocrpack is not installed here")

    def complete(words, **env):
        return subprocess.run(
            [program, *words],
            env={**machine.env, **env},
            cwd=machine.folder,
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    script = complete([], _OCRPACK_COMPLETE="source_bash")
    assert "_ocrpack_completion" in script
    assert subprocess.run(["bash", "-n"], input=script, text=True).returncode == 0
    assert "#compdef ocrpack" in complete([], _OCRPACK_COMPLETE="source_zsh")
    assert "complete" in complete([], _OCRPACK_COMPLETE="source_fish")
    found = complete([], _OCRPACK_COMPLETE="complete_bash", COMP_WORDS="ocrpack re", COMP_CWORD="1")
    assert found.split() == ["restart", "remove"]
    found = complete([], _OCRPACK_COMPLETE="complete_bash", COMP_WORDS="ocrpack logs --fol", COMP_CWORD="2")
    assert found.split() == ["--follow"]
    assert "--show-completion" in machine.run("--help").out


def test_names_with_spaces_and_other_scripts(machine):
    source = machine.source(folder="mein Projekt ä 漢字")
    out = machine.folder / "aus gabe é"
    out.mkdir()
    assert machine.run("validate", source, "--json").json["ok"] is True
    built = machine.run("build", source, "-o", out / "mein Bündel.zip", env={"LC_ALL": "C", "PYTHONUTF8": "0"})
    assert built.out.strip().endswith("mein Bündel.zip")
    assert machine.run("verify", out / "mein Bündel.zip", "--json").json["ok"] is True


def test_a_name_that_is_no_unicode(machine):
    """File names are bytes: one that is not UTF-8 is refused or packed, with words, never a traceback."""
    place = os.fsencode(machine.folder) + b"/caf\xe9.zip"
    Path(os.fsdecode(place)).write_bytes(b"no zip")
    for words in (["verify", os.fsdecode(place)], ["verify", os.fsdecode(place), "--json"]):
        done = machine.run(*words, status=11)
        assert "no sound bundle" in done.out + done.err


def test_the_terminal_that_goes_away_does_not_stop_a_build(machine):
    """`ocrpack build 2>&1 | head -1`: prose that nobody reads is dropped, the bundle is made."""
    source = machine.source(build_commands=["sleep 1"])
    command = " ".join(machine.argv("build", source, "-o", machine.folder))
    subprocess.run(["bash", "-c", f"{command} 2>&1 | true"], env=machine.env, cwd=machine.folder, check=True)
    assert (machine.folder / "mini-1.0.zip").exists()


def test_hostile_archives_for_a_person(machine):
    hostile = DATA / "hostile-zips" / "zip-slip.zip"
    if not hostile.exists():
        pytest.skip("the hostile archives are not here")
    failed = machine.run("verify", hostile, status=11)
    assert "error: " in failed.err
    assert failed.out == ""
    assert not Path("/tmp/evil.txt").exists()


@pytest.mark.skipif(os.name == "nt" or not shutil.which("bash"), reason="a POSIX shell")
def test_help_into_a_closed_pipe(machine):
    command = " ".join(machine.argv("--help"))
    done = subprocess.run(
        ["bash", "-c", f"{command} | true"], env=machine.env, cwd=machine.folder, capture_output=True, text=True
    )
    assert done.stderr == ""
