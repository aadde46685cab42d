"""Compare the deployed bundle with servers built by hand and with the bare engine, on the same images and cores."""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image

from benchmarks.measure import Contender, Row, command, environment, race

REPOSITORY = Path(__file__).parent.parent
RECEIPTS = REPOSITORY.parent / "shared" / "data" / "receipts"
BUNDLE = REPOSITORY / "bundles" / "tesseract"
OCRPACK = Path(sys.executable).with_name("ocrpack")
CLIENTS = 4
BENTO_CLIENTS = 5
HEAD = (
    "| job | what | images a second (median) | range | ratio to the job's first row (median of turns) |\n"
    "|---|---|---|---|---|\n"
)

BARE = """
import os, sys
os.environ["OMP_THREAD_LIMIT"] = "1"
from PIL import Image
from tesserocr import PyTessBaseAPI
with PyTessBaseAPI(path=sys.argv[1], lang="eng", psm=3) as api:
    for name in sys.argv[2:]:
        api.SetImage(Image.open(name).convert("RGB"))
        api.GetUTF8Text()
"""
BY_HAND = """
import sys
import pytesseract
from flask import Flask, request
from PIL import Image

app = Flask(__name__)

@app.get("/healthz")
def healthz():
    return "ok"

@app.post("/ocr")
def ocr():
    return {"text": pytesseract.image_to_string(Image.open(request.files["image"].stream))}

app.run("127.0.0.1", int(sys.argv[1]), threaded=True)
"""
BENTO = """
import bentoml
import pytesseract
from PIL.Image import Image

@bentoml.service(workers=2, traffic={"timeout": 300})
class Reader:
    @bentoml.api
    def ocr(self, image: Image) -> str:
        return pytesseract.image_to_string(image)
"""


def images() -> list[Path]:
    """Return the receipts if they are there, else the bundle's own samples."""
    return sorted(RECEIPTS.glob("*.jpg")) or sorted(
        file for file in (BUNDLE / "samples").iterdir() if file.suffix != ".txt"
    )


def throughput(folder: Path, turns: int) -> list[Row]:
    """Images a second, each way over the same images; rates stand where other tables have seconds."""
    files = images()
    job = f"{len(files)} receipts"
    tessdata = next(Path("/usr/share/tesseract-ocr").glob("*/tessdata"))
    with contextlib.ExitStack() as services:
        ours = services.enter_context(deployed(folder))
        by_hand = services.enter_context(_flask(folder))
        bento = services.enter_context(_bento(folder))
        ways = [
            Contender("two processes looping over the bare engine (the limit)", lambda: _bare(folder, tessdata, files)),
            Contender("xargs -P2 tesseract", lambda: _xargs(files)),
            Contender("pytesseract behind Flask's own server, 4 clients", lambda: ask(by_hand, files, CLIENTS)),
            Contender(
                "deployed bundle, preprocess=none, 4 clients", lambda: ask(f"{ours}?preprocess=none", files, CLIENTS)
            ),
            Contender("deployed bundle, 4 clients", lambda: ask(ours, files, CLIENTS)),
        ]
        rows = _rates(race(job, ways, turns), len(files))
        if bento is not None:
            ways = [
                Contender("BentoML, pytesseract, two workers, 5 clients", lambda: ask(bento, files, BENTO_CLIENTS)),
                Contender("deployed bundle, 5 clients", lambda: ask(ours, files, BENTO_CLIENTS)),
            ]
            rows += _rates(race(f"{job}, 5 clients", ways, turns), len(files))
    return rows


def latency(folder: Path, count: int = 60) -> dict[str, float]:
    """Return figures in milliseconds and MiB: what the service adds to the engine's time, its start, its memory."""
    image = _megabyte()
    with deployed(folder) as address:
        place = urllib.request.Request(address)
        overheads, totals = [], []
        with contextlib.closing(http.client.HTTPConnection(place.host, timeout=300)) as connection:
            for _ in range(count):
                begin = time.perf_counter()
                connection.request("POST", place.selector, image, {"Content-Type": "image/jpeg"})
                answer = connection.getresponse().read()
                taken = time.perf_counter() - begin
                timings = json.loads(answer)["timings"]
                totals.append(taken)
                overheads.append(taken - timings["decode"] - timings["ocr"])
        memory = _memory(address)
    return {
        "p50 of a request, ms": statistics.median(totals) * 1000,
        "p50 of a request less decoding and engine, ms": statistics.median(overheads) * 1000,
        **memory,
        "start of `python app.py` until ready, ms": _start_ms(folder),
    }


def _rates(rows: list[Row], count: int) -> list[Row]:
    """Turn seconds for all images into images a second."""
    first = rows[0].seconds
    return [
        Row(
            row.job,
            row.name,
            tuple(count / seconds for seconds in row.seconds),
            statistics.median(a / b for a, b in zip(first, row.seconds, strict=True)),
        )
        for row in rows
    ]


def post(address: str, data: bytes, kind: str) -> bytes:
    """Send one image and return the answer's body."""
    request = urllib.request.Request(address, data, {"Content-Type": kind}, method="POST")
    with urllib.request.urlopen(request, timeout=300) as answer:
        return bytes(answer.read())


def ask(address: str, files: Sequence[Path], clients: int) -> float:
    """Send all files as forms over kept-alive connections of so many clients; return the seconds."""
    place = urllib.request.Request(address)
    todo = iter(files)

    def work(_: int) -> None:
        connection = http.client.HTTPConnection(place.host, timeout=300)
        for file in todo:
            body, kind = _form(file)
            connection.request("POST", place.selector, body, {"Content-Type": kind})
            answer = connection.getresponse()
            content = answer.read()
            if answer.status != 200:
                raise RuntimeError(f"{address}: {answer.status} {content[:200]!r}")
        connection.close()

    begin = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(work, range(clients)))
    return time.perf_counter() - begin


def _form(file: Path) -> tuple[bytes, str]:
    head = f'--x\r\nContent-Disposition: form-data; name="image"; filename="{file.name}"\r\n'
    body = head.encode() + b"Content-Type: image/jpeg\r\n\r\n" + file.read_bytes() + b"\r\n--x--\r\n"
    return body, "multipart/form-data; boundary=x"


def _bare(folder: Path, tessdata: Path, files: Sequence[Path]) -> float:
    script = folder / "bare.py"
    script.write_text(BARE)
    begin = time.perf_counter()
    halves = [files[0::2], files[1::2]]
    running = [subprocess.Popen([sys.executable, script, f"{tessdata}/", *half]) for half in halves]
    if sum(process.wait() for process in running):
        raise RuntimeError("the bare engine failed")
    return time.perf_counter() - begin


def _xargs(files: Sequence[Path]) -> float:
    names = "\0".join(map(str, files)).encode()
    begin = time.perf_counter()
    argv = ["xargs", "-0", "-P2", "-I{}", "tesseract", "{}", "stdout"]
    env = os.environ | {"OMP_THREAD_LIMIT": "1"}
    subprocess.run(argv, input=names, check=True, capture_output=True, env=env)
    return time.perf_counter() - begin


@contextlib.contextmanager
def deployed(folder: Path) -> Iterator[str]:
    """Deploy the default bundle until the block ends; yield the address to send images to."""
    root = folder / "served"
    command(OCRPACK, "build", BUNDLE, "-o", folder, "-q", "--force")()
    bundle = next(folder.glob("tesseract-*.zip"))
    command(OCRPACK, "deploy", bundle, "--root", root, "--any-port", "--no-tag")()
    try:
        shown = subprocess.run(
            [OCRPACK, "status", "--root", root, "--json"], capture_output=True, check=True, text=True
        ).stdout
        address = f"{json.loads(shown)['deployments'][0]['url']}/ocr"
        yield address
    finally:
        command(OCRPACK, "remove", "tesseract", "--root", root, "--yes")()


@contextlib.contextmanager
def _flask(folder: Path) -> Iterator[str]:
    script = folder / "by_hand.py"
    script.write_text(BY_HAND)
    with _running([sys.executable, script, "8765"], "http://127.0.0.1:8765/healthz"):
        yield "http://127.0.0.1:8765/ocr"


@contextlib.contextmanager
def _bento(folder: Path) -> Iterator[str | None]:
    """Serve pytesseract with BentoML, if that can be installed."""
    home = folder / "bento-serving"
    home.mkdir()
    (home / "service.py").write_text(BENTO)
    programs = environment(home / "venv", "bentoml", "pytesseract", "pillow")
    if programs is None:
        yield None
        return
    argv = [programs / "bentoml", "serve", "service:Reader", "--port", "8766", "--host", "127.0.0.1"]
    env = os.environ | {"BENTOML_DO_NOT_TRACK": "True", "BENTOML_HOME": str(home / "store")}
    with _running(argv, "http://127.0.0.1:8766/readyz", cwd=home, env=env):
        yield "http://127.0.0.1:8766/ocr"


@contextlib.contextmanager
def _running(
    argv: list[object], ready: str, cwd: Path | None = None, env: dict[str, str] | None = None
) -> Iterator[None]:
    """Start a server, wait until it answers, and stop it when the block ends."""
    with subprocess.Popen(
        list(map(str, argv)), cwd=cwd, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            _wait(ready)
            yield
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(20)
            process.kill()


def _wait(address: str, seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            with urllib.request.urlopen(address, timeout=2) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.005)
    raise RuntimeError(f"{address} did not answer")


def _megabyte() -> bytes:
    """Return the largest receipt as a JPEG of a megabyte and a little more, enlarged as far as that needs."""
    with Image.open(max(images(), key=lambda file: file.stat().st_size)) as image:
        for tenths in range(10, 100):
            buffer = io.BytesIO()
            image.convert("RGB").resize((image.width * tenths // 10, image.height * tenths // 10)).save(
                buffer, "JPEG", quality=98
            )
            if buffer.tell() >= 1_000_000:
                break
    return buffer.getvalue()


def _memory(address: str) -> dict[str, float]:
    """Return each process's memory after reading, and how much engine processes share with their template, in MiB."""
    with urllib.request.urlopen(address.replace("/ocr", "/metrics"), timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    pids = {
        line.partition('process="')[2].partition('"')[0]: int(line.partition('pid="')[2].partition('"')[0])
        for line in lines
        if line.startswith("ocr_resident_bytes{")
    }
    found = {}
    for kind, pid in pids.items():
        sizes: dict[str, float] = {}
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
            name, _, rest = line.partition(":")
            sizes[name] = int(rest.split()[0]) / 1024
        found[f"{kind} process after {len(images())} images, resident, MiB"] = sizes["Rss"]
        found[f"{kind} process, its own memory alone (USS), MiB"] = sizes["Private_Clean"] + sizes["Private_Dirty"]
    return found


def _start_ms(folder: Path) -> float:
    """Return the time from starting the unpacked bundle's `app.py` until it is ready."""
    unpacked = folder / "unpacked"
    shutil.rmtree(unpacked, ignore_errors=True)
    command("unzip", "-q", next(folder.glob("tesseract-*.zip")), "-d", unpacked)()
    taken = []
    for _ in range(5):
        begin = time.perf_counter()
        env = os.environ | {"PORT": "8767", "OCRPACK_DATA": str(folder / "start-data")}
        with _running([sys.executable, "app.py"], "http://127.0.0.1:8767/readyz", cwd=unpacked, env=env):
            taken.append(time.perf_counter() - begin)
    return statistics.median(taken) * 1000
