"""`ocrpack lock`: write requirements.lock into a source folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ocrpack.cli import console
from ocrpack.cli.common import Json, Quiet
from ocrpack.cli.packager_options import Platforms, SourceFolder, build_listener


def command(
    source: SourceFolder = Path(),
    upgrade: Annotated[
        bool, typer.Option("--upgrade", "-U", help="Take the newest versions, not those locked.")
    ] = False,
    platform: Platforms = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write requirements.lock into a source folder: every package with its version, hashes and licence.

    Later builds take it as it is, without a network, until the requirements change.

    Example: ocrpack lock bundles/tesseract
    """
    from ocrpack.bundle import LOCK, BuildOptions, check_source, lock_of

    loaded, _, _ = check_source(source)
    with build_listener(quiet or json) as listener:
        locked = lock_of(loaded, BuildOptions(platforms=tuple(platform or ())), listener, upgrade=upgrade).lock
    place = loaded.folder / LOCK
    changed = not place.exists() or place.read_bytes() != locked.data
    if changed:
        place.write_bytes(locked.data)
    if json:
        packages = [{"name": pin.name, "version": pin.version, "licence": pin.licence} for pin in locked.pins]
        console.print_json({"lock": str(place), "changed": changed, "packages": packages})
        return
    note = "" if changed else ", unchanged"
    if not quiet:
        console.result(f"{place}: {console.counted(len(locked.pins), 'package')}{note}")
