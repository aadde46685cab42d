"""The bundle's manifest: path, size, SHA-256 and role of every file, in one canonical byte form.

The SHA-256 of those bytes is the bundle's digest.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

from ocrpack.descriptor import SLUG
from ocrpack.errors import BundleError

MANIFEST = "manifest.json"
SIGNATURE = "manifest.json.sig"
WHEELS = "wheels"
MANIFEST_VERSION = 1
MAX_FILES = 200_000
MAX_PATH_BYTES = 1024
Role = Literal[
    "descriptor", "app", "package", "weights", "requirements", "lock", "wheel", "sample", "licence", "sbom", "guide",
    "measured", "tool", "file"
]  # fmt: skip
ROLES: frozenset[str] = frozenset(get_args(Role))
_WRITTEN_LAST: tuple[Role, ...] = ("descriptor", "guide", "measured", "sbom")
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$)( *\..*)?", re.IGNORECASE)
_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f\\:*?"<>|]')
_NAME = re.compile(SLUG)
_VERSION = re.compile(r"[0-9a-z.!+]{1,128}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MAX_SIZE = (1 << 62) - 1
_HEAD_BYTES = 4096
"""More than a manifest's name, version and frame take."""


@dataclass(frozen=True)
class Entry:
    """One file of a bundle; `size` in bytes, `sha256` in lower-case hex."""

    path: str
    size: int
    sha256: str
    role: Role


def order(path: str, role: Role) -> tuple[bool, str]:
    """Sort key of a bundle's files: by path, but those that state the digests of others come after them."""
    return role in _WRITTEN_LAST, path


@dataclass(frozen=True)
class Manifest:
    """What a bundle holds, in the bundle's order."""

    name: str
    version: str
    files: tuple[Entry, ...]

    @cached_property
    def data(self) -> bytes:
        """The manifest's canonical bytes, as they stand in the bundle."""
        head = {"manifest_version": MANIFEST_VERSION, "name": self.name, "version": self.version, "files": []}
        text = json.dumps(head, ensure_ascii=False, indent=1)
        if self.files:
            files = ",\n".join(_encode(entry) for entry in self.files)
            text = text.removesuffix("[]\n}") + f"[\n{files}\n ]\n}}"
        return f"{text}\n".encode()

    @cached_property
    def digest(self) -> str:
        """The bundle's digest: SHA-256 of the manifest's bytes, in hex."""
        return hashlib.sha256(self.data).hexdigest()

    @property
    def release(self) -> str:
        """The name of the release that the bundle becomes on a target."""
        return f"{self.version}-{self.digest[:12]}"

    @property
    def total_bytes(self) -> int:
        """The size of all files together."""
        return sum(entry.size for entry in self.files)

    def having(self, role: Role) -> tuple[Entry, ...]:
        """Return the files of one role."""
        return tuple(entry for entry in self.files if entry.role == role)


def size_limit(paths: Iterable[str]) -> int:
    """Return more bytes than a manifest of these files can have; a safe path holds nothing that JSON must escape."""
    longest = Entry("", _MAX_SIZE, "0" * 64, max(get_args(Role), key=len))
    frame = len(Manifest("", "", (longest,)).data)
    return _HEAD_BYTES + sum(frame + len(path.encode()) for path in paths)


def parse_manifest(data: bytes) -> Manifest:
    """Read a manifest from its canonical bytes.

    Raises:
        BundleError: the bytes are no manifest of this version, name unsafe paths, or are not in canonical form.
    """
    try:
        document = json.loads(data)
        if document["manifest_version"] != MANIFEST_VERSION:
            raise BundleError(
                f"manifest.json has version {document['manifest_version']!r:.40}, known is {MANIFEST_VERSION}",
                "deploy with a newer ocrpack",
            )
        files = tuple(_entry(item) for item in document["files"])
        name, version = document["name"], document["version"]
        if not _NAME.fullmatch(name) or not _VERSION.fullmatch(version):
            raise ValueError(f"name {name!r:.80} or version {version!r:.80}")
        manifest = Manifest(name, version, files)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BundleError(f"manifest.json is not a manifest: {error!r:.200}", "build the bundle anew") from None
    check_paths([entry.path for entry in files])
    in_order = sorted(files, key=lambda entry: order(entry.path, entry.role))
    if list(files) != in_order or manifest.data != data:
        raise BundleError("manifest.json is not in its canonical form: it was altered", "build the bundle anew")
    return manifest


def _encode(entry: Entry) -> str:
    """Return a file's lines; by hand, since `json` takes ten times as long where it must indent."""
    path = json.dumps(entry.path, ensure_ascii=False)
    return (
        f'  {{\n   "path": {path},\n   "size": {entry.size},\n'
        f'   "sha256": "{entry.sha256}",\n   "role": "{entry.role}"\n  }}'
    )


def _entry(item: dict[str, object]) -> Entry:
    path, size, sha256, role = item["path"], item["size"], item["sha256"], item["role"]
    if not isinstance(path, str) or not isinstance(sha256, str) or not _SHA256.fullmatch(sha256):
        raise ValueError("a file without a path or SHA-256")
    if type(size) is not int or not 0 <= size <= _MAX_SIZE:
        raise ValueError(f"{path!r:.80}: size {size!r:.40}")
    if role not in ROLES:
        raise ValueError(f"{path!r:.80}: role {role!r:.40}")
    return Entry(path, size, sha256, role)  # type: ignore[arg-type]


def check_paths(paths: list[str]) -> None:
    """Refuse paths that are unsafe or ambiguous on any of Linux, macOS and Windows.

    Raises:
        BundleError: a path is absolute, leaves its folder, is no valid Windows name, or equals another one
            but for case or Unicode normalisation, or is both a file and a folder.
    """
    if len(paths) > MAX_FILES:
        raise BundleError(f"{len(paths)} files in the bundle, {MAX_FILES} are allowed", "pack fewer files")
    seen: dict[str, str] = {}
    for path in paths:
        reason = _unsafe(path)
        if reason:
            raise BundleError(f"unsafe path in the bundle: {path!r:.200} {reason}", "rename the file")
        folded = _folded(path)
        if folded in seen:
            raise BundleError(
                f"two paths in the bundle are one on some systems: {seen[folded]!r:.200} and {path!r:.200}",
                "rename one of the files",
            )
        seen[folded] = path
    for folded, path in seen.items():
        cut = folded.rfind("/")
        while cut > 0:
            if folded[:cut] in seen:
                raise BundleError(
                    f"{seen[folded[:cut]]!r:.200} is a file and the folder of {path!r:.200}", "rename one of them"
                )
            cut = folded.rfind("/", 0, cut)


def _folded(path: str) -> str:
    if path.isascii():  # most are, and they are their own normal form
        return path.lower()
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", path).casefold())


def _unsafe(path: str) -> str:
    if not path or path.startswith("/"):
        return "is absolute or empty"
    try:
        size = len(path.encode())
    except UnicodeEncodeError:
        return "is not valid Unicode"
    if size > MAX_PATH_BYTES:
        return f"is longer than {MAX_PATH_BYTES} bytes"
    if _FORBIDDEN.search(path):
        return "holds a character that some systems forbid"
    for part in path.split("/"):
        if part in {"", ".", ".."}:
            return "holds an empty part, '.' or '..'"
        if size > 255 and len(part.encode()) > 255:
            return "has a name longer than 255 bytes"
        if part.endswith((" ", ".")) or _RESERVED.fullmatch(part):
            return "is no valid name on Windows"
    return ""
