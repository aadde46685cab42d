"""What is ended at the wrong moment: commands, supervisors, masters, workers, log writers."""

from __future__ import annotations

import signal

from tests.faults import faults as f
from tests.faults import misbehaviour as app
from tests.faults.cell import BEFORE, KILLED, PHASES, UNPROMOTED, Cell, package

_STATE = ("os.mkdir", r"/\.staging-back'")
_NO_SUPERVISOR = r"the supervisor (ended|did not answer)"
_ENDED = r"ended with status -9|did not take the public address|samples/a\.txt"


def _signals() -> list[Cell]:
    kinds = (
        (signal.SIGINT, 130, "interrupted", BEFORE),
        (signal.SIGTERM, 130, "interrupted", BEFORE),
        (signal.SIGKILL, KILLED, "", UNPROMOTED),
    )
    return [
        Cell(
            f"{number.name} of the deployer",
            phase,
            f.signal_command(number),
            exit,
            says,
            serves="old" if phase in old else "new",
            bundle=package(phase),
            then="same",
        )
        for number, exit, says, old in kinds
        for phase in PHASES
    ]


def _commit_points() -> list[Cell]:
    points = (
        ("unpack", "before the release has its name", "os.rename", r"releases/\.staging-", "old", {}),
        ("promote", "before the way back has its name", "os.rename", r"\.staging-back'", "old", {}),
        ("promote", "before state.json has its name", "os.rename", r"/state\.json'", "old", {}),
        ("promote", "between state.json and current", "os.rename", r"/current'", "old", {}),
        ("observe", "before it goes back", "os.rename", r"/undo'", "new", {"misbehaves": app.SICK}),
        ("observe", "while it goes back", "os.rename", r"/undo/state\.json'", "either", {"misbehaves": app.SICK}),
        ("drain", "before the way back is gone", "shutil.rmtree", r"/back'", "new", {}),
        ("drain", "before the release counts as proven", "os.remove", r"/\.unproven-", "new", {}),
    )
    return [
        Cell(
            f"deployer killed {words}",
            phase,
            f.die_at(event, arguments),
            KILLED,
            serves=serves,
            bundle=bundle,
            then="next" if bundle else "same",
        )
        for phase, words, event, arguments, serves, bundle in points
    ]


def _supervisor() -> list[Cell]:
    refused = ("boot", "gate", "promote", "observe")
    during = [
        Cell(
            "SIGKILL of the supervisor",
            phase,
            f.kill("supervisor"),
            14 if phase in refused else 0,
            _NO_SUPERVISOR if phase in (*refused, "drain") else "",
            "old" if phase in refused else "new",
            bundle=package(phase),
            state="unsupervised" if phase in {"tag", "prune"} else "running",
        )
        for phase in PHASES
    ]
    idle = Cell("SIGKILL of the supervisor", "", f.kill("supervisor"), None, state="unsupervised")
    return [*during, idle]


def _processes() -> list[Cell]:
    return [
        Cell("SIGKILL of the candidate's master", "boot", f.kill("master of candidate"), (14, 15), _ENDED),
        Cell("SIGKILL of the candidate's master", "gate", f.kill("master of candidate"), (14, 15), _ENDED),
        Cell("SIGKILL of the candidate's worker", "boot", f.kill("worker of candidate"), 14, r"worker ended before"),
        Cell("SIGKILL of the candidate's worker", "gate", f.kill("worker of candidate"), 15, r"samples/a\.txt"),
        Cell(
            "SIGKILL of the serving master",
            "",
            f.kill("master of serving"),
            None,
            lost="in flight",
            state="running|restarting",
        ),
        Cell("SIGKILL of a serving worker", "", f.kill("worker of serving"), None, lost="in flight"),
        Cell("SIGKILL of the log writer", "", f.kill("log writer"), None),
        Cell("SIGKILL of the serving master", "gate", f.kill("master of serving"), 0, serves="new", lost="in flight"),
    ]


def _restart() -> list[Cell]:
    return [
        Cell(
            f"{number.name} of a restart",
            phase,
            f.signal_command(number),
            exit,
            words=("restart", "mini"),
        )
        for number, exit in ((signal.SIGINT, 130), (signal.SIGKILL, KILLED))
        for phase in ("boot", "gate", "promote", "observe", "drain")
    ]


def _rollback() -> list[Cell]:
    words = ("rollback", "mini")
    return [
        *[
            Cell(
                f"{number.name} of a rollback",
                phase,
                f.signal_command(number),
                exit,
                words=words,
                serves="old" if phase in old else "new",
            )
            for number, exit, old in ((signal.SIGINT, 130, BEFORE), (signal.SIGKILL, KILLED, UNPROMOTED))
            for phase in PHASES[3:]
            if phase != "tag"
        ],
        Cell("SIGKILL of the supervisor in a rollback", "gate", f.kill("supervisor"), 14, _NO_SUPERVISOR, words=words),
        Cell(
            "deploy during a rollback",
            "gate",
            f.second_command("deploy", "BUNDLE"),
            16,
            "is locked by `rollback",
            "new",
            words=words,
        ),
        Cell(
            "rollback during a deploy", "gate", f.second_command("rollback", "mini"), 16, "is locked by `deploy", "new"
        ),
        Cell(
            "full disk in a rollback",
            "promote",
            f.full_disk_at(*_STATE),
            12,
            "(?i)free some space|no space",
            words=words,
            place="disk",
        ),
    ]


CELLS = (*_signals(), *_commit_points(), *_supervisor(), *_processes(), *_restart(), *_rollback())
