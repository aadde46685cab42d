"""Fetch files by their digests: resumed after a break, kept in a cache, refused when they are something else."""

from __future__ import annotations

import contextlib
import errno
import http.client
import io
import netrc
import os
import re
import shutil
import time
import urllib.error
import urllib.parse
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from ocrpack.bundle.format.hashing import CHUNK, Progress, sha256_of
from ocrpack.errors import OcrpackError

_TIMEOUT_S = 60
_FRUITLESS_TRIES = 4
_HTML = re.compile(rb"\s*<(!doctype html|html|head|body)\b", re.IGNORECASE)
_SPARE_BYTES = 16 << 20
_OF_THE_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO, errno.EFBIG}


@dataclass
class FetchError(OcrpackError):
    """A file could not be fetched, or is another one; `expected` and `got` where two values differ."""

    kind: str = "download"
    expected: str | None = None
    got: str | None = None


def cache_folder(*names: str) -> Path:
    """Return a folder of the user's cache, made where it is missing."""
    folder = Path(platformdirs.user_cache_dir("ocrpack"), *names)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def is_html(head: bytes) -> bool:
    """Tell whether bytes begin as the page that servers send in place of a missing file."""
    return bool(_HTML.match(head))


def fetch(url: str, sha256: str, size: int | None = None, progress: Progress = lambda _: None) -> Path:
    """Return the cached file of that SHA-256, fetched first where it is not there.

    A download that breaks off is taken up where it stopped, within this call and in the next one. `progress` is told
    of the bytes that arrive, what an earlier call fetched included.

    Raises:
        FetchError: the address does not answer, or has another file.
        OSError: the cache cannot be written, or the disk is full.
    """
    cache = cache_folder("files")
    target = cache / sha256
    if _is_whole(target, sha256):
        progress(target.stat().st_size)
        return target
    partial = cache / f"{sha256}.partial"
    with _alone(cache / f"{sha256}.lock"):
        if _is_whole(target, sha256):
            return target
        _receive(url, partial, size, progress)
        found = sha256_of(partial)
        if found != sha256:
            partial.unlink()
            raise FetchError(f"{url} is another file", kind="digest", expected=sha256, got=found)
        partial.replace(target)
    return target


def _is_whole(path: Path, sha256: str) -> bool:
    """Tell whether a cached file is there and what its name says; one that is not is removed."""
    if not path.exists():
        return False
    if sha256_of(path) == sha256:
        return True
    path.unlink()
    return False


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Let one process at a time fetch one file; where the platform has no such locks, several may."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _receive(url: str, partial: Path, size: int | None, progress: Progress) -> None:
    """Bring all bytes into `partial`; tries that bring nothing new are limited."""
    fruitless = 0
    told = 0
    while True:
        before = partial.stat().st_size if partial.exists() else 0
        progress(before - told)
        told = before
        try:
            for count in _receive_once(url, partial, size):
                told += count
                progress(count)
            return
        except (OSError, ValueError, http.client.HTTPException) as error:  # OSError is urllib's URLError too
            if isinstance(error, OSError) and error.errno in _OF_THE_DISK:
                raise
            arrived = partial.exists() and partial.stat().st_size > before
            fruitless = 0 if arrived else fruitless + 1
            if fruitless == _FRUITLESS_TRIES or _is_final(error):
                raise FetchError(f"cannot fetch {url}: {error}", "check the address and the network") from None
            time.sleep(0.2 * 2**fruitless)


def _is_final(error: Exception) -> bool:
    if isinstance(error, urllib.error.HTTPError):
        return error.code < 500 and error.code not in {408, 416, 425, 429}
    return isinstance(error, ValueError) or "CERTIFICATE" in str(error)


def _receive_once(url: str, partial: Path, size: int | None) -> Iterator[int]:
    have = partial.stat().st_size if partial.exists() else 0
    if size is not None and have == size:
        return
    try:
        answer = open_url(url, {"Range": f"bytes={have}-"} if have else {})
    except urllib.error.HTTPError as error:
        if error.code == 416:  # there is nothing after what is here, or it is another file by now
            partial.unlink()
        raise
    with answer, partial.open("ab") as file:
        if have and answer.status != 206:
            file.truncate(0)
            have = 0
        length = answer.headers.get("Content-Length")
        whole = have + int(length) if length else None
        if size is not None and whole is not None and whole != size:
            raise _other_size(url, size, f"{whole} bytes")
        if whole is not None and shutil.disk_usage(partial.parent).free < whole - have + _SPARE_BYTES:
            raise FetchError(f"{partial.parent} has no room for {whole} bytes", "free some space")
        while data := answer.read(CHUNK):
            if file.tell() == 0 and is_html(data) and not url.endswith((".html", ".htm")):
                text = f"{url} is an HTML page, as servers send for a missing file"
                raise FetchError(text, kind="content", expected="the file", got="HTML")
            file.write(data)
            yield len(data)
            if size is not None and file.tell() > size:
                raise _other_size(url, size, f"more than {size} bytes")
        if size is not None and whole is None and file.tell() != size:
            raise _other_size(url, size, f"{file.tell()} bytes")
        if whole is not None and file.tell() < whole:
            raise http.client.IncompleteRead(b"", whole - file.tell())


def _other_size(url: str, size: int, got: str) -> FetchError:
    return FetchError(f"{url} has another size", kind="size", expected=f"{size} bytes", got=got)


def open_url(url: str, headers: dict[str, str]) -> http.client.HTTPResponse:
    """Open an address, with the credentials that the user keeps for its host.

    They come from the index addresses in the environment and from `~/.netrc`.

    Raises:
        OSError, ValueError, http.client.HTTPException: the address cannot be opened.
    """
    request = urllib.request.Request(url, headers={"User-Agent": "ocrpack", **headers})
    user = _user_of(urllib.parse.urlsplit(url))
    if user is not None:
        request.add_unredirected_header("Authorization", "Basic " + b64encode(user.encode()).decode())
    return urllib.request.urlopen(request, timeout=_TIMEOUT_S)  # type: ignore[no-any-return]


def _user_of(url: urllib.parse.SplitResult) -> str | None:
    for name in ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_INDEX", "UV_EXTRA_INDEX_URL", "PIP_INDEX_URL",
                 "PIP_EXTRA_INDEX_URL"):  # fmt: skip
        for place in os.environ.get(name, "").split():
            known = urllib.parse.urlsplit(place.rpartition("=")[2] if "=http" in place else place)
            same = (known.scheme, known.hostname, known.port) == (url.scheme, url.hostname, url.port)
            if same and known.username:
                return urllib.parse.unquote(f"{known.username}:{known.password or ''}")
    try:
        found = netrc.netrc().hosts.get(url.hostname or "") if url.scheme == "https" else None
    except (OSError, netrc.NetrcParseError):
        return None
    return f"{found[0]}:{found[2]}" if found else None


class RemoteFile(io.RawIOBase):
    """A file on a server, read in ranges; for a look at a small part of a large archive."""

    def __init__(self, url: str) -> None:
        """Ask for the file's size.

        Raises:
            OSError: the server does not answer, or sends no ranges.
        """
        self._url = url
        self._at = 0
        with open_url(url, {"Range": "bytes=0-0"}) as answer:
            if answer.status != 206:
                raise OSError(f"{url}: the server sends no ranges")
            self._size = int(answer.headers["Content-Range"].rpartition("/")[2])

    def seekable(self) -> bool:
        """Tell that one may read anywhere."""
        return True

    def readable(self) -> bool:
        """Tell that one may read."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place."""
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def tell(self) -> int:
        """Return the place."""
        return self._at

    def read(self, size: int = -1) -> bytes:
        """Return bytes from here on."""
        end = self._size if size < 0 else min(self._at + size, self._size)
        if end <= self._at:
            return b""
        with open_url(self._url, {"Range": f"bytes={self._at}-{end - 1}"}) as answer:
            data = answer.read()
        self._at += len(data)
        return data
