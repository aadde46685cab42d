"""Bundles of size: one large file of weights, ten thousand small files, and one file that is larger than memory."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.measure import Contender, Row, command, environment, free_port, race

OCRPACK = Path(sys.executable).with_name("ocrpack")
APP = """def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json")])
    return [b'{"text": ""}']
"""
SMALL_FILES = 10_000


def _source(
    folder: Path, version: str = "1.0", fill: Callable[[Path], None] = lambda folder: None, **more: object
) -> Path:
    """Write the source of a bundle without requirements, with its lock, so that no index is asked."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "app.py").write_text(APP)
    (folder / "requirements.txt").write_text("")
    descriptor = {"schema_version": 1, "name": "large", "version": version, "port": free_port(), **more}
    (folder / "descriptor.json").write_text(json.dumps(descriptor))
    fill(folder)
    command(OCRPACK, "lock", folder)()
    return folder


def _weights(path: Path) -> dict[str, object]:
    weight = {"path": "weights/weights.bin", "role": "recognition", "source": str(path)}
    return {"name": "random", "version": "1", "weights": [weight]}


class Target:
    """A root whose environment is made before the clock runs; a deploy's time is that of its phases but the app's."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "root"

    def deploy(self, bundle: Path) -> float:
        """Deploy and return the seconds but for the phases in which the app starts and is asked."""
        begin = time.perf_counter()
        words = [OCRPACK, "deploy", bundle, "--root", self.root, "--no-tag", "--json"]
        done = subprocess.run(words, capture_output=True, check=True)
        seconds = time.perf_counter() - begin
        spent = {phase["name"]: phase["seconds"] for phase in json.loads(done.stdout)["phases"]}
        return seconds - sum(spent.get(name, 0) for name in ("boot", "gate", "observe", "drain"))

    def clear(self) -> None:
        """Remove the deployment with its weights, but keep the environment."""
        if (self.root / "apps" / "large").exists():
            command(OCRPACK, "stop", "large", "--root", self.root)()
            subprocess.run(["chmod", "-R", "u+w", self.root / "apps"], check=True)
            shutil.rmtree(self.root / "apps")
            shutil.rmtree(self.root / "blobs", ignore_errors=True)
        os.sync()


def large(folder: Path, gib: float, turns: int) -> list[Row]:
    """Build, verify and deploy a bundle whose weights are random bytes."""
    weights = folder / "weights.bin"
    with weights.open("wb") as file:
        for _ in range(int(gib * 64)):
            file.write(os.urandom(16 << 20))
    source = _source(folder / "source", model=_weights(weights))
    newer = _source(folder / "newer", "1.1", model=_weights(weights))
    copy, archive, bundle = folder / "copy.bin", folder / "copy.zip", folder / "large.zip"

    def clear() -> None:
        for file in (copy, archive, bundle):
            file.unlink(missing_ok=True)
        os.sync()

    ways = [
        Contender("cp, then sync", command("sh", "-c", f"cp '{weights}' '{copy}' && sync '{copy}'"), clear),
        Contender("cp", command("cp", weights, copy), clear),
        Contender("zip -0", command("zip", "-0", "-q", archive, weights), clear),
        Contender(
            "openssl dgst -sha256 (the limit: one pass of SHA-256)",
            command("openssl", "dgst", "-sha256", weights),
            clear,
        ),
        Contender("ocrpack build", command(OCRPACK, "build", source, "-o", bundle, "-q"), clear),
    ]
    bento = _bentoml(folder, weights)
    if bento is not None:
        ways.append(bento)
    rows = race(f"build of {gib:g} GiB of weights", ways, turns)
    clear()
    command(OCRPACK, "build", source, "-o", bundle, "-q")()
    command(OCRPACK, "build", newer, "-o", folder / "newer.zip", "-q")()
    rows += race(
        f"verify of {gib:g} GiB of weights",
        [
            Contender("openssl dgst -sha256 of the bundle", command("openssl", "dgst", "-sha256", bundle)),
            Contender("ocrpack verify", command(OCRPACK, "verify", bundle, "-q")),
        ],
        turns,
    )
    target, unzipped = Target(folder), folder / "unzipped"
    target.deploy(bundle)

    def away() -> None:
        target.clear()
        shutil.rmtree(unzipped, ignore_errors=True)

    def served() -> None:
        away()
        target.deploy(bundle)

    rows += race(
        f"deploy of {gib:g} GiB of weights, environment there, without the app's own time",
        [
            Contender("unzip", command("unzip", "-q", bundle, "-d", unzipped), away),
            Contender(
                "unzip, then sync",
                command("sh", "-c", f"unzip -q '{bundle}' -d '{unzipped}' && sync '{unzipped}'"),
                away,
            ),
            Contender("ocrpack deploy", lambda: target.deploy(bundle), away),
            Contender(
                "ocrpack deploy of a new version, same weights", lambda: target.deploy(folder / "newer.zip"), served
            ),
        ],
        turns,
    )
    away()
    return rows


def _bentoml(folder: Path, weights: Path) -> Contender | None:
    """BentoML's build of the same file, where it can be installed."""
    uv = OCRPACK.with_name("uv")
    home = folder / "bento"
    (home / "project").mkdir(parents=True)
    (home / "project" / "weights.bin").hardlink_to(weights)
    (home / "project" / "service.py").write_text(
        "import bentoml\n\n@bentoml.service\nclass Large:\n    @bentoml.api\n    def read(self) -> str:\n"
        "        return ''\n"
    )
    (home / "project" / "bentofile.yaml").write_text('service: "service:Large"\ninclude: ["*"]\n')
    programs = environment(home / "venv", "bentoml", "uv")
    if programs is None:
        return None
    path = os.pathsep.join((str(uv.parent), os.environ["PATH"]))
    env = {**os.environ, "PATH": path, "BENTOML_HOME": str(home / "store"), "BENTOML_DO_NOT_TRACK": "True"}
    run = command(programs / "bentoml", "build", cwd=home / "project", env=env)

    def clear() -> None:
        shutil.rmtree(home / "store", ignore_errors=True)
        os.sync()

    return Contender("bentoml build", run, clear)


def small(folder: Path, turns: int) -> list[Row]:
    """Build and unpack a bundle of ten thousand small files."""

    def fill(source: Path) -> None:
        for number in range(SMALL_FILES):
            file = source / "data" / f"{number // 100:03}" / f"{number:05}.json"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps({"number": number, "text": "x" * (number % 2000)}))

    source = _source(folder / "many", fill=fill, model={"name": "many", "version": "1"}, files=["data/"])
    archive, bundle, unzipped = folder / "many.zip", folder / "bundle.zip", folder / "many-unzipped"

    def clear() -> None:
        archive.unlink(missing_ok=True)
        bundle.unlink(missing_ok=True)
        os.sync()

    rows = race(
        f"build of {SMALL_FILES:,} small files",
        [
            Contender("zip -r", command("zip", "-q", "-r", archive, ".", cwd=source), clear),
            Contender("zip -r -0", command("zip", "-q", "-0", "-r", archive, ".", cwd=source), clear),
            Contender("ocrpack build", command(OCRPACK, "build", source, "-o", bundle, "-q"), clear),
        ],
        turns,
    )
    clear()
    command(OCRPACK, "build", source, "-o", bundle, "-q")()
    target = Target(folder / "many-target")
    target.deploy(bundle)

    def away() -> None:
        target.clear()
        shutil.rmtree(unzipped, ignore_errors=True)
        os.sync()

    sync = f"unzip -q '{bundle}' -d '{unzipped}' && sync -f '{unzipped}'"
    rows += race(
        f"deploy of {SMALL_FILES:,} small files, environment there, without the app's own time",
        [
            Contender("unzip", command("unzip", "-q", bundle, "-d", unzipped), away),
            Contender("unzip, then sync", command("sh", "-c", sync), away),
            Contender("ocrpack deploy", lambda: target.deploy(bundle), away),
        ],
        turns,
    )
    away()
    return rows


def huge(gib: int) -> str:
    """Build, verify and compare a bundle of sparse weights; return a line on time and peak memory."""
    with tempfile.TemporaryDirectory(prefix="ocrpack-huge-") as name:
        folder = Path(name)
        weights = folder / "weights.bin"
        with weights.open("wb") as file:
            file.truncate(gib << 30)
            for place in range(0, gib << 30, 1 << 30):
                file.seek(place + 12_345)
                file.write(os.urandom(4096))
        source = _source(folder / "source", model=_weights(weights))
        bundle = folder / "huge.zip"
        lines = []
        for what, words in (
            ("build", [OCRPACK, "build", source, "-o", bundle, "-q"]),
            ("verify", [OCRPACK, "verify", bundle, "-q"]),
        ):
            done = subprocess.run(["/usr/bin/time", "-f", "%e %M", *words], capture_output=True, text=True, check=True)
            seconds, kib = done.stderr.split()[-2:]
            lines.append(f"| {what} of {gib} GiB of sparse weights | {float(seconds):.0f} | {int(kib) // 1024} |")
        inner = subprocess.Popen(["unzip", "-p", bundle, "weights/weights.bin"], stdout=subprocess.PIPE)
        subprocess.run(["cmp", "-", weights], stdin=inner.stdout, check=True)
        inner.wait()
        return "| what | seconds | peak memory, MiB |\n|---|---|---|\n" + "\n".join(lines)
