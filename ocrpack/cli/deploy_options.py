"""Options that `deploy`, `rollback` and `verify` share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

Installer = Annotated[Literal["auto", "uv", "pip"], typer.Option(help="What makes the virtual environment.")]
TagRepo = Annotated[Path | None, typer.Option(metavar="DIR", help="The git repository to tag the version in.")]
NoTag = Annotated[bool, typer.Option("--no-tag", help="Do not tag the version in git.")]
InstallDeadline = Annotated[float, typer.Option(metavar="SECONDS", min=1, help="Time to install.")]
Keep = Annotated[int, typer.Option(min=1, help="How many releases to keep.")]
Observe = Annotated[
    float, typer.Option(metavar="SECONDS", min=0, help="Watch it on the public address that long, then drain the old.")
]
StopFirst = Annotated[
    bool, typer.Option("--stop-first", help="Stop what runs first, where memory is short; clients wait.")
]
MaxRegression = Annotated[
    float | None,
    typer.Option(metavar="CER", min=0, help="Refuse it if a sample's error rate is higher than now by more than that."),
]
Offline = Annotated[
    bool, typer.Option("--offline", help="Use no network: the bundle's own wheels, and weights that are here.")
]
AllowedSigners = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Refuse a bundle that none of these signed (man ssh-keygen).")
]
WeightsFolder = Annotated[
    Path | None, typer.Option("--weights", metavar="DIR", help="Where the weights of a thin bundle are.")
]
