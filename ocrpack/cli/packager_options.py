"""Options that the packager's commands share, and how a build shows its progress."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ocrpack.cli import console

if TYPE_CHECKING:
    from ocrpack.bundle import BuildListener


SourceFolder = Annotated[
    Path, typer.Argument(metavar="[SOURCE]", help="The source folder, or its descriptor.json.", show_default="here")
]
Platforms = Annotated[
    list[str] | None,
    typer.Option("--platform", metavar="TAG", help="Carry wheels for this platform, such as manylinux_2_28_x86_64."),
]
Bundle = Annotated[Path, typer.Argument(metavar="BUNDLE", help="A bundle that `ocrpack build` made.")]
Reference = Annotated[str, typer.Argument(metavar="REFERENCE", help="HOST/REPOSITORY[:TAG].")]
PlainHttp = Annotated[bool, typer.Option("--plain-http", help="The registry has no TLS; known of this machine's own.")]


@contextlib.contextmanager
def build_listener(quiet: bool) -> Iterator[BuildListener]:
    """Yield what shows how a build goes on, while the block runs."""
    from ocrpack.bundle import BuildListener

    with console.Progress(quiet=quiet).shown() as progress:
        yield BuildListener(progress.total, progress.advance, progress.line, progress.doing)
