"""What is wrong with the machine, with what lies on it, and with what else goes on there."""

from __future__ import annotations

import sys

from tests.faults import faults as f
from tests.faults import misbehaviour as app
from tests.faults.cell import Cell, package

_STATE = ("os.mkdir", r"/\.staging-back'")
_DAY_S = 24 * 3600


def _machine() -> list[Cell]:
    space = r"(?i)free some space|no space left"
    full = [
        Cell(fault="full disk", phase="unpack", do=f.full_disk_at(), exit=12, says=space, place="disk", then="same"),
        Cell(
            fault="full disk",
            phase="environment",
            do=f.full_disk_at(),
            exit=(12, 13),
            says=space,
            place="disk",
            bundle=package("environment"),
            then="same",
        ),
        Cell(
            fault="full disk (journal)",
            phase="boot",
            do=f.full_disk_at(),
            exit=12,
            says=space,
            place="disk",
            then="same",
        ),
        Cell(
            fault="full disk (state)",
            phase="promote",
            do=f.full_disk_at(*_STATE),
            exit=12,
            says=space,
            place="disk",
            then="same",
        ),
        Cell(
            fault="full disk (tag)",
            phase="drain",
            do=f.full_disk_at(),
            exit=0,
            says="git could not tag|warning",
            serves="new",
            place="disk",
            then="same",
        ),
    ]
    return [
        *full,
        Cell(
            fault="read-only root",
            phase="preflight",
            do=f.read_only,
            exit=12,
            says=r"(?i)read-only|cannot be written",
            place="disk",
            then="same",
        ),
        Cell(
            fault="too little memory",
            phase="preflight",
            do=f.run(),
            exit=12,
            says=r"MiB of memory free, 99999999 MiB needed",
            bundle={"resources": {"memory_mb": 99_999_999}},
        ),
        Cell(
            fault="port taken",
            phase="preflight",
            do=f.port_taken,
            exit=12,
            says=r"port \d+ on 127\.0\.0\.1 is taken by pid \d+",
            place="first",
            serving=False,
            then="same",
        ),
        Cell(
            fault="pid of another process",
            phase="",
            do=f.reboot(lambda it, pid: {**it, "pid": pid}),
            exit=0,
            serving=False,
        ),
        Cell(
            fault="pid and start of another boot",
            phase="",
            do=f.reboot(lambda it, pid: {**it, "pid": pid, "boot": "another"}),
            exit=0,
            serving=False,
        ),
        Cell(
            fault="clock forwards by 3 days", phase="gate", do=f.clock(3 * _DAY_S), exit=0, serves="new", place="clock"
        ),
        Cell(fault="clock back by 3 days", phase="gate", do=f.clock(-3 * _DAY_S), exit=0, serves="new", place="clock"),
    ]


def _commands() -> list[Cell]:
    return [
        Cell(
            fault="two deploys at once",
            phase="gate",
            do=f.second_command("deploy", "BUNDLE"),
            exit=16,
            says="is locked by `deploy",
            serves="new",
        ),
        Cell(
            fault="restart during a deploy",
            phase="gate",
            do=f.second_command("restart", "mini"),
            exit=16,
            says="is locked by `deploy",
            serves="new",
        ),
        Cell(
            fault="a deploy that waits for another",
            phase="gate",
            do=f.second_command("deploy", "BUNDLE", "--lock-wait", "60"),
            exit=0,
            serves="new",
        ),
        Cell(fault="same version, same content", phase="preflight", do=f.same_version(""), exit=0, serves="new"),
        Cell(
            fault="same version, other content",
            phase="preflight",
            do=f.same_version("another"),
            exit=17,
            says="with other content",
            serves="new",
        ),
        Cell(
            fault="tag on another bundle",
            phase="preflight",
            do=f.tag_taken,
            exit=17,
            says=r"the tag mini/v\S+ in .* marks",
            then="same",
        ),
        Cell(fault="ledger locked", phase="tag", do=f.ledger_locked, exit=0, says=r"git could not tag", serves="new"),
        Cell(fault="journal cut in mid-line", phase="preflight", do=f.cut_journal, exit=0, serves="new"),
        Cell(
            fault="secret of a deploy that was killed",
            phase="drain",
            do=f.secret_kept,
            exit=0,
            serves="new",
            bundle=app.SECRET,
        ),
        *[
            Cell(
                fault=f"state.json {words}",
                phase="preflight",
                do=f.damaged_state(change),
                exit=12,
                says=r"state\.json (is damaged|was written by a newer)",
                then="same",
            )
            for words, change in (
                ("empty", lambda text: ""),
                ("cut short", lambda text: text[: len(text) // 2]),
                ("of a newer ocrpack", lambda text: text.replace('"state_version": 1', '"state_version": 99')),
            )
        ],
    ]


def _hooks() -> list[Cell]:
    hang = {"hooks": {"pre_deploy": ["sleep 600"], "seconds": 1}}
    own = f"{sys.executable} -m ocrpack restart mini --lock-wait 60"
    return [
        Cell(
            fault="hook that fails",
            phase="pre_deploy",
            do=f.hook("pre_deploy", "echo no licence today; exit 3"),
            exit=12,
            says="no licence today",
        ),
        Cell(
            fault="hook that hangs",
            phase="pre_deploy",
            do=f.run(),
            exit=12,
            says=r"did not end within 1 s",
            bundle=hang,
        ),
        Cell(
            fault="hook that waits for its own deploy",
            phase="pre_deploy",
            do=f.hook("pre_deploy", own),
            exit=12,
            says="a hook may read",
        ),
        Cell(
            fault="hook that fails",
            phase="post_deploy",
            do=f.hook("post_deploy", "echo nobody home; exit 3"),
            exit=0,
            says="nobody home",
            serves="new",
        ),
        Cell(
            fault="hook that fails",
            phase="on_failure",
            do=f.hook("on_failure", "exit 3"),
            exit=15,
            says="HELLO WORM",
            bundle={"misbehaves": app.WRONG},
        ),
    ]


CELLS = (*_machine(), *_commands(), *_hooks())
