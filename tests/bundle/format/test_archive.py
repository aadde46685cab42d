"""One set of files has one sequence of bytes, and a reader refuses every other one."""

from __future__ import annotations

import hashlib
import io
import json
import os
import struct
import subprocess
import sys
import tracemalloc
import zipfile
import zlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ocrpack.bundle import Archive, Hasher
from ocrpack.bundle.format.archive_writer import ArchiveWriter
from ocrpack.bundle.format.manifest import (
    MAX_FILES,
    MAX_PATH_BYTES,
    Entry,
    Manifest,
    check_paths,
    order,
    parse_manifest,
    size_limit,
)
from ocrpack.bundle.format.zip_records import Member, encode_end
from ocrpack.errors import BundleError, NotFoundError
from tests.conftest import REPOSITORY
from tests.patience import PATIENCE, processor_seconds

SMALL = {"app.py": b"app = 1\n", "data/empty": b"", "data/x.bin": bytes(range(32)), "ä.txt": b"umlaut"}


def write(files, target, role="file"):
    """Write files (path to bytes) as a bundle."""
    with target.open("w+b") as file, Hasher() as hasher:
        writer = ArchiveWriter(file, hasher)
        for path in sorted(files, key=lambda path: order(path, role)):
            writer.add(path, role, io.BytesIO(files[path]), len(files[path]))
        manifest = Manifest("mini", "1.0", writer.entries)
        writer.finish(manifest)
        return manifest


def refused(path):
    """Tell whether opening or checking the bundle refuses it; any other exception is a defect."""
    try:
        with Archive(path) as archive:
            return bool(archive.check())
    except BundleError:
        return True


@pytest.fixture
def small(tmp_path):
    target = tmp_path / "small.zip"
    write(SMALL, target)
    assert not refused(target)
    return target


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(
        st.lists(
            st.text(st.characters(exclude_characters='\\/:*?"<>|', exclude_categories=["C"]), min_size=1, max_size=8),
            min_size=1, max_size=3,
        ).map("/".join),
        st.binary(max_size=300), max_size=12,
    )
)  # fmt: skip
def test_random_file_sets_round_trip(tmp_path, files):
    target = tmp_path / "random.zip"
    try:
        check_paths([*files, "manifest.json"])
    except BundleError:
        write(files, target)
        assert refused(target)
        return
    manifest = write(files, target)
    with Archive(target) as archive, zipfile.ZipFile(target) as other:
        assert archive.check() == []
        assert archive.manifest == manifest
        assert archive.manifest.total_bytes == sum(map(len, files.values()))
        assert other.testzip() is None
        for path, data in files.items():
            assert archive.read(path) == other.read(path) == data


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, (4 << 20) + 7, (9 << 20) - 1])
def test_sizes_around_the_buffers(tmp_path, size):
    data = os.urandom(size)
    manifest = write({"a": data, "b": b"after"}, tmp_path / "x.zip")
    assert manifest.files[0].sha256 == hashlib.sha256(data).hexdigest()
    with zipfile.ZipFile(tmp_path / "x.zip") as other:
        assert other.testzip() is None
        assert other.read("a") == data
    assert not refused(tmp_path / "x.zip")


def test_a_source_that_gives_a_few_bytes_at_a_time(tmp_path):
    class Trickle(io.BytesIO):
        def readinto(self, buffer):
            return super().readinto(buffer[:1000])

    data = os.urandom(70_000)
    with (tmp_path / "x.zip").open("w+b") as file, Hasher() as hasher:
        writer = ArchiveWriter(file, hasher)
        writer.add("a", "file", Trickle(data), len(data))
        writer.finish(Manifest("mini", "1.0", writer.entries))
    with Archive(tmp_path / "x.zip") as archive:
        assert archive.read("a") == data


def test_every_flipped_bit_is_refused(small, tmp_path):
    whole = small.read_bytes()
    target = tmp_path / "flipped.zip"
    accepted = []
    for position in range(len(whole)):
        data = bytearray(whole)
        data[position] ^= 1 << (position % 8)
        target.write_bytes(data)
        if not refused(target):
            accepted.append(position)
    assert accepted == []


def test_every_truncation_is_refused(small, tmp_path):
    whole = small.read_bytes()
    target = tmp_path / "cut.zip"
    for length in range(len(whole)):
        target.write_bytes(whole[:length])
        assert refused(target), length


@pytest.mark.parametrize("more", [b"\0", b"PK\5\6", bytes(22), b"PK\5\6" + bytes(18)])
def test_anything_before_or_after_is_refused(small, tmp_path, more):
    whole = small.read_bytes()
    for data in (more + whole, whole + more, whole + whole):
        (tmp_path / "more.zip").write_bytes(data)
        assert refused(tmp_path / "more.zip")


def test_a_comment_and_a_gap_are_refused(small, tmp_path):
    with zipfile.ZipFile(small, "a") as other:
        other.comment = b"hello"
    assert refused(small)
    write(SMALL, small)
    whole = small.read_bytes()
    directory = whole.index(b"PK\1\2")
    end = bytearray(whole[-22:])
    end[16:20] = struct.pack("<I", directory + 4)
    (tmp_path / "gap.zip").write_bytes(whole[:directory] + b"gap!" + whole[directory:-22] + end)
    assert refused(tmp_path / "gap.zip")


def test_an_honest_zip_of_another_program_is_refused(small, tmp_path):
    """Deflated, dated, with other modes or in another order: the content is right, the form is not."""
    with zipfile.ZipFile(small) as other:
        files = [(info.filename, other.read(info)) for info in other.infolist()]
    for number, (method, order_) in enumerate(
        [(zipfile.ZIP_DEFLATED, 1), (zipfile.ZIP_STORED, 1), (zipfile.ZIP_STORED, -1)]
    ):
        target = tmp_path / f"{number}.zip"
        with zipfile.ZipFile(target, "w", method) as other:
            for path, data in files[::order_]:
                other.writestr(zipfile.ZipInfo(path), data, method)
        assert refused(target)


UNSAFE = [
    "/etc/passwd", "../evil", "a/../../evil", "a/./b", "a//b", "a/", "", "..", ".", "a\\b", "..\\evil", "C:/evil",
    "C:evil",
    "nul\0byte", "line\nbreak", "tab\tbed", "del\x7f", "con", "CON", "con.txt", "a/aux", "COM1", "lpt9.log", "nul .txt",
    "COM¹",
    "CONIN$", "trailing.", "trailing ", "dir./x", "dir /x", 'q"uote', "a<b", "a>b", "a|b", "a?b", "a*b", "a:b",
    "x" * 256, "é" * 128, "/".join(["x" * 200] * 6),
]  # fmt: skip
AMBIGUOUS = [
    ["a", "a"], ["readme", "README"], ["é.txt", "e\u0301.txt"], ["ﬁle", "file"], ["straße", "STRASSE"], ["a", "a/b"],
    ["A/x", "a"], ["d/e/f", "D/E"], ["Å", "Å"], ["manifest.json", "Manifest.JSON"], ["manifest.json/x"],
]  # fmt: skip


def _raw(names, target):
    """Write a canonical archive with these names, without any check."""
    offset, members, body = 0, [], b""
    entries = tuple(Entry(name, 1, hashlib.sha256(b"x").hexdigest(), "file") for name in names)
    manifest = Manifest("mini", "1.0", entries)
    for name, data in [*((name, b"x") for name in names), ("manifest.json", manifest.data)]:
        member = Member(name, len(data), zlib.crc32(data), offset)
        members.append(member)
        body += member.local_header() + data
        offset = len(body)
    directory = b"".join(member.central_header() for member in members)
    target.write_bytes(body + directory + encode_end(len(members), len(directory), offset))


def test_the_hand_made_archive_is_sound_but_for_its_names(tmp_path):
    _raw(["a", "b"], tmp_path / "x.zip")
    assert not refused(tmp_path / "x.zip")


@pytest.mark.parametrize("names", [*([name] for name in UNSAFE), *AMBIGUOUS], ids=ascii)
def test_unsafe_names(tmp_path, names):
    _raw(names, tmp_path / "canonical.zip")
    with pytest.raises(BundleError) as caught, Archive(tmp_path / "canonical.zip"):
        pass
    assert len(str(caught.value)) < 1000
    if names != ["manifest.json/x"]:
        with pytest.raises(BundleError):
            check_paths(names)
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as other, pytest.MonkeyPatch.context() as patch:
        patch.setattr("warnings.warn", lambda *_, **__: None)  # zipfile says "Duplicate name"
        for name in names:
            other.writestr(name or "/", b"x")
    assert refused(tmp_path / "other.zip")


def _with_manifest(target, data, files=SMALL):
    """Write a canonical archive whose manifest is `data`."""
    body, members = b"", []
    for name, content in [*sorted(files.items()), ("manifest.json", data)]:
        member = Member(name, len(content), zlib.crc32(content), len(body))
        members.append(member)
        body += member.local_header() + content
    directory = b"".join(member.central_header() for member in members)
    target.write_bytes(body + directory + encode_end(len(members), len(directory), len(body)))


def _document(**changes):
    files = [
        {"path": path, "size": len(data), "sha256": hashlib.sha256(data).hexdigest(), "role": "file"}
        for path, data in sorted(SMALL.items())
    ]
    return {"manifest_version": 1, "name": "mini", "version": "1.0", "files": files, **changes}


def _dump(document):
    return (json.dumps(document, ensure_ascii=False, indent=1) + "\n").encode()


def _changed(index, **values):
    files = _document()["files"]
    files[index] = {**files[index], **values}
    return _dump(_document(files=files))


MANIFESTS = {
    "an entry less": _dump(_document(files=_document()["files"][1:])),
    "an entry more": _dump(_document(files=[*_document()["files"], {**_document()["files"][0], "path": "ö"}])),
    "another name": _changed(0, path="app.pz"),
    "another size": _changed(0, size=9),
    "a negative size": _changed(0, size=-1),
    "a size that is true": _changed(1, size=True),
    "a size with a fraction": _changed(0, size=8.0),
    "a huge size": _changed(0, size=1 << 70),
    "digits without end": b'{"manifest_version": 1, "files": ' + b"9" * 10_000 + b"}",
    "upper case digest": _changed(0, sha256="A" * 64),
    "another digest": _changed(0, sha256="0" * 64),
    "an unknown role": _changed(0, role="virus"),
    "a role that is a list": _changed(0, role=[]),
    "a path that is a number": _changed(0, path=1),
    "a path with half a surrogate": b'{"manifest_version": 1, "name": "mini", "version": "1.0", "files": [{"path": '
    b'"\\ud800", "size": 1, "sha256": "' + b"0" * 64 + b'", "role": "file"}]}',
    "out of order": _dump(_document(files=_document()["files"][::-1])),
    "twice": _dump(_document(files=[_document()["files"][0], *_document()["files"]])),
    "an unknown key": _dump({**_document(), "more": 1}),
    "an unknown key of an entry": _changed(0, more=1),
    "compact": json.dumps(_document(), ensure_ascii=False).encode(),
    "escaped": (json.dumps(_document(), indent=1) + "\n").encode(),
    "a blank more": _dump(_document()) + b" ",
    "a BOM": b"\xef\xbb\xbf" + _dump(_document()),
    "UTF-16": _dump(_document()).decode().encode("utf-16"),
    "Latin-1": _dump(_document()).decode().encode("latin-1"),
    "a newer version": _dump(_document(manifest_version=2)),
    "a version that is true": _dump(_document(manifest_version=True)),
    "a name that leaves": _dump(_document(name="../x")),
    "a version that leaves": _dump(_document(version="../../x")),
    "a version that is no text": _dump(_document(version=1)),
    "a list": b"[]", "a text": b'"x"', "null": b"null", "nothing": b"", "no JSON": b"{", "NaN": b"NaN",
    "files that are an object": _dump(_document(files={"path": "a"})),
    "deep": b"[" * 200_000,
    "deep objects": b'{"a":' * 100_000,
}  # fmt: skip


def test_the_canonical_manifest_is_accepted(tmp_path):
    _with_manifest(tmp_path / "x.zip", _dump(_document()))
    assert not refused(tmp_path / "x.zip")
    assert parse_manifest(_dump(_document())).digest == hashlib.sha256(_dump(_document())).hexdigest()


@pytest.mark.parametrize("what", MANIFESTS)
def test_a_manifest_that_is_wrong(tmp_path, what):
    _with_manifest(tmp_path / "x.zip", MANIFESTS[what])
    assert refused(tmp_path / "x.zip")


def test_no_manifest(tmp_path):
    _with_manifest(tmp_path / "x.zip", b"")
    with zipfile.ZipFile(tmp_path / "empty.zip", "w"):
        pass
    with pytest.raises(BundleError, match=r"holds no manifest\.json"), Archive(tmp_path / "empty.zip"):
        pass


def _end(count, size, offset, total):
    return bytes(total) + struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, count, count, size, offset, 0)


def _end64(count, size, offset):
    head = struct.pack("<4sQHHIIQQQQ", b"PK\6\6", 44, 813, 45, 0, 0, count, count, size, offset)
    return head + struct.pack("<4sIQI", b"PK\6\7", 0, 0, 1) + _end(0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)


HUGE = {
    "many entries": _end(65534, 1 << 20, 0, 1 << 20),
    "a large directory": _end(1, 0xFFFFFFFE, 0, 100),
    "2^64 entries": _end64(2**64 - 1, 2**64 - 1, 2**64 - 1),
    "2^40 entries": _end64(1 << 40, 1 << 20, 0),
    "a directory of 2^63 bytes": _end64(1, 1 << 63, 0),
    "a directory of 255 MiB": _end64(MAX_FILES, 255 << 20, 0),
    "ZIP64 without its record": _end(0xFFFF, 0, 0, 10),
    "an offset past the end": _end(1, 46, 1 << 30, 100),
}


@pytest.mark.parametrize("what", HUGE)
def test_huge_claims_cost_nothing(tmp_path, what):
    (tmp_path / "x.zip").write_bytes(HUGE[what])
    tracemalloc.start()
    with processor_seconds(1):
        assert refused(tmp_path / "x.zip")
    assert tracemalloc.get_traced_memory()[1] < 32 << 20
    tracemalloc.stop()


def test_a_manifest_that_is_too_large_for_its_files_is_not_parsed(tmp_path):
    data = b'{"files": [' + b"[]," * 5_000_000 + b"[]]}"
    _with_manifest(tmp_path / "x.zip", data)
    tracemalloc.start()
    with pytest.raises(BundleError, match="allowed for its files"), Archive(tmp_path / "x.zip"):
        pass
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


@pytest.mark.parametrize("count", [0, 1, 1000])
def test_the_largest_manifest_is_within_its_limit(count):
    part = "\U0001d4b3" * 50 + "\u2028é"
    paths = [f"{n:08}/{'/'.join([part] * 5)}"[: MAX_PATH_BYTES // 4] for n in range(count)]
    check_paths(paths)
    entries = tuple(Entry(path, (1 << 62) - 1, "f" * 64, "requirements") for path in paths)
    data = Manifest("n" * 63, "1" * 128, entries).data
    assert parse_manifest(data).data == data
    assert len(data) < size_limit([*paths, "manifest.json"])


def test_an_entry_that_claims_exabytes(tmp_path):
    """All is canonical but for the size: it is found without reading."""
    data = _changed(0, size=1 << 61)
    body = Member("app.py", 1 << 61, 0, 0)
    directory = body.central_header() + Member("manifest.json", len(data), zlib.crc32(data), body.end).central_header()
    (tmp_path / "x.zip").write_bytes(body.local_header() + directory + encode_end(2, len(directory), 30))
    with processor_seconds(1):
        assert refused(tmp_path / "x.zip")


@pytest.mark.slow
def test_many_entries_go_over_the_limit_of_zip(tmp_path):
    count = 66_000
    files = {f"d{n // 1000:03}/f{n:06}": b"" for n in range(count)}
    manifest = write(files, tmp_path / "many.zip")
    assert len(manifest.files) == count
    with zipfile.ZipFile(tmp_path / "many.zip") as other:
        assert len(other.namelist()) == count + 1
        assert other.read("manifest.json") == manifest.data
    with Archive(tmp_path / "many.zip") as archive:
        assert archive.manifest == manifest
    with (tmp_path / "many.zip").open("r+b") as file:
        file.seek(-22 - 20 - 56 + 24, os.SEEK_END)  # the count in the ZIP64 record
        file.write(struct.pack("<Q", count))
    assert refused(tmp_path / "many.zip")


def test_more_files_than_allowed():
    with pytest.raises(BundleError, match="are allowed"):
        check_paths([str(n) for n in range(MAX_FILES + 1)])


class _Zeros(io.RawIOBase):
    """So many zeros, ending in a mark."""

    def __init__(self, size):
        self._left = size

    def readinto(self, buffer):
        count = min(len(buffer), self._left)
        if count < 1 << 12:
            buffer[:count] = bytes(count)
        self._left -= count
        return count

    def readable(self):
        return True


class _Sparse:
    """Writes zeros as holes."""

    def __init__(self, file):
        self._file = file
        self.tell, self.seek, self.flush = file.tell, file.seek, file.flush

    def write(self, data):
        if len(data) == 1 << 20 and not any(data[:64]):
            self._file.seek(len(data), os.SEEK_CUR)
            return len(data)
        return self._file.write(data)


@pytest.mark.slow
@pytest.mark.parametrize("size", [(1 << 32) - 2, (1 << 32) - 1, (1 << 32) + 5])
def test_entries_around_four_gibibytes(tmp_path, size):
    """ZIP64 fields are there exactly where they must be, for size and for the offset of what follows."""
    target = tmp_path / "big.zip"
    with target.open("w+b") as file, Hasher() as hasher:
        writer = ArchiveWriter(_Sparse(file), hasher)
        writer.add("big.bin", "weights", _Zeros(size), size)
        writer.add("small.txt", "file", io.BytesIO(b"after"), 5)
        writer.finish(Manifest("mini", "1.0", writer.entries))
    with zipfile.ZipFile(target) as other:
        assert other.getinfo("big.bin").file_size == size
        assert other.read("small.txt") == b"after"
        with other.open("big.bin") as content:
            assert content.read(1000) == bytes(1000)
    with Archive(target) as archive:
        assert archive.read("small.txt") == b"after"
        assert archive.check() == []


def test_reading_is_checked(small):
    with Archive(small) as archive:
        assert archive.read("ä.txt") == b"umlaut"
        with pytest.raises(BundleError, match="holds no"):
            archive.read("nothing.txt")
        with pytest.raises(BundleError, match="are allowed"):
            archive.read("data/x.bin", limit=10)
    data = small.read_bytes()
    small.write_bytes(data.replace(b"umlaut", b"umlaus"))
    with Archive(small) as archive:
        with pytest.raises(BundleError, match="was altered"):
            archive.read("ä.txt")
        (finding,) = archive.check()
    assert finding.where is not None
    assert finding.where.file == "small.zip/ä.txt"
    assert hashlib.sha256(b"umlaut").hexdigest() in str(finding.expected)
    assert finding.got == hashlib.sha256(b"umlaus").hexdigest()


def test_what_is_no_file(tmp_path):
    with pytest.raises(NotFoundError):
        Archive(tmp_path / "nothing.zip")
    with pytest.raises(BundleError, match="no plain file"):
        Archive(tmp_path)


def test_a_pipe_or_a_device_is_no_bundle(tmp_path):
    """A named pipe must not hang the reader."""
    os.mkfifo(tmp_path / "pipe.zip")
    code = "import sys; from pathlib import Path; from ocrpack.bundle import Archive; Archive(Path(sys.argv[1]))"
    for path in (tmp_path / "pipe.zip", "/dev/zero"):
        done = subprocess.run(
            [sys.executable, "-c", code, path], cwd=REPOSITORY, capture_output=True, text=True, timeout=PATIENCE
        )
        assert "BundleError" in done.stderr


def test_one_flipped_bit_in_a_real_bundle_is_refused_by_the_commands(machine):
    bundle = machine.bundle()
    whole = bundle.read_bytes()
    for part in (40, len(whole) // 2, len(whole) - 10):
        bundle.write_bytes(whole[:part] + bytes([whole[part] ^ 1]) + whole[part + 1 :])
        answer = machine.run("verify", bundle, "--json", status=11).json
        assert answer["ok"] is False
        assert answer["error"]["exit_code"] == 11
    assert machine.deploy(bundle, "--json", status=11).json["error"]["code"] == "bundle"
    bundle.write_bytes(whole)
    assert machine.run("verify", bundle, "--json").json["ok"] is True
