"""Let a coverage-guided fuzzer loose on what reads a stranger's bytes: python -m tests.fuzz TARGET SECONDS.

Anything but our own errors is a crash, and ends the run with the bytes that caused it.
"""

from __future__ import annotations

import hashlib
import sys
import tempfile
import warnings
import zlib
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["ocrpack"]):
    from ocrpack import bundle, descriptor
    from ocrpack.bundle.format import manifest, measured, signature, zip_records
    from ocrpack.errors import OcrpackError

from tests.conftest import REPOSITORY
from tests.hostile.archives import ARCHIVES

warnings.simplefilter("ignore")  # what hostile source texts make Python say
PLACE = Path(tempfile.mkdtemp(prefix="fuzz-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None)) / "x.zip"
SOURCE = REPOSITORY / "bundles" / "tesseract"


def raw_archive(data):
    """The archive reader, on bytes as they are."""
    PLACE.write_bytes(data)
    _open()


def inner_files(data):
    """A canonical archive whose names, manifest and documents are the fuzzer's, so that it comes past the form."""
    given = atheris.FuzzedDataProvider(data)
    names = ["descriptor.json", "requirements.lock", "measured.json", given.ConsumeUnicode(20)]
    files = {name: given.ConsumeBytes(given.ConsumeIntInRange(0, 300)) for name in names}
    entries, members, body = [], [], b""
    for path in sorted(files, key=lambda path: manifest.order(path, "file")):
        content = files[path]
        entries.append(manifest.Entry(path, len(content), _sha(content), "file"))
        try:
            member = zip_records.Member(path, len(content), zlib.crc32(content), len(body))
            body += member.local_header() + content
        except UnicodeEncodeError:
            return
        members.append(member)
    written = manifest.Manifest("x", "1", tuple(entries)).data
    if given.ConsumeBool():
        written = given.ConsumeBytes(400) or written
    members.append(zip_records.Member("manifest.json", len(written), zlib.crc32(written), len(body)))
    body += members[-1].local_header() + written
    directory = b"".join(member.central_header() for member in members)
    PLACE.write_bytes(body + directory + zip_records.encode_end(len(members), len(directory), len(body)))
    _open()


def _sha(content):
    return hashlib.sha256(content).hexdigest()


def _open():
    with bundle.Archive(PLACE) as opened:
        opened.check()
        opened.signature()
        bundle.card(opened).as_dict()


TARGETS = {
    "archive": (
        raw_archive,
        [make() for name, make in ARCHIVES.items() if "million" not in name and "bomb" not in name],
    ),
    "inside": (inner_files, [b""]),
    "manifest": (bundle.parse_manifest, [manifest.Manifest("x", "1", (manifest.Entry("a", 1, "0" * 64, "app"),)).data]),
    "descriptor": (lambda data: descriptor.parse(data, "x"), [(SOURCE / "descriptor.json").read_bytes()]),
    "lock": (bundle.parse_lock, [(SOURCE / "requirements.lock").read_bytes()[:2000]]),
    "measured": (measured.parse, [b'{"machine": {"python": "3", "platform": "x", "processors": 1.0}, "samples": []}']),
    "signature": (
        signature.read_signature,
        [b"-----BEGIN SSH SIGNATURE-----\nU1NIU0lH\n-----END SSH SIGNATURE-----\n"],
    ),
}


def main():
    """Fuzz one target for so many seconds."""
    target, seeds = TARGETS[sys.argv[1]]

    def one(data):
        try:
            target(data)
        except OcrpackError:
            return

    with tempfile.TemporaryDirectory(prefix="corpus-") as corpus:
        for number, seed in enumerate(seeds):
            Path(corpus, str(number)).write_bytes(seed)
        options = [f"-max_total_time={sys.argv[2]}", "-timeout=20", "-rss_limit_mb=2048", "-print_final_stats=1"]
        atheris.Setup([sys.argv[0], corpus, *options, *sys.argv[3:]], one)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
