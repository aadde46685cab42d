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
        Cell("full disk", "unpack", f.full_disk_at(), 12, space, place="disk", then="same"),
        Cell(
            "full disk",
            "environment",
            f.full_disk_at(),
            (12, 13),
            space,
            place="disk",
            bundle=package("environment"),
            then="same",
        ),
        Cell("full disk (journal)", "boot", f.full_disk_at(), 12, space, place="disk", then="same"),
        Cell("full disk (state)", "promote", f.full_disk_at(*_STATE), 12, space, place="disk", then="same"),
        Cell(
            "full disk (tag)",
            "drain",
            f.full_disk_at(),
            0,
            "git could not tag|warning",
            serves="new",
            place="disk",
            then="same",
        ),
    ]
    return [
        *full,
        Cell(
            "read-only root",
            "preflight",
            f.read_only,
            12,
            r"(?i)read-only|cannot be written",
            place="disk",
            then="same",
        ),
        Cell(
            "too little memory",
            "preflight",
            f.run(),
            12,
            r"MiB of memory free, 99999999 MiB needed",
            bundle={"resources": {"memory_mb": 99_999_999}},
        ),
        Cell(
            "port taken",
            "preflight",
            f.port_taken,
            12,
            r"port \d+ on 127\.0\.0\.1 is taken by pid \d+",
            place="first",
            serving=False,
            then="same",
        ),
        Cell("pid of another process", "", f.reboot(lambda it, pid: {**it, "pid": pid}), 0, serving=False),
        Cell(
            "pid and start of another boot",
            "",
            f.reboot(lambda it, pid: {**it, "pid": pid, "boot": "another"}),
            0,
            serving=False,
        ),
        Cell("clock forwards by 3 days", "gate", f.clock(3 * _DAY_S), 0, serves="new", place="clock"),
        Cell("clock back by 3 days", "gate", f.clock(-3 * _DAY_S), 0, serves="new", place="clock"),
    ]


def _commands() -> list[Cell]:
    return [
        Cell("two deploys at once", "gate", f.second_command("deploy", "BUNDLE"), 16, "is locked by `deploy", "new"),
        Cell("restart during a deploy", "gate", f.second_command("restart", "mini"), 16, "is locked by `deploy", "new"),
        Cell(
            "a deploy that waits for another",
            "gate",
            f.second_command("deploy", "BUNDLE", "--lock-wait", "60"),
            0,
            serves="new",
        ),
        Cell("same version, same content", "preflight", f.same_version(""), 0, serves="new"),
        Cell("same version, other content", "preflight", f.same_version("another"), 17, "with other content", "new"),
        Cell("tag on another bundle", "preflight", f.tag_taken, 17, r"the tag mini/v\S+ in .* marks", then="same"),
        Cell("ledger locked", "tag", f.ledger_locked, 0, r"git could not tag", "new"),
        Cell("journal cut in mid-line", "preflight", f.cut_journal, 0, serves="new"),
        Cell("secret of a deploy that was killed", "drain", f.secret_kept, 0, serves="new", bundle=app.SECRET),
        *[
            Cell(
                f"state.json {words}",
                "preflight",
                f.damaged_state(change),
                12,
                r"state\.json (is damaged|was written by a newer)",
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
            "hook that fails",
            "pre_deploy",
            f.hook("pre_deploy", "echo no licence today; exit 3"),
            12,
            "no licence today",
        ),
        Cell("hook that hangs", "pre_deploy", f.run(), 12, r"did not end within 1 s", bundle=hang),
        Cell("hook that waits for its own deploy", "pre_deploy", f.hook("pre_deploy", own), 12, "a hook may read"),
        Cell(
            "hook that fails", "post_deploy", f.hook("post_deploy", "echo nobody home; exit 3"), 0, "nobody home", "new"
        ),
        Cell(
            "hook that fails",
            "on_failure",
            f.hook("on_failure", "exit 3"),
            15,
            "HELLO WORM",
            bundle={"misbehaves": app.WRONG},
        ),
    ]


CELLS = (*_machine(), *_commands(), *_hooks())
