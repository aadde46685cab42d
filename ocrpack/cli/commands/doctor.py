"""`ocrpack doctor`: look whether this machine can build and deploy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ocrpack.cli import console
from ocrpack.cli.common import Json, Quiet, RootFolder, find_root
from ocrpack.errors import PreflightError

if TYPE_CHECKING:
    from ocrpack.deploy.operations.doctor import Part


def command(root: RootFolder = None, json: Json = False, quiet: Quiet = False) -> None:
    """Look whether this machine is able to build and to deploy, and say how to mend it.

    Example: ocrpack doctor
    """
    from ocrpack.deploy.operations import doctor

    parts = doctor.examine(find_root(root))
    found = [finding for part in parts for finding in part.findings]
    errors = tuple(finding for finding in found if finding.severity == "error")
    facts: dict[str, Any] = {}
    for part in parts:
        facts.update(part.facts)
    answer = {"ok": not errors, "findings": [finding.as_dict() for finding in found], "facts": facts}
    if not json and not quiet:
        _show(parts)
    if errors:
        text = f"this machine is not ready: {console.counted(len(errors), 'problem')}"
        raise PreflightError(text, errors[0].remedy, errors if json or quiet else (), answer=answer)
    if json:
        console.print_json(answer)


def _show(parts: list[Part]) -> None:
    for part in parts:
        console.result(f"{part.severity or 'ok':<8} {part.name:<12} {part.summary}")
        for finding in part.findings:
            console.result(f"{'':<21} {finding.message}")
            if finding.remedy:
                console.result(f"{'':<21} -> {finding.remedy}")
