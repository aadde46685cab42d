"""Damage files at random and read them; run as a program, since what is damaged so might crash the process.

Usage: python -m tests.app.mutations SEED ROUNDS FILE...
One line of JSON comes out: how often which outcome, and the slowest.
"""

from __future__ import annotations

import io
import json
import random
import resource
import struct
import sys
import time
import traceback
import zlib
from collections import Counter
from pathlib import Path

from ocrpack.app.core.problem import Problem
from ocrpack.app.images import documents
from ocrpack.app.images.decode import Limits, Picture

LIMITS = Limits(megapixels=20, pages=5)
MEMORY = 3 * 2**30
EXTREMES = (0, 1, 2, 255, 256, 32767, 32768, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1)


def flip(data: bytearray, dice: random.Random) -> None:
    for _ in range(dice.choice((1, 1, 2, 8, 64))):
        data[dice.randrange(len(data))] = dice.randrange(256)


def cut(data: bytearray, dice: random.Random) -> None:
    del data[dice.randrange(len(data)) :]


def header(data: bytearray, dice: random.Random) -> None:
    for _ in range(dice.choice((1, 2, 4))):
        data[dice.randrange(min(len(data), 128))] = dice.choice((0, 1, 127, 128, 255, dice.randrange(256)))


def number(data: bytearray, dice: random.Random) -> None:
    """Write an extreme number somewhere near the start, where sizes, counts and offsets stand."""
    kind = dice.choice((">H", "<H", ">I", "<I"))
    value = dice.choice(EXTREMES) % 2 ** (8 * struct.calcsize(kind))
    place = dice.randrange(max(1, min(len(data) - 4, 256)))
    data[place : place + struct.calcsize(kind)] = struct.pack(kind, value)


def size(data: bytearray, dice: random.Random) -> None:
    """Give a PNG another size, with a right checksum; of anything else, change a number."""
    if data[:4] != b"\x89PNG":
        number(data, dice)
        return
    data[16:24] = struct.pack(">2I", dice.choice((1, 300, 4000, 5000, 2**31)), dice.choice((1, 300, 5000, 70000)))
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))


def splice(data: bytearray, dice: random.Random) -> None:
    """Repeat or drop a part."""
    start, end = sorted(dice.randrange(len(data)) for _ in range(2))
    data[start:end] = data[start:end] * dice.choice((0, 2))


def mutated(original: bytes, dice: random.Random) -> bytes:
    """Return a file that was damaged in one way or another."""
    data = bytearray(original)
    dice.choice((flip, flip, cut, header, number, size, splice))(data, dice)
    return bytes(data)


def outcome(data: bytes) -> str:
    try:
        for picture in documents.pages(io.BytesIO(data), LIMITS):
            assert isinstance(picture, Picture)
            assert picture.image.mode == "RGB"
            assert picture.image.width * picture.image.height <= LIMITS.megapixels * 1e6
    except Problem as problem:
        return f"{problem.status.value} {problem.kind}"
    except BaseException as error:
        return f"{type(error).__name__} at {traceback.extract_tb(error.__traceback__)[-1]}"
    return "read"


def main(seed: str, rounds: str, *files: str) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    dice = random.Random(int(seed))
    originals = [Path(file).read_bytes() for file in files]
    outcomes: Counter[str] = Counter()
    slowest = 0.0
    for index in range(int(rounds)):
        data = mutated(originals[index % len(originals)], dice)
        began = time.process_time()
        outcomes[outcome(data)] += 1
        slowest = max(slowest, time.process_time() - began)
    sys.stdout.write(json.dumps({"outcomes": outcomes, "slowest": slowest}))


if __name__ == "__main__":
    main(*sys.argv[1:])
