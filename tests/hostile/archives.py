"""Archives that an enemy would send, each made from nothing: its name, and what makes its bytes."""

from __future__ import annotations

import io
import stat
import struct
import warnings
import zipfile
import zlib

from ocrpack.bundle.format.manifest import Entry, Manifest
from ocrpack.bundle.format.zip_records import Member, encode_end

_ZEROS = 1 << 28


def _zip(*entries, method=zipfile.ZIP_STORED):
    """Return an ordinary ZIP of (name or ZipInfo, data)."""
    target = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(target, "w", method) as archive:
        warnings.simplefilter("ignore")  # duplicate names
        for name, data in entries:
            archive.writestr(name, data)
    return target.getvalue()


def _named(*names):
    return lambda: _zip(*((name, b"x") for name in names))


def _mode(mode, data=b"x", name="app.py"):
    def make():
        info = zipfile.ZipInfo(name)
        info.create_system = 3
        info.external_attr = mode << 16
        return _zip((info, data))

    return make


def _sound(name="app.py", data=b"app = 1\n", manifest=None):
    """Return the parts of a sound bundle of one file: bodies, members, directory."""
    known = Manifest("mini", "1.0", (Entry(name, len(data), _sha(data), "file"),))
    written = known.data if manifest is None else manifest
    bodies, members, offset = [], [], 0
    for path, content in ((name, data), ("manifest.json", written)):
        member = Member(path, len(content), zlib.crc32(content), offset)
        members.append(member)
        bodies.append(member.local_header() + content)
        offset += len(bodies[-1])
    return bodies, members


def _sha(data):
    import hashlib

    return hashlib.sha256(data).hexdigest()


def _put(bodies, members, before=b"", between=b"", after=b""):
    body = before + between.join(bodies) + after
    directory = b"".join(member.central_header() for member in members)
    return body + directory + encode_end(len(members), len(directory), len(body))


def _patched(change):
    """Return what makes a sound bundle whose bytes were changed; `change` gets them and where the directory is."""

    def make():
        bodies, members = _sound()
        data = bytearray(_put(bodies, members))
        change(data, len(b"".join(bodies)))
        return bytes(data)

    return make


def _field(data, place, form, value):
    struct.pack_into("<" + form, data, place, value)


def _local_name(data, _):
    data[30:36] = b"app.pz"


def _local_size(data, _):
    _field(data, 18, "I", 7)


def _encrypted(data, directory):
    _field(data, 6, "H", 0x0801)
    _field(data, directory + 8, "H", 0x0801)


def _strong_encryption(data, directory):
    _field(data, directory + 8, "H", 0x2801)


def _unknown_method(data, directory):
    _field(data, 8, "H", 77)
    _field(data, directory + 10, "H", 77)


def _with_descriptor(data, directory):
    _field(data, directory + 8, "H", 0x0808)


def _other_disk(data, directory):
    _field(data, directory + 34, "H", 3)


def _size_lies(data, directory):
    _field(data, directory + 24, "I", 1 << 30)


def _overlap():
    """Two entries that share their data, as the bombs of David Fifield do."""
    bodies, members = _sound()
    again = Member("b.py", members[0].size, members[0].crc32, 0)
    body = b"".join(bodies)
    directory = b"".join(member.central_header() for member in (members[0], again, members[1]))
    return body + directory + encode_end(3, len(directory), len(body))


def _flat_bomb():
    return _zip(("zeros", bytes(_ZEROS)), method=zipfile.ZIP_DEFLATED)


def _nested_bomb():
    inner = _flat_bomb()
    return _zip(*((f"{number}.zip", inner) for number in range(8)), method=zipfile.ZIP_DEFLATED)


def _claims(count, size, offset):
    head = struct.pack("<4sQHHIIQQQQ", b"PK\6\6", 44, 813, 45, 0, 0, count, count, size, offset)
    locator = struct.pack("<4sIQI", b"PK\6\7", 0, 0, 1)
    return lambda: (
        head + locator + struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    )


def _exabytes():
    entry = Member("app.py", 1 << 61, 0, 0)
    _, (_, manifest) = _sound()
    directory = entry.central_header() + manifest.central_header()
    return entry.local_header() + directory + encode_end(2, len(directory), len(entry.local_header()))


def _million():
    """A million empty entries with one name each, in a directory that is whole."""
    body = io.BytesIO()
    directory = io.BytesIO()
    for number in range(1_000_000):
        member = Member(f"{number:06}", 0, 0, body.tell())
        body.write(member.local_header())
        directory.write(member.central_header())
    rest = directory.getvalue()
    return body.getvalue() + rest + encode_end(1_000_000, len(rest), body.tell())


def _other_files():
    listed = Manifest("mini", "1.0", (Entry("other.py", 8, _sha(b"app = 1\n"), "file"),)).data
    return _put(*_sound(manifest=listed))


def _other_digest():
    listed = Manifest("mini", "1.0", (Entry("app.py", 8, "0" * 64, "file"),)).data
    return _put(*_sound(manifest=listed))


def _absent_app():
    """What only weights may be: named in the manifest and not inside."""
    entries = (Entry("app.py", 8, _sha(b"app = 1\n"), "file"), Entry("b.py", 1, "0" * 64, "file"))
    return _put(*_sound(manifest=Manifest("mini", "1.0", entries).data))


def _two_signatures():
    bodies, members = _sound()
    offset = len(b"".join(bodies))
    for _ in range(2):
        member = Member("manifest.json.sig", 3, zlib.crc32(b"sig"), offset)
        members.append(member)
        bodies.append(member.local_header() + b"sig")
        offset += len(bodies[-1])
    return _put(bodies, members)


ARCHIVES = {
    "an absolute path": _named("/etc/cron.d/evil"),
    "a path out of the folder": _named("../../../tmp/evil"),
    "a path that leaves and comes back": _named("a/../../a/evil"),
    "a drive letter": _named("C:/evil"),
    "backslashes": _named("..\\..\\evil"),
    "a share": _named("\\\\host\\share\\evil"),
    "NUL in a name": lambda: _zip(("good.py0evil", b"x")).replace(b"good.py0evil", b"good.py\0evil"),
    "a reserved name of Windows": _named("samples/con.txt"),
    "a trailing dot": _named("app.py."),
    "an alternate data stream": _named("app.py:evil"),
    "names that differ in case alone": _named("README", "readme"),
    "names that differ in normalisation alone": _named("\u00e9.txt", "e\u0301.txt"),
    "names that fold to one": _named("stra\u00dfe", "STRASSE"),
    "one name twice": _named("app.py", "app.py"),
    "a file that is a folder too": _named("a", "a/b"),
    "a name that is no UTF-8": lambda: _zip(("good.p\u00ff", b"x")).replace("\u00ff".encode(), b"\xff\xfe"),
    "a name of 60,000 bytes": _named("x" * 60_000),
    "a symbolic link": _mode(stat.S_IFLNK | 0o777, b"/etc/passwd"),
    "a folder's link": _mode(stat.S_IFLNK | 0o777, b"/", "weights"),
    "a device": _mode(stat.S_IFBLK | 0o660, b""),
    "a pipe": _mode(stat.S_IFIFO | 0o660, b""),
    "a setuid program": _mode(stat.S_IFREG | 0o4755),
    "headers with two names": _patched(_local_name),
    "headers with two sizes": _patched(_local_size),
    "entries that overlap": _overlap,
    "a size that lies": _patched(_size_lies),
    "a bomb of 256 MiB": _flat_bomb,
    "bombs in a bomb": _nested_bomb,
    "2^64 - 1 entries": _claims(2**64 - 1, 2**64 - 1, 2**64 - 1),
    "a directory of 2^63 bytes": _claims(1, 1 << 63, 0),
    "an entry of 2 EiB": _exabytes,
    "a million entries": _million,
    "encryption": _patched(_encrypted),
    "strong encryption": _patched(_strong_encryption),
    "an unknown method": _patched(_unknown_method),
    "a size after the data": _patched(_with_descriptor),
    "a second disk": _patched(_other_disk),
    "data before the entries": lambda: _put(*_sound(), before=b"#!/bin/sh\nrm -rf ~\n"),
    "data between the entries": lambda: _put(*_sound(), between=b"hidden"),
    "data after the entries": lambda: _put(*_sound(), after=b"hidden"),
    "data after the end": lambda: _put(*_sound()) + b"hidden",
    "a second end record": lambda: _put(*_sound()) + _put(*_sound())[-22:],
    "a cut archive": lambda: _put(*_sound())[:-30],
    "a manifest of other files": _other_files,
    "a manifest with another digest": _other_digest,
    "an app that is named and not there": _absent_app,
    "two signatures": _two_signatures,
    "a manifest that nests 200,000 deep": lambda: _put(*_sound(manifest=b"[" * 200_000)),
    "no ZIP at all": lambda: b"<!doctype html><title>404</title>",
    "nothing": lambda: b"",
}
