"""How documents are to be read."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Options:
    """Say how documents are to be read; `region` is in pixels of the upright page, `pages` such as "1-3,5"."""

    output: str = "json"
    languages: tuple[str, ...] = ()
    region: tuple[int, int, int, int] | None = None
    preprocess: str = "auto"
    pages: str | None = None


OPTIONS = tuple(option.name for option in fields(Options))
