"""`ocrpack validate`: check a bundle source."""

from __future__ import annotations

from pathlib import Path

from ocrpack.cli import console
from ocrpack.cli.common import Json, Quiet
from ocrpack.cli.packager_options import SourceFolder


def command(source: SourceFolder = Path(), json: Json = False, quiet: Quiet = False) -> None:
    """Check a bundle source and print every finding at once.

    Example: ocrpack validate bundles/tesseract
    """
    from ocrpack.bundle import check_source

    loaded, _, warnings = check_source(source)
    descriptor = loaded.descriptor
    if json:
        found = [finding.as_dict() for finding in warnings]
        console.print_json({"ok": True, "name": descriptor.name, "version": descriptor.version, "findings": found})
        return
    console.findings(warnings)
    if not quiet:
        console.result(f"{descriptor.name} {descriptor.version} is sound")
