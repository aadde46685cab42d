"""Secrets: read from private files alone, stored for later starts, and never half understood."""

from __future__ import annotations

import json
import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ocrpack.deploy.store import secrets_file
from ocrpack.errors import PreflightError


@pytest.fixture
def file(tmp_path):
    def write(text, mode=0o600):
        path = tmp_path / "given.env"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        path.chmod(mode)
        return path

    return write


def _store(path, values):
    secrets_file.stage(path, values)
    secrets_file.commit(path)


@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(
        st.from_regex(r"[A-Za-z_][A-Za-z0-9_]*", fullmatch=True),
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), min_size=1,
    )
)  # fmt: skip
def test_what_is_stored_is_read(tmp_path, values):
    path = tmp_path / "stored.env"
    path.unlink(missing_ok=True)
    _store(path, values)
    assert path.stat().st_mode & 0o777 == 0o600
    assert secrets_file.read(path) == values
    assert secrets_file.load(path, tuple(values)) == values
    assert secrets_file.load(path, ()) == {}


def test_an_older_release_keeps_its_secrets(tmp_path):
    path = tmp_path / "stored.env"
    _store(path, {"OLD": "1", "BOTH": "1"})
    _store(path, {"NEW": "2", "BOTH": "2"})
    assert secrets_file.read(path) == {"OLD": "1", "NEW": "2", "BOTH": "2"}


def test_what_no_variable_can_hold_is_refused(tmp_path):
    path = tmp_path / "given.env"
    path.write_text('TOKEN="a\\u0000b"\n')
    path.chmod(0o600)
    with pytest.raises(PreflightError, match="given"):
        secrets_file.read(path)
    with pytest.raises(PreflightError, match="larger than"):
        secrets_file.gather(("TOKEN",), tmp_path / "none", None, {"TOKEN": "x" * 70_000})


def test_storing_is_private_whatever_the_umask(tmp_path):
    before = os.umask(0)
    try:
        _store(tmp_path / "s", {"A": "1"})
    finally:
        os.umask(before)
    assert (tmp_path / "s").stat().st_mode & 0o777 == 0o600
    _store(tmp_path / "none", {})
    assert not (tmp_path / "none").exists()


def test_plain_lines(file):
    path = file("# a comment\n\nA=1\r\nB = spaced\nC=a=b # no comment\nD=\"quoted \\u00e9\\n\"\nE='single'\nF=\n")
    assert secrets_file.read(path) == {
        "A": "1", "B": " spaced", "C": "a=b # no comment", "D": "quoted é\n", "E": "'single'", "F": "",
    }  # fmt: skip


@pytest.mark.parametrize("line", ["no equals sign", 'A="not closed', 'A="a" b', 'A="bad \\x"'])
def test_a_line_that_is_none_is_named_and_its_value_is_not_shown(file, line):
    with pytest.raises(PreflightError, match=r":2 is not NAME=value") as caught:
        secrets_file.read(file(f"OK=1\n{line}\n"))
    assert line not in str(caught.value)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666, 0o610])
def test_a_file_that_others_may_read(file, mode):
    with pytest.raises(PreflightError, match=f"mode {mode:o}") as caught:
        secrets_file.read(file("A=1", mode))
    assert caught.value.remedy.startswith("chmod 600 ")


def test_files_that_cannot_be_read(file, tmp_path):
    assert secrets_file.read(tmp_path / "nothing") == {}
    for path in (tmp_path, file(b"A=\xff\xfe")):
        with pytest.raises(PreflightError, match="cannot read the secrets"):
            secrets_file.read(path)
    with pytest.raises(PreflightError, match="no such file"):
        secrets_file.gather((), tmp_path / "stored", tmp_path / "nothing", {})


def test_who_wins(file, tmp_path):
    stored = tmp_path / "stored.env"
    _store(stored, dict.fromkeys("ABC", "stored"))
    given_file = file("A=given\nB=given\nZ=unasked\n")
    assert secrets_file.gather(("A", "B", "C"), stored, given_file, {"A": "environment", "PATH": "x"}) == {
        "A": "environment", "B": "given", "C": "stored",
    }  # fmt: skip


def test_all_that_is_missing_is_said_at_once(tmp_path):
    with pytest.raises(PreflightError, match="A, C") as caught:
        secrets_file.gather(("A", "B", "C"), tmp_path / "stored", None, {"B": "s3cr3t"})
    assert [finding.code for finding in caught.value.findings] == ["secret-missing"] * 2
    assert "s3cr3t" not in json.dumps(caught.value.as_dict())
