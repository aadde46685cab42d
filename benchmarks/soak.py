"""Many requests of all kinds at the deployed bundle: does a good one fail, and does memory grow?"""

from __future__ import annotations

import itertools
import random
import statistics
import threading
import urllib.error
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from benchmarks.serving import RECEIPTS, deployed, images, post

HOSTILE = RECEIPTS.parent / "hostile-images"
SEED = 20261121
CLIENTS = 4


def measure(folder: Path, count: int) -> dict[str, float]:
    """Send `count` images with four clients: most good, some large, some hostile, in a random order.

    Memory is the sum over all of the service's processes, in MiB; its slope is taken over the second half.
    """
    dice = random.Random(SEED)
    good = [file.read_bytes() for file in images()]
    large = [_large(folder, 30), _large(folder, 90)]
    hostile = [file.read_bytes() for file in sorted(HOSTILE.glob("*"))] or [b"\x89PNG\r\n\x1a\n junk"]
    kinds = dice.choices(["good", "hostile", "large"], [0.78, 0.2, 0.02], k=count)
    jobs = [(kind, dice.choice({"good": good, "hostile": hostile, "large": large}[kind])) for kind in kinds]
    statuses: list[tuple[str, int]] = []
    memory: list[tuple[int, float]] = []
    guard = threading.Lock()
    with deployed(folder) as address:

        def send(job: tuple[str, bytes]) -> None:
            kind, data = job
            status = _status(address, data)
            with guard:
                statuses.append((kind, status))
                done = len(statuses)
            if done % 20 == 0:
                memory.append((done, _figures(address)[0]))

        with ThreadPoolExecutor(CLIENTS) as pool:
            list(pool.map(send, jobs))
        _, ended = _figures(address)
    late = [point for point in memory if point[0] > count / 2]
    return {
        "requests": count,
        "good ones that failed": sum(status != 200 for kind, status in statuses if kind != "hostile"),
        "hostile ones that were answered with a 5xx": sum(s >= 500 for kind, s in statuses if kind == "hostile"),
        "engine processes lost to memory, time or a crash": ended,
        "memory of all processes at the half, MiB (median of ten)": statistics.median(m for _, m in late[:10]),
        "memory of all processes at the end, MiB (median of ten)": statistics.median(m for _, m in late[-10:]),
        "slope over the second half, MiB per 100 requests": 100 * _slope(late),
    }


def _status(address: str, data: bytes) -> int:
    try:
        post(address, data, "application/octet-stream")
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
    return 200


def _figures(address: str) -> tuple[float, float]:
    """Return the memory of all processes in MiB, and how many engine processes were lost."""
    with urllib.request.urlopen(address.replace("/ocr", "/metrics"), timeout=60) as answer:
        lines = answer.read().decode().splitlines()
    values = [(line.rpartition(" ")[0], float(line.rpartition(" ")[2])) for line in lines if not line.startswith("#")]
    memory = sum(value for name, value in values if name.startswith("ocr_resident_bytes"))
    ended = sum(value for name, value in values if name.startswith("ocr_engine_ended_total") and "memory" not in name)
    return memory / 2**20, ended


def _slope(points: Sequence[tuple[int, float]]) -> float:
    """Return the median of the slopes of all pairs (Theil and Sen), to which the peaks of large pages mean little."""
    return statistics.median((y - b) / (x - a) for (a, b), (x, y) in itertools.combinations(points, 2) if x != a)


def _large(folder: Path, megapixels: int) -> bytes:
    """Return a drawn page of so many pixels, with a paragraph on it."""
    width = round((megapixels * 1e6 / 1.4142) ** 0.5)
    page = Image.new("L", (width, round(width * 1.4142)), 255)
    font = ImageFont.load_default(width // 40)
    for row in range(6):
        ImageDraw.Draw(page).text(
            (width // 10, width // 10 + row * width // 20), f"Line {row} of a large page", 0, font
        )
    file = folder / f"large-{megapixels}.png"
    page.save(file)
    return file.read_bytes()
