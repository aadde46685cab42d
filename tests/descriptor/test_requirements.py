from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ocrpack.descriptor.requirements import read_requirements, requirement_files, without_credentials
from tests.patience import processor_seconds


def codes(tmp_path, text: str | bytes) -> list[tuple[str, int | None]]:
    (tmp_path / "requirements.txt").write_bytes(text.encode() if isinstance(text, str) else text)
    return [(finding.code, finding.where.line) for finding in read_requirements(tmp_path, "requirements.txt").findings]


def test_what_pip_reads_is_sound(tmp_path):
    text = """\
# a comment
flask>=3.1   # why
torch==2.4.0+cu121 ; sys_platform == "linux"
requests [socks] >= 2, < 3
uvicorn[standard]>=0.30 \\
    --hash=sha256:00 \\
    --hash=sha256:11
numpy==2.0.* --no-binary numpy
--index-url https://example.org/simple
--extra-index-url=https://example.org/simple
-i https://example.org
-f wheels
--pre
git+https://example.org/x.git@main#egg=x
https://example.org/x-1.0-py3-none-any.whl
x @ https://example.org/x-1.0-py3-none-any.whl
-r https://example.org/more.txt
private==${VERSION}
"""
    assert codes(tmp_path, text) == []
    assert codes(tmp_path, "\ufeff" + text.replace("\n", "\r\n")) == []
    assert codes(tmp_path, "") == []


@pytest.mark.parametrize(
    ("line", "remedy"),
    [
        ("flask=3.0", "write flask==3.0"),
        ("flask 3.0", "write flask==3.0"),
        ("flask[async]=3", "write flask[async]==3"),
        ("flask==", "write a requirement"),
        ("flask; python", "write a requirement"),
        ("===", "write a requirement"),
        ("a; " + "(" * 4000, "write a requirement"),
        ("x" * 10_000, "write a requirement"),
        ("x==" + "9" * 5000, "write a requirement"),
    ],
)
def test_what_is_no_requirement(tmp_path, line, remedy):
    (tmp_path / "requirements.txt").write_text(f"ok\n{line}\n")
    [finding] = read_requirements(tmp_path, "requirements.txt").findings
    assert (finding.code, finding.where.line) == ("bad-requirement", 2)
    assert finding.remedy.startswith(remedy)
    assert len(finding.message) < 400


def test_a_continued_line_stands_where_it_begins(tmp_path):
    assert codes(tmp_path, "a\nb \\\n  = \\\n 1\nc\nd=1\n") == [("bad-requirement", 2), ("bad-requirement", 6)]


@pytest.mark.parametrize(
    "line", ["-e .", "--editable ./x", "./x.whl", "../x", "wheels/x-1.whl", "x-1-py3-none-any.whl"]
)
def test_what_the_target_does_not_have_is_a_warning(tmp_path, line):
    (tmp_path / "requirements.txt").write_text(line)
    [finding] = read_requirements(tmp_path, "requirements.txt").findings
    assert (finding.code, finding.severity) == ("local-requirement", "warning")


def test_includes_are_followed(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "base.txt").write_text("-c pins.txt\n-r ../requirements.txt\nbad=1\n")
    (tmp_path / "sub" / "pins.txt").write_text("numpy=1\n")
    (tmp_path / "requirements.txt").write_text(
        "--requirement=sub/base.txt\n-rsub/base.txt\n--constraint 'sub/pins.txt'\n"
    )
    result = read_requirements(tmp_path, "requirements.txt")
    assert sorted(result.files) == ["requirements.txt", "sub/base.txt", "sub/pins.txt"]
    assert sorted((finding.where.file, finding.where.line) for finding in result.findings) == [
        (str(tmp_path / "sub" / "base.txt"), 3),
        (str(tmp_path / "sub" / "pins.txt"), 1),
    ]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("-r none.txt", "include-missing"),
        ("-c none.txt", "include-missing"),
        ("-r .", "include-missing"),
        ("-r a\0b", "include-missing"),
        ("-r ../up.txt", "include-leaves-folder"),
        ("-r /etc/hosts", "include-leaves-folder"),
    ],
)
def test_includes_that_are_not_there(tmp_path, line, code):
    assert codes(tmp_path, f"a\n{line}\n") == [(code, 2)]


@pytest.mark.parametrize("data", [b"\xe4\n", b"x\n" * 600_000])
def test_what_is_no_text_file(tmp_path, data):
    assert codes(tmp_path, data) == [("requirements-unreadable", None)]


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.text(alphabet="ab-rc=<>;[]()'\"\\ \n./@:#${}1,!~\0é", max_size=40))
def test_any_text_is_read(tmp_path, text):
    codes(tmp_path, text)


def test_long_files_are_read_in_bounded_time(tmp_path):
    with processor_seconds(5):
        assert codes(tmp_path, "a" + " " * 500_000 + "x\n" + "\\\n" * 200_000)


def test_all_files_of_the_requirements_are_listed(tmp_path):
    (tmp_path / "requirements.txt").write_text("-r more.txt\n")
    (tmp_path / "more.txt").write_text("flask\n")
    assert sorted(requirement_files(tmp_path, "requirements.txt")) == ["more.txt", "requirements.txt"]


@pytest.mark.parametrize(
    ("address", "kept"),
    [
        ("https://ada:hunter2@host/simple", "https://host/simple"),
        ("https://ghp_token@host/x", "https://host/x"),
        ("https://ada:p@ss@host/x", "https://host/x"),
        ("https://ada:pa/ss@host/x", "https://host/x"),
        ("https://${USER}:hunter2@host/x", "https://host/x"),
        ("https://ada:${TOKEN}@host/x", "https://ada:${TOKEN}@host/x"),
        ("https://${TOKEN}@host/x", "https://${TOKEN}@host/x"),
        ("git+ssh://git@host/x.git@v1", "git+ssh://git@host/x.git@v1"),
        ("git+ssh://git:pw@host/x.git", "git+ssh://git@host/x.git"),
        ("git+https://host/x.git@main", "git+https://host/x.git@main"),
        ("git+https://bob:tok@host/x.git@main", "git+https://host/x.git@main"),
        ("http://127.0.0.1:8080/a@b", "http://127.0.0.1:8080/a@b"),
        ("http://[::1]:8080/a@b", "http://[::1]:8080/a@b"),
    ],
)
def test_credentials_are_taken_out(address, kept):
    assert without_credentials(f"--index-url {address} # x") == f"--index-url {kept} # x"
    assert "${" not in without_credentials(address, variables=False)
