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
            "bundle cut short",
            "preflight",
            f.altered(lambda data: data[: len(data) // 2]),
            11,
            "corrupt|zip",
            then="same",
        ),
        Cell("bundle with a changed byte", "unpack", f.altered(_flip_sample), 11, "corrupt", then="same"),
        Cell(
            "requirement that cannot be met",
            "environment",
            f.run(),
            13,
            "no-such-package-as-this-one",
            bundle={"pins": f"no-such-package-as-this-one==99.99 --hash=sha256:{'0' * 64}\n"},
        ),
        Cell(
            "download that breaks off",
            "environment",
            f.run(),
            13,
            "half.a.package",
            bundle={"pins": f"{BROKEN_PACKAGE} --hash=sha256:{'0' * 64}\n"},
        ),
        Cell(
            "import that nothing brings", "environment", f.run(), 13, "nosuch", bundle={"at_import": "import nosuch\n"}
        ),
        Cell("syntax error at import", "boot", f.run(), 14, "SyntaxError", bundle={"at_import": "exec('def app(:')\n"}),
        Cell(
            "import error at import",
            "boot",
            f.run(),
            14,
            "No module named 'nosuch'",
            bundle={"at_import": "__import__('nosuch')\n"},
        ),
        Cell(
            "import that hangs",
            "boot",
            f.run(),
            14,
            r"not ready within 1\.5 s",
            bundle={"at_import": "time.sleep(600)\n", "app_options": {"boot_seconds": 1.5}},
        ),
        Cell(
            "slow boot within the deadline", "boot", f.run(), 0, serves="new", bundle={"at_import": "time.sleep(2)\n"}
        ),
        Cell(
            "boot that forks and exits",
            "boot",
            f.run(),
            14,
            r"ended with status",
            bundle={"at_import": "if os.fork():\n    os._exit(0)\ntime.sleep(600)\n"},
        ),
        Cell("500 on health", "observe", f.run(), 14, r"/healthz answered 500", bundle=sick),
        Cell("wrong text with 200", "gate", f.run(), 15, r"HELLO WORM", bundle=wrong),
        Cell(
            "right text the first time only",
            "gate",
            f.run(),
            15,
            r"HELLO WORM",
            bundle={"misbehaves": app.RIGHT_ONCE},
        ),
        Cell(
            "crash at the promotion",
            "promote",
            f.run(),
            14,
            r"did not take the public address|after its promotion",
            lost="in flight",
            bundle={"at_import": app.CRASH},
        ),
        Cell(
            "old release ignores SIGTERM",
            "drain",
            f.run(),
            0,
            "by force",
            serves="new",
            lost="in flight",
            base={"at_import": "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"},
        ),
    ]


def _observation() -> list[Cell]:
    watched = ("deploy", "--observe", "4")
    return [
        Cell(
            "crash of the new release",
            "observe",
            f.run(),
            14,
            "after its promotion: the app ended",
            lost="in flight",
            words=watched,
            bundle={"at_import": app.CRASH_LATER},
        ),
        Cell(
            "500 on health after a second",
            "observe",
            f.run(),
            14,
            "answered 500",
            words=watched,
            bundle={"misbehaves": app.SICK_LATER},
        ),
        Cell(
            "wrong text once it is promoted",
            "observe",
            f.run(),
            15,
            r"after its promotion",
            bundle={"misbehaves": app.WRONG_LATER},
        ),
        Cell(
            "worse text than before",
            "gate",
            f.run(),
            15,
            "(?i)worse|regress|higher",
            words=("deploy", "--max-regression", "0.05"),
            bundle={
                "misbehaves": app.WRONG,
                "samples": [{"image": "samples/a.txt", "text": "HELLO WORLD", "max_cer": 0.5}],
            },
        ),
        Cell(
            "wrong text, the old one stopped first",
            "gate",
            f.run(),
            15,
            "HELLO WORM",
            words=("deploy", "--stop-first"),
            bundle={"misbehaves": app.WRONG},
            serving=False,
        ),
        Cell(
            "memory leak, 100 requests a worker",
            "",
            f.replaced_workers,
            0,
            serves="new",
            bundle={"app_options": {"max_requests": 100}},
        ),
    ]


CELLS = (*_bundles(), *_observation())
