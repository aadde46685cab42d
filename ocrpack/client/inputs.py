"""Find the inputs: files, folders, patterns and standard input, each file once, in natural order."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ocrpack.errors import Finding, NotFoundError, PreflightError, UsageError, Where

SUFFIXES = frozenset(
    [
        ".png",
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".tif",
        ".tiff",
        ".bmp",
        ".dib",
        ".gif",
        ".webp",
        ".pbm",
        ".pgm",
        ".ppm",
        ".pnm",
        ".jp2",
        ".j2k",
        ".jpf",
        ".avif",
        ".pdf",
    ]
)
"""The files that are taken from folders and patterns; a file that is named is taken whatever its suffix."""
STDIN = "-"
_RESULT = re.compile(r"(?P<input>.+)\.(ocr\.\w+|annotated(-\d+)?\.png)", re.IGNORECASE)
"""How `ocrpack.client.results` names its files."""


@dataclass(frozen=True)
class Source:
    """Hold one image or document to read."""

    shown: str
    """How messages call it."""
    path: Path | None
    """None: it came from standard input."""
    relative: Path
    """The path of its results in an output folder, without their suffix."""
    data: bytes | None = field(default=None, repr=False)

    def content(self) -> bytes:
        """Return the bytes.

        Raises:
            OSError: the file cannot be read.
        """
        return self.data if self.path is None else self.path.read_bytes()  # type: ignore[return-value]

    @property
    def is_document(self) -> bool:
        """Whether it may have many pages."""
        return self.relative.suffix.lower() == ".pdf" or (self.data or b"").startswith(b"%PDF")


def gather(words: Sequence[str], stdin: Callable[[], bytes], without: Path | None = None) -> list[Source]:
    """Return the inputs that the words of a command line name, each file once; skip the folder `without`.

    Folders are searched with all folders in them, but for hidden files and the results of earlier runs. A pattern that
    the shell has not expanded (Windows, quotes) is expanded.

    Raises:
        NotFoundError: a word names nothing, or there is nothing to read.
        PreflightError: a folder cannot be searched.
        UsageError: standard input is named twice, or is empty.
    """
    if list(words).count(STDIN) > 1:
        raise UsageError("`-` stands twice", "standard input can be read once")
    several = sum(Path(word).is_dir() for word in words if word != STDIN) > 1
    found: dict[str, Source] = {}
    missing: list[str] = []
    for word in words:
        sources = [_from_stdin(stdin())] if word == STDIN else _named(word, without, several)
        if sources is None:
            missing.append(word)
        for source in sources or ():
            key = STDIN if source.path is None else os.path.normcase(os.path.realpath(source.path))
            found.setdefault(key, source)
    if missing:
        raise _missing(missing)
    if not found:
        looked = ", ".join(sorted(suffix[1:] for suffix in SUFFIXES))
        raise NotFoundError(f"nothing to read in {', '.join(words)}", f"looked for files named {looked}")
    return list(found.values())


def _from_stdin(data: bytes) -> Source:
    if not data:
        raise UsageError("standard input is empty", "pipe an image into the command: `ocrpack ocr - < page.png`")
    return Source("standard input", None, Path("stdin"), data)


def _named(word: str, without: Path | None, several: bool) -> list[Source] | None:
    """Return what one word names; None: nothing has that name."""
    path = Path(word)
    if path.is_dir():
        above = Path(path.resolve().name) if several else Path()
        return [Source(_shown(file), file, above / file.relative_to(path)) for file in _below(path, without)]
    if path.exists():
        return [] if _is_result(path) else [Source(_shown(word), path, Path(path.name))]
    if not glob.has_magic(word):
        return None
    fixed = _fixed_part(path)
    matches = [Path(match) for match in glob.glob(word, recursive=True)]  # noqa: PTH207, it may be absolute
    files = [match for match in matches if match.is_file() and _is_wanted(match)]
    return [Source(_shown(file), file, file.relative_to(fixed)) for file in sorted(files, key=natural)] or None


def _shown(path: str | Path) -> str:
    """Return a path that can be printed: file names are bytes, and need not be Unicode."""
    return str(path).encode("utf-8", "backslashreplace").decode()


def _below(folder: Path, without: Path | None) -> Iterator[Path]:
    excluded = without.resolve() if without else None

    def refused(error: OSError) -> None:
        text = f"cannot search {error.filename}: {error.strerror}"
        raise PreflightError(text, "check its permissions, or name the files that are to be read")

    for place, folders, files in os.walk(folder, onerror=refused):
        here = Path(place)
        folders[:] = sorted(
            (name for name in folders if not name.startswith(".") and (here / name).resolve() != excluded),
            key=lambda name: natural(Path(name)),
        )
        yield from sorted((here / name for name in files if _is_wanted(here / name)), key=natural)


def _is_wanted(file: Path) -> bool:
    return file.suffix.lower() in SUFFIXES and not file.name.startswith(".") and not _is_result(file)


def _is_result(file: Path) -> bool:
    """Tell whether a file is the result of an earlier run: it is named like one, and its input is beside it."""
    named = _RESULT.fullmatch(file.name)
    return named is not None and file.with_name(named["input"]).is_file()


def _fixed_part(pattern: Path) -> Path:
    """Return the folders before the first one with a wildcard."""
    fixed = Path()
    for part in pattern.parts[:-1]:
        if glob.has_magic(part):
            break
        fixed /= part
    return fixed


def natural(path: Path) -> list[tuple[int, int, str]]:
    """Return a key that sorts page2 before page10, whatever their case."""
    parts = re.split(r"(\d+)", str(path).casefold())
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts if part]


def _missing(words: list[str]) -> NotFoundError:
    found = tuple(
        Finding("missing", "nothing matches it" if glob.has_magic(word) else "it is not there", where=Where(word))
        for word in words
    )
    if len(words) == 1:
        return NotFoundError(f"{words[0]}: {found[0].message}", "check the name; nothing was read")
    return NotFoundError(f"{len(words)} of the inputs are not there", "check their names; nothing was read", found)
