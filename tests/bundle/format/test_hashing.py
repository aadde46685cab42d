"""Digests are those of the bytes that were written, whichever way they were copied."""

from __future__ import annotations

import hashlib
import io
import random
import zlib
from pathlib import Path

import pytest

from ocrpack.bundle import Hasher

SIZE = (20 << 20) + 12345


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    path = tmp_path_factory.mktemp("large") / "weights.bin"
    path.write_bytes(random.Random(7).randbytes(SIZE))
    return path


def digests(data):
    return hashlib.sha256(data).hexdigest(), zlib.crc32(data), len(data)


@pytest.mark.parametrize("limit", [SIZE, SIZE + 1, SIZE - 5000, 9 << 20, 100, 0])
@pytest.mark.parametrize("way", ["file", "stream", "digests alone"])
def test_every_way_copies_and_digests_the_same(large, tmp_path, way, limit):
    expected = large.read_bytes()[:limit]
    told = []
    with Hasher() as hasher, large.open("rb") as source, (tmp_path / "copy").open("w+b") as sink:
        sink.write(b"before ")
        given = io.BytesIO(large.read_bytes()) if way == "stream" else source
        found = hasher.copy(given, None if way == "digests alone" else sink, limit, told.append)
        assert given.tell() == len(expected)
        assert sink.tell() == 7 + (0 if way == "digests alone" else len(expected))
        sink.write(b" after")
    assert (found.sha256, found.crc32, found.size) == digests(expected)
    assert sum(told) == len(expected)
    if way != "digests alone":
        assert (tmp_path / "copy").read_bytes() == b"before " + expected + b" after"


def test_a_copy_begins_where_the_source_stands(large):
    with Hasher() as hasher, large.open("rb", buffering=0) as source:
        source.seek(1000)
        found = hasher.copy(source, None, 10 << 20)
    assert (found.sha256, found.crc32, found.size) == digests(large.read_bytes()[1000 : 1000 + (10 << 20)])


def test_a_full_disk_is_told(large):
    with (
        Hasher() as hasher,
        large.open("rb") as source,
        Path("/dev/full").open("wb", buffering=0) as sink,
        pytest.raises(OSError, match="No space left"),
    ):
        hasher.copy(source, sink, SIZE)
