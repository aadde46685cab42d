"""Where results go, and how they get there whole: beside their images or into a folder, never over what is there."""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ocrpack.client.inputs import Source
from ocrpack.client.ocr_api import Output
from ocrpack.errors import UsageError


@dataclass(frozen=True)
class Place:
    """Where the results of inputs go.

    They are called `page.png.ocr.txt`, not `page.txt`: the truth of an image keeps its usual names, two images that
    differ in their suffix alone keep apart, and it can be told later what was read.
    """

    folder: Path | None
    """None: beside each input."""

    def result(self, source: Source, output: str) -> Path:
        """Return the file for an output of the service."""
        return self._base(source, f".ocr.{Output[output].extension}")

    def picture(self, source: Source, number: int, count: int) -> Path:
        """Return the file for the annotated page `number`, from 1, of `count`."""
        return self._base(source, ".annotated.png" if count == 1 else f".annotated-{number}.png")

    def has_pictures(self, source: Source) -> bool:
        """Tell whether annotated pages of an input are there."""
        return any(self.picture(source, 1, count).exists() for count in (1, 2))

    def _base(self, source: Source, tail: str) -> Path:
        if self.folder is not None:
            base = self.folder / source.relative
        elif source.path is not None:
            base = source.path
        else:
            raise UsageError("standard input has no place beside it", "pass --into DIR")
        return base.with_name(base.name + tail)


def check(place: Place, sources: Sequence[Source]) -> None:
    """Refuse what could not be written where it belongs.

    Raises:
        UsageError: two inputs would have the same result, or the output folder is a file.
    """
    if place.folder is not None and place.folder.exists() and not place.folder.is_dir():
        raise UsageError(f"{place.folder} is no folder", "--into takes a folder; it is made where it is not there")
    taken: dict[str, Source] = {}
    for source in sources:
        name = os.path.normcase(place.result(source, "text"))
        other = taken.setdefault(name, source)
        if other is not source:
            text = f"{other.shown} and {source.shown} would have the same result, {place.result(source, 'text')}"
            raise UsageError(text, "name the folder that both are in, or use --beside")


def write(path: Path, data: bytes) -> None:
    """Write a file whole or not at all, and replace one that is there.

    Raises:
        OSError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    staged = path.with_name(f".ocrpack-{secrets.token_hex(8)}.part")
    try:
        with staged.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        staged.replace(path)
    except BaseException:
        staged.unlink(missing_ok=True)
        raise
