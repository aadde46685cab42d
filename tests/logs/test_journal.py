"""The deployment log: written whole, read whatever a crash left of it."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import threading
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ocrpack import logs
from ocrpack.logs import Event, Journal, Query, parse_instance_line, parse_journal_line, rotation
from tests.conftest import REPOSITORY
from tests.patience import PATIENCE, eventually

TEXT = st.text(st.characters(), max_size=40)
JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5), lambda v: st.lists(v, max_size=3))


def _read(path, parse=parse_journal_line):
    return list(logs.read(path, parse))


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(TEXT, st.sampled_from(logs.LEVELS), st.none() | st.floats(0, 1e9),
                  st.dictionaries(st.text(max_size=3), JSON)),
        max_size=5,
    )
)  # fmt: skip
def test_what_is_written_is_read(tmp_path, notes):
    path = tmp_path / "deploy.jsonl"
    path.unlink(missing_ok=True)
    heard = []
    log = Journal(path, "d1", heard.append)
    for message, level, seconds, data in notes:
        log.write("note", message, phase="boot", level=level, seconds=seconds, release="r", data=data)
    path.touch()
    found = _read(path)
    assert found == heard
    assert [(event.message, event.level, event.seconds, event.data) for event in found] == [
        (message, level, seconds, {"data": data}) for message, level, seconds, data in notes
    ]
    assert path.read_bytes().count(b"\n") == len(notes)


def test_half_a_surrogate_survives(tmp_path):
    Journal(tmp_path / "x", "d").write("note", "file \udcff name")
    (event,) = _read(tmp_path / "x")
    assert event.message == "file \udcff name"


def test_a_phase_is_framed(tmp_path):
    log = Journal(tmp_path / "x", "d")
    with log.phase("boot"):
        log.write("note", "inside", phase="boot")
    with pytest.raises(KeyError), log.phase("gate"):
        raise KeyError("why")
    with pytest.raises(KeyboardInterrupt), log.phase("drain"):
        raise KeyboardInterrupt
    shown = [(event.phase, event.event, event.level) for event in _read(tmp_path / "x")]
    assert shown == [
        ("boot", "start", "info"), ("boot", "note", "info"), ("boot", "done", "info"), ("gate", "start", "info"),
        ("gate", "failed", "error"), ("drain", "start", "info"), ("drain", "failed", "error"),
    ]  # fmt: skip
    assert [event.message for event in _read(tmp_path / "x") if event.event == "failed"] == [
        "'why'",
        "KeyboardInterrupt",
    ]
    assert all(event.seconds is not None for event in _read(tmp_path / "x") if event.event in {"done", "failed"})


def test_events_before_the_file_is_known_are_kept(tmp_path):
    log = Journal(None, "d")
    log.write("begin")
    log.write("note", "early")
    assert not list(tmp_path.iterdir())
    log.keep_in(tmp_path / "x")
    log.keep_in(tmp_path / "other")
    log.write("end")
    assert [event.event for event in _read(tmp_path / "x")] == ["begin", "note", "end"]
    assert [file.name for file in tmp_path.iterdir()] == ["x"]


def test_a_line_cut_at_any_length_is_read_to_the_end(tmp_path):
    path = tmp_path / "x"
    log = Journal(path, "d")
    log.write("note", "first")
    log.write("note", "sécond " + "y" * 20)
    whole = path.read_bytes()
    begin = whole.index(b"\n") + 1
    for length in range(begin + 1, len(whole) - 1):
        path.write_bytes(whole[:length])
        first, cut = _read(path)
        assert (first.message, cut.event, cut.level) == ("first", "cut", "warning")
        assert cut.time >= first.time
        Journal(path, "d").write("note", "after")
        first, cut, after = _read(path)
        assert (first.message, cut.event, after.message) == ("first", "cut", "after")
    path.write_bytes(whole[:-1])
    Journal(path, "d").write("note", "after")
    assert [event.message for event in _read(path)][2] == "after", "only the line's end was missing"


@pytest.mark.parametrize(
    "line",
    [
        b"\xff\xfe\0\0garbage", b"null", b"5", b"[]", b'"text"', b"{}", b'{"time":5}',
        b'{"time":"2026-01-01T00:00:00.000Z","level":"loud"}',
        b'{"time":"2026-01-01T00:00:00.000Z","level":[]}', b'{"time":"2026-01-01T00:00:00.000Z","message":null}',
        b'{"time":"2026-01-01T00:00:00.000Z","data":[]}', b'{"time":"2026-01-01T00:00:00.000Z","seconds":"x"}',
        b'{"time":"2026-01-01T00:00:00.000Z","unknown":1}', b"[" * 100_000, b"\0" * 5000,
    ],
    ids=lambda line: ascii(line[:50]),
)  # fmt: skip
def test_garbage_between_lines(tmp_path, line):
    path = tmp_path / "x"
    log = Journal(path, "d")
    log.write("note", "before")
    logs.append(path, line + b"\n")
    log.write("note", "after")
    query = Query(level="info", grep=".", phase="")
    found = list(logs.merged([(path, parse_journal_line)], query))
    messages = [event.message for event in found]
    assert messages[0] == "before" or messages[-1] == "before", "an old time sorts first"
    assert "after" in messages
    for event in found:
        json.dumps(event.as_dict())


@given(st.binary(max_size=200))
def test_no_bytes_stop_the_reader(data):
    for parse in (parse_journal_line, parse_instance_line):
        event = parse(data.decode("utf-8", "replace"))
        assert event is None or Query(level="warning", grep="x", phase="p").admits(event) in {True, False}


def test_separators_inside_a_message_do_not_split_the_line(tmp_path):
    odd = "a\u2028b\u2029c\x0bd\x0ce\x1cf\x85g\rh\ni"
    path = tmp_path / "x"
    path.touch()
    _, coming = logs.follow([(path, parse_journal_line)], Query(), 0.01)
    Journal(path, "d").write("note", odd)
    assert [event.message for event in _read(path)] == [odd]
    assert next(coming).message == odd
    coming.close()


def _instance(path, *lines):
    with path.open("a", encoding="utf-8") as file:
        for moment, text in lines:
            file.write(f"2026-01-01T00:00:{moment:06.3f}Z r1 {text}\n")


def _deploys(path, *moments):
    for moment in moments:
        event = Event(f"2026-01-01T00:00:{moment:06.3f}Z", "d", "boot", message=f"deploy {moment:g}")
        logs.append(path, json.dumps(event.as_dict()).encode() + b"\n")


@pytest.fixture
def both(tmp_path):
    deploy, instance = tmp_path / "deploy.jsonl", tmp_path / "instance.log"
    _deploys(deploy, 1, 3, 5)
    _instance(instance, (2, "INFO two"), (3.5, "Traceback (most recent"), (4, "ERROR four"), (6, "six"))
    return [(deploy, parse_journal_line), (instance, parse_instance_line)]


def test_logs_are_merged_by_time(both):
    assert [event.message for event in logs.merged(both, Query())] == [
        "deploy 1", "INFO two", "deploy 3", "Traceback (most recent", "ERROR four", "deploy 5", "six",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"since": "2026-01-01T00:00:04.000Z"}, ["ERROR four", "deploy 5", "six"]),
        ({"until": "2026-01-01T00:00:02.000Z"}, ["deploy 1", "INFO two"]),
        ({"since": "2026-01-01T00:00:02.000Z", "until": "2026-01-01T00:00:03.000Z"}, ["INFO two", "deploy 3"]),
        ({"level": "error"}, ["Traceback (most recent", "ERROR four"]),
        ({"phase": "boot"}, ["deploy 1", "deploy 3", "deploy 5"]),
        ({"phase": "gate"}, []),
        ({"grep": "f.ur|six$"}, ["ERROR four", "six"]),
        ({"grep": "deploy", "since": "2026-01-01T00:00:02.000Z", "level": "info"}, ["deploy 3", "deploy 5"]),
    ],
)
def test_queries(both, query, expected):
    assert [event.message for event in logs.merged(both, Query(**query))] == expected


def test_rotated_logs_are_read_oldest_first(tmp_path):
    path = tmp_path / "instance.log"
    for number, name in enumerate(["instance.log.10", "instance.log.2", "instance.log.1", "instance.log"], 1):
        _instance(tmp_path / name, (number, f"line {number}"))
    for other in (
        "instance.log.gz",
        "instance.log.old",
        "instance.log.1.gz",
        "instance.log.",
        "instance.log.-1",
        "instance.lock",
    ):
        (tmp_path / other).write_bytes(b"\x1f\x8b\0")
    assert [event.message for event in _read(path, parse_instance_line)] == [f"line {n}" for n in range(1, 5)]
    path.unlink()
    assert len(_read(path, parse_instance_line)) == 3
    assert _read(tmp_path / "nothing", parse_instance_line) == []


def test_a_line_without_a_time_takes_the_time_before_it(tmp_path):
    path = tmp_path / "instance.log"
    _instance(path, (1, "first"))
    with path.open("a") as file:
        file.write("  File x.py, line 1\n\n")
    first, second = _read(path, parse_instance_line)
    assert (second.message, second.time) == ("  File x.py, line 1", first.time)


class _Following:
    """Reads what `follow` yields in a thread."""

    def __init__(self, both, query=None):
        self.seen = []
        _, events = logs.follow(both, query or Query(), 0.01)
        threading.Thread(target=lambda: [self.seen.append(event.message) for event in events], daemon=True).start()

    def wait(self, *messages):
        eventually(lambda: len(self.seen) >= len(messages))
        assert self.seen == list(messages)


def test_following_begins_now_and_filters(both):
    following = _Following(both, Query(grep="new"))
    _instance(both[1][0], (7, "new one"), (8, "other"))
    _deploys(both[0][0], 9)
    _instance(both[1][0], (9, "new two"))
    following.wait("new one", "new two")


def test_following_starts_when_it_is_asked_for(both):
    _, events = logs.follow(both, Query(), 0.01)
    _instance(both[1][0], (7, "written before the first is read"))
    assert next(events).message == "written before the first is read"
    events.close()


@pytest.mark.parametrize("rotated", [False, True])
def test_what_is_written_while_the_past_is_read_comes_once(both, rotated):
    path = both[1][0]
    past, coming = logs.follow(both, Query(), 0.01)
    _instance(path, (7, "before"))
    if rotated:
        path.rename(path.with_name("instance.log.1"))
    _instance(path, (8, "after"))
    assert [event.message for event in past] == [
        "deploy 1", "INFO two", "deploy 3", "Traceback (most recent", "ERROR four", "deploy 5", "six",
    ]  # fmt: skip
    assert [next(coming).message for _ in range(2)] == ["before", "after"]
    coming.close()


def test_following_goes_on_through_rotations(tmp_path):
    """What was written to the old file just before a rotation is not lost, and nothing comes twice."""
    path = tmp_path / "instance.log"
    _instance(path, (0, "old"))
    following = _Following([(path, parse_instance_line)])
    expected = []
    for number in range(1, 6):
        _instance(path, (number, f"{number} before"))
        path.rename(tmp_path / f"instance.log.{6 - number}")
        expected.append(f"{number} before")
        if number % 2:
            time.sleep(0.05)
        _instance(path, (number, f"{number} after"))
        expected.append(f"{number} after")
        following.wait(*expected)


def test_following_a_log_that_comes_later(both, tmp_path):
    late = tmp_path / "late.log"
    following = _Following([(tmp_path / "never.jsonl", parse_journal_line), *both, (late, parse_instance_line)])
    _instance(both[1][0], (7, "seven"))
    following.wait("seven")
    time.sleep(0.1)
    _instance(late, (8, "late"))
    following.wait("seven", "late")


def test_following_waits_for_the_end_of_a_line(tmp_path):
    path = tmp_path / "instance.log"
    path.touch()
    following = _Following([(path, parse_instance_line)])
    with path.open("ab", buffering=0) as file:
        for part in (b"2026-01-01T00:00:00.000Z r1 h", "älf".encode()[:2], "älf".encode()[2:], b" and half\nnext"):
            file.write(part)
            time.sleep(0.05)
    following.wait("hälf and half")


WRITER = """
import sys, threading
from pathlib import Path
from ocrpack import logs
log = logs.Journal(Path(sys.argv[1]), sys.argv[2])
for n in range(300):
    log.write("note", f"{sys.argv[2]} {n} " + "x" * 3000)
"""


def test_several_writers_at_once_write_whole_lines(tmp_path):
    path = tmp_path / "deploy.jsonl"
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, path, f"w{n}"], cwd=REPOSITORY) for n in range(3)]
    assert [writer.wait(PATIENCE) for writer in writers] == [0, 0, 0]
    events = _read(path)
    assert {event.event for event in events} == {"note"}
    for n in range(3):
        assert [int(event.message.split()[1]) for event in events if event.deploy == f"w{n}"] == list(range(300))


def test_moments_sort_as_text():
    moments = [logs.timestamp(seconds) for seconds in (0, 0.001, 1, 59.9999, 60, 1e9, 4e9)]
    assert moments == sorted(moments)
    assert moments[0] == "1970-01-01T00:00:00.000Z"
    assert {len(moment) for moment in [*moments, logs.timestamp()]} == {24}
    ids = [logs.new_deploy_id() for _ in range(5)]
    assert len(set(ids)) == 5
    assert all(a[:16] <= b[:16] for a, b in itertools.pairwise(ids))


def test_the_log_is_not_for_everyone(tmp_path):
    Journal(tmp_path / "x", "d").write("note")
    assert (tmp_path / "x").stat().st_mode & 0o027 & ~os.umask(os.umask(0o022)) == 0
    assert (tmp_path / "x").stat().st_mode & 0o007 == 0


def test_the_journal_is_rotated_and_read_across(tmp_path, monkeypatch):
    monkeypatch.setattr(rotation, "MAX_BYTES", 2000)
    path = tmp_path / "deploy.jsonl"
    written = Journal(path, "d")
    for number in range(40):
        written.write("note", f"line {number}")
    assert len(list(tmp_path.glob("deploy.jsonl.[0-9]"))) >= 2
    assert all(file.stat().st_size <= 2000 for file in tmp_path.glob("deploy.jsonl*"))
    kept = [event.message for event in logs.read(path, logs.parse_journal_line)]
    assert kept == [f"line {number}" for number in range(40 - len(kept), 40)]
