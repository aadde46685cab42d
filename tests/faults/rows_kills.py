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
            fault=f"{number.name} of the deployer",
            phase=phase,
            do=f.signal_command(number),
            exit=exit,
            says=says,
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
            fault=f"deployer killed {words}",
            phase=phase,
            do=f.die_at(event, arguments),
            exit=KILLED,
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
            fault="SIGKILL of the supervisor",
            phase=phase,
            do=f.kill("supervisor"),
            exit=14 if phase in refused else 0,
            says=_NO_SUPERVISOR if phase in (*refused, "drain") else "",
            serves="old" if phase in refused else "new",
            bundle=package(phase),
            state="unsupervised" if phase in {"tag", "prune"} else "running",
        )
        for phase in PHASES
    ]
    idle = Cell(fault="SIGKILL of the supervisor", phase="", do=f.kill("supervisor"), exit=None, state="unsupervised")
    return [*during, idle]


def _processes() -> list[Cell]:
    return [
        Cell(
            fault="SIGKILL of the candidate's master",
            phase="boot",
            do=f.kill("master of candidate"),
            exit=(14, 15),
            says=_ENDED,
        ),
        Cell(
            fault="SIGKILL of the candidate's master",
            phase="gate",
            do=f.kill("master of candidate"),
            exit=(14, 15),
            says=_ENDED,
        ),
        Cell(
            fault="SIGKILL of the candidate's worker",
            phase="boot",
            do=f.kill("worker of candidate"),
            exit=14,
            says=r"worker ended before",
        ),
        Cell(
            fault="SIGKILL of the candidate's worker",
            phase="gate",
            do=f.kill("worker of candidate"),
            exit=15,
            says=r"samples/a\.txt",
        ),
        Cell(
            fault="SIGKILL of the serving master",
            phase="",
            do=f.kill("master of serving"),
            exit=None,
            lost="in flight",
            state="running|restarting",
        ),
        Cell(
            fault="SIGKILL of a serving worker", phase="", do=f.kill("worker of serving"), exit=None, lost="in flight"
        ),
        Cell(fault="SIGKILL of the log writer", phase="", do=f.kill("log writer"), exit=None),
        Cell(
            fault="SIGKILL of the serving master",
            phase="gate",
            do=f.kill("master of serving"),
            exit=0,
            serves="new",
            lost="in flight",
        ),
    ]


def _restart() -> list[Cell]:
    return [
        Cell(
            fault=f"{number.name} of a restart",
            phase=phase,
            do=f.signal_command(number),
            exit=exit,
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
                fault=f"{number.name} of a rollback",
                phase=phase,
                do=f.signal_command(number),
                exit=exit,
                words=words,
                serves="old" if phase in old else "new",
            )
            for number, exit, old in ((signal.SIGINT, 130, BEFORE), (signal.SIGKILL, KILLED, UNPROMOTED))
            for phase in PHASES[3:]
            if phase != "tag"
        ],
        Cell(
            fault="SIGKILL of the supervisor in a rollback",
            phase="gate",
            do=f.kill("supervisor"),
            exit=14,
            says=_NO_SUPERVISOR,
            words=words,
        ),
        Cell(
            fault="deploy during a rollback",
            phase="gate",
            do=f.second_command("deploy", "BUNDLE"),
            exit=16,
            says="is locked by `rollback",
            serves="new",
            words=words,
        ),
        Cell(
            fault="rollback during a deploy",
            phase="gate",
            do=f.second_command("rollback", "mini"),
            exit=16,
            says="is locked by `deploy",
            serves="new",
        ),
        Cell(
            fault="full disk in a rollback",
            phase="promote",
            do=f.full_disk_at(*_STATE),
            exit=12,
            says="(?i)free some space|no space",
            words=words,
            place="disk",
        ),
    ]


CELLS = (*_signals(), *_commit_points(), *_supervisor(), *_processes(), *_restart(), *_rollback())
