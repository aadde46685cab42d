"""The options of a request: how its documents are to be read."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Options:
    """Hold the options of a request.

    `region` is left, top, right, bottom in pixels of the upright page; `pages` is a choice such as "1-3,5".
    """

    output: str = "json"
    languages: tuple[str, ...] = ()
    region: tuple[int, int, int, int] | None = None
    preprocess: str = "auto"
    pages: str | None = None


OPTIONS = tuple(option.name for option in fields(Options))
"""Their names, as requests and the store of jobs have them."""
