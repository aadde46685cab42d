"""Archives from an enemy: refused in one clear line, in bounded time and memory, with nothing written anywhere."""

from __future__ import annotations

import re
import resource
import subprocess
import sys

import pytest

from ocrpack.bundle import Archive
from ocrpack.errors import BundleError
from tests.command_line import limit, run_command
from tests.conftest import DATA, REPOSITORY
from tests.hostile.archives import ARCHIVES
from tests.patience import PATIENCE
from tests.variants import slow

TABLE = REPOSITORY / "docs" / "security.md"
SECONDS, MEMORY = 20, 300 << 20
_BEGIN, _END = "<!-- written by `make security` -->\n", "<!-- end -->"


def refusal(path):
    """Return the words by which a bundle is refused; anything else that happens is a defect."""
    try:
        with Archive(path) as archive:
            findings = archive.check()
    except BundleError as error:
        return error.message
    assert findings, "it was accepted"
    return findings[0].message


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Return the file of an archive, made once."""
    folder = tmp_path_factory.mktemp("hostile")

    def get(name):
        path = folder / f"{list(ARCHIVES).index(name)}.zip"
        if not path.exists():
            path.write_bytes(ARCHIVES[name]())
        return path

    return get


LIMITS = (resource.RLIMIT_CPU, SECONDS), (resource.RLIMIT_DATA, MEMORY)
DEPLOY = ["deploy", "--no-tag"]
"""Reads archives as `verify` does; so most are given to it in the slow tests alone."""
REFUSING = [(name, ["verify"]) for name in ARCHIVES] + [(name, DEPLOY) for name in list(ARCHIVES)[::10]]
REFUSING += slow(*((name, DEPLOY) for name in ARCHIVES if (name, DEPLOY) not in REFUSING))


@pytest.mark.parametrize(("name", "words"), REFUSING, ids=lambda part: part if isinstance(part, str) else part[0])
def test_it_is_refused(machine, made, name, words):
    before = sorted(machine.folder.rglob("*"))
    path = made(name)
    done = machine.run(words[0], path, *words[1:], status=11, timeout=PATIENCE, limits=LIMITS)
    assert "Traceback" not in done.err
    (line,) = [line for line in done.err.splitlines() if line.startswith("error: ")]
    assert len(line) < 600
    assert sorted(machine.folder.rglob("*")) == before
    assert not machine.root.exists()


@pytest.mark.parametrize("name", ["zip-slip.zip", "zip-slip-win.zip"])
def test_archives_that_others_made(machine, name):
    hostile = DATA / "hostile-zips" / name
    if not hostile.exists():
        pytest.skip("the hostile archives are not here")
    for command in (["verify", hostile], ["deploy", hostile, "--no-tag"]):
        failed = machine.run(*command, "--json", status=11).json["error"]
        assert failed["code"] == "bundle"
        assert "unsafe path" in failed["message"]
    assert not machine.root.exists()


def test_the_table_of_refusals(made, request):
    """The table in docs/security.md is what the reader says today; `make security` writes it."""
    rows = [f"| {name} | {_cell(refusal(made(name)), made(name))} |\n" for name in ARCHIVES]
    table = "| archive | refused with |\n|---|---|\n" + "".join(rows)
    text = TABLE.read_text("utf-8")
    head, rest = text.split(_BEGIN)
    whole = head + _BEGIN + table + _END + rest.partition(_END)[2]
    if request.config.getoption("--security", default=False):
        TABLE.write_text(whole, encoding="utf-8")
    assert text == whole or request.config.getoption("--security", default=False), "run `make security`"


def _cell(words, path):
    plain = words.replace(path.name, "x.zip").replace("|", "\\|")
    plain = re.sub(r"(.)\1{60,}", r"\1…", plain)
    return plain if len(plain) < 200 else plain[:200] + "…"


def test_the_limits_bind(machine):
    """A test of refusals under limits is worth nothing if the limits do not hold."""
    code = f"x = bytearray({MEMORY * 2})"
    done = subprocess.run(
        [sys.executable, "-c", code], preexec_fn=lambda: limit(LIMITS), capture_output=True, text=True, check=False
    )
    assert "MemoryError" in done.stderr
    sound = machine.bundle()
    machine.run("verify", sound, limits=LIMITS)
    little = ((resource.RLIMIT_DATA, 1 << 20),)
    done = run_command(["verify", str(sound)], cwd=machine.folder, env=machine.env, timeout=PATIENCE, limits=little)
    assert done.returncode != 0, "the limits reach a command in a fork, too"
