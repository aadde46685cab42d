"""What is wrong with the bundle and with the app in it."""

from __future__ import annotations

from tests.faults import faults as f
from tests.faults import misbehaviour as app
from tests.faults.cell import Cell
from tests.faults.index import BROKEN_PACKAGE


def _flip_sample(data: bytes) -> bytes:
    place = data.index(b"HELLO WORLD")
    return data[:place] + b"J" + data[place + 1 :]


def _bundles() -> list[Cell]:
    wrong = {"misbehaves": app.WRONG}
    sick = {"misbehaves": app.SICK}
    return [
        Cell(
            fault="bundle cut short",
            phase="preflight",
            do=f.altered(lambda data: data[: len(data) // 2]),
            exit=11,
            says="corrupt|zip",
            then="same",
        ),
        Cell(
            fault="bundle with a changed byte",
            phase="unpack",
            do=f.altered(_flip_sample),
            exit=11,
            says="corrupt",
            then="same",
        ),
        Cell(
            fault="requirement that cannot be met",
            phase="environment",
            do=f.run(),
            exit=13,
            says="no-such-package-as-this-one",
            bundle={"pins": f"no-such-package-as-this-one==99.99 --hash=sha256:{'0' * 64}\n"},
        ),
        Cell(
            fault="download that breaks off",
            phase="environment",
            do=f.run(),
            exit=13,
            says="half.a.package",
            bundle={"pins": f"{BROKEN_PACKAGE} --hash=sha256:{'0' * 64}\n"},
        ),
        Cell(
            fault="import that nothing brings",
            phase="environment",
            do=f.run(),
            exit=13,
            says="nosuch",
            bundle={"at_import": "import nosuch\n"},
        ),
        Cell(
            fault="syntax error at import",
            phase="boot",
            do=f.run(),
            exit=14,
            says="SyntaxError",
            bundle={"at_import": "exec('def app(:')\n"},
        ),
        Cell(
            fault="import error at import",
            phase="boot",
            do=f.run(),
            exit=14,
            says="No module named 'nosuch'",
            bundle={"at_import": "__import__('nosuch')\n"},
        ),
        Cell(
            fault="import that hangs",
            phase="boot",
            do=f.run(),
            exit=14,
            says=r"not ready within 1\.5 s",
            bundle={"at_import": "time.sleep(600)\n", "app_options": {"boot_seconds": 1.5}},
        ),
        Cell(
            fault="slow boot within the deadline",
            phase="boot",
            do=f.run(),
            exit=0,
            serves="new",
            bundle={"at_import": "time.sleep(2)\n"},
        ),
        Cell(
            fault="boot that forks and exits",
            phase="boot",
            do=f.run(),
            exit=14,
            says=r"ended with status",
            bundle={"at_import": "if os.fork():\n    os._exit(0)\ntime.sleep(600)\n"},
        ),
        Cell(fault="500 on health", phase="observe", do=f.run(), exit=14, says=r"/healthz answered 500", bundle=sick),
        Cell(fault="wrong text with 200", phase="gate", do=f.run(), exit=15, says=r"HELLO WORM", bundle=wrong),
        Cell(
            fault="right text the first time only",
            phase="gate",
            do=f.run(),
            exit=15,
            says=r"HELLO WORM",
            bundle={"misbehaves": app.RIGHT_ONCE},
        ),
        Cell(
            fault="crash at the promotion",
            phase="promote",
            do=f.run(),
            exit=14,
            says=r"did not take the public address|after its promotion",
            lost="in flight",
            bundle={"at_import": app.CRASH},
        ),
        Cell(
            fault="old release ignores SIGTERM",
            phase="drain",
            do=f.run(),
            exit=0,
            says="by force",
            serves="new",
            lost="in flight",
            base={"at_import": "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"},
        ),
    ]


def _observation() -> list[Cell]:
    watched = ("deploy", "--observe", "4")
    return [
        Cell(
            fault="crash of the new release",
            phase="observe",
            do=f.run(),
            exit=14,
            says="after its promotion: the app ended",
            lost="in flight",
            words=watched,
            bundle={"at_import": app.CRASH_LATER},
        ),
        Cell(
            fault="500 on health after a second",
            phase="observe",
            do=f.run(),
            exit=14,
            says="answered 500",
            words=watched,
            bundle={"misbehaves": app.SICK_LATER},
        ),
        Cell(
            fault="wrong text once it is promoted",
            phase="observe",
            do=f.run(),
            exit=15,
            says=r"after its promotion",
            bundle={"misbehaves": app.WRONG_LATER},
        ),
        Cell(
            fault="worse text than before",
            phase="gate",
            do=f.run(),
            exit=15,
            says="(?i)worse|regress|higher",
            words=("deploy", "--max-regression", "0.05"),
            bundle={
                "misbehaves": app.WRONG,
                "samples": [{"image": "samples/a.txt", "text": "HELLO WORLD", "max_cer": 0.5}],
            },
        ),
        Cell(
            fault="wrong text, the old one stopped first",
            phase="gate",
            do=f.run(),
            exit=15,
            says="HELLO WORM",
            words=("deploy", "--stop-first"),
            bundle={"misbehaves": app.WRONG},
            serving=False,
        ),
        Cell(
            fault="memory leak, 100 requests a worker",
            phase="",
            do=f.replaced_workers,
            exit=0,
            serves="new",
            bundle={"app_options": {"max_requests": 100}},
        ),
    ]


CELLS = (*_bundles(), *_observation())
