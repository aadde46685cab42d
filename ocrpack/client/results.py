"""Name the files of results, beside their images or in a folder, and write them whole."""

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
    """Name the files of results.

    They are called `page.png.ocr.txt`, not `page.txt`: so they never collide with the true text of an image, two images
    that differ in their suffix alone get different results, and the name tells which image was read.
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
        """Tell whether annotated pages of an input exist."""
        return any(self.picture(source, 1, count).exists() for count in (1, 2))

    def _base(self, source: Source, tail: str) -> Path:
        if self.folder is not None:
            base = self.folder / source.relative
        elif source.path is not None:
            base = source.path
        else:
            raise UsageError("standard input has no place beside it", "pass --into DIR")
        return base.with_name(base.name + tail)


def check_places(place: Place, sources: Sequence[Source]) -> None:
    """Refuse results that cannot be written where they belong.

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


def write_result(path: Path, data: bytes) -> None:
    """Write a file whole or not at all; replace an existing one.

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
    finally:
        staged.unlink(missing_ok=True)
