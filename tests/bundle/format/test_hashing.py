"""Digests are those of the bytes that were written, whichever way they were copied."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import random
import zlib

import pytest

from ocrpack.bundle import Hasher

SIZE = (20 << 20) + 12345


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    path = tmp_path_factory.mktemp("large") / "weights.bin"
    path.write_bytes(random.Random(7).randbytes(SIZE))
    return path


def no_kernel_copy(*_):
    raise OSError(errno.EXDEV, "cross-device link")


def digests(data):
    return hashlib.sha256(data).hexdigest(), zlib.crc32(data), len(data)


@pytest.mark.parametrize("limit", [SIZE, SIZE + 1, SIZE - 5000, 9 << 20, 100, 0])
@pytest.mark.parametrize("way", ["kernel", "memory", "stream", "digests alone"])
def test_every_way_copies_and_digests_the_same(large, tmp_path, monkeypatch, way, limit):
    copied = []
    if way == "memory":
        monkeypatch.setattr(os, "copy_file_range", no_kernel_copy)
    elif way == "kernel" and hasattr(os, "copy_file_range"):
        own = os.copy_file_range
        monkeypatch.setattr(os, "copy_file_range", lambda *given: copied.append(own(*given)) or copied[-1])
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
    if way == "kernel" and limit > 8 << 20:
        assert sum(copied) == len(expected), "this system's kernel copies from file to file"


def test_a_copy_begins_where_the_source_stands(large):
    with Hasher() as hasher, large.open("rb", buffering=0) as source:
        source.seek(1000)
        found = hasher.copy(source, None, 10 << 20)
    assert (found.sha256, found.crc32, found.size) == digests(large.read_bytes()[1000 : 1000 + (10 << 20)])


def test_a_source_that_changes_is_digested_as_it_was_copied(large, tmp_path, monkeypatch):
    """Bytes that change between the copy and the digest must not give a digest of something else."""
    source_file = tmp_path / "source"
    source_file.write_bytes(large.read_bytes())
    own = os.copy_file_range

    def copy_then_change(origin, *given):
        count = own(origin, *given)
        with source_file.open("r+b") as file:
            file.write(b"changed" * 1000)
        return count

    monkeypatch.setattr(os, "copy_file_range", copy_then_change)
    with Hasher() as hasher, source_file.open("rb") as source, (tmp_path / "copy").open("w+b") as sink:
        found = hasher.copy(source, sink, SIZE)
    assert (found.sha256, found.crc32, found.size) == digests((tmp_path / "copy").read_bytes())


def test_a_full_disk_is_told(large, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "copy_file_range", full)
    with (
        Hasher() as hasher,
        large.open("rb") as source,
        (tmp_path / "copy").open("w+b") as sink,
        pytest.raises(OSError, match="No space left"),
    ):
        hasher.copy(source, sink, SIZE)
