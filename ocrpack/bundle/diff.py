"""How two bundles differ: packages, weights, descriptor, files and measured samples."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ocrpack.bundle.format.manifest import Manifest
from ocrpack.bundle.format.measured import Measured
from ocrpack.bundle.inspect import Card
from ocrpack.bundle.packages.lockfile import Lock
from ocrpack.descriptor import Descriptor


@dataclass(frozen=True)
class Change:
    """One difference: what it is about, and its value before and after; None where there was or is none."""

    kind: str
    what: str
    before: str | None
    after: str | None


def differences(one: Card, other: Card) -> list[Change]:
    """Return how two bundles differ: packages, weights, descriptor, other files, measured samples."""
    found: list[Change] = []

    def compare(kind: str, before: Mapping[str, str], after: Mapping[str, str]) -> None:
        for what in dict.fromkeys((*before, *after)):
            if before.get(what) != after.get(what):
                found.append(Change(kind, what, before.get(what), after.get(what)))

    compare("package", _packages(one.lock), _packages(other.lock))
    compare("weights", _files(one.manifest, weights=True), _files(other.manifest, weights=True))
    compare("descriptor", dict(_leaves(one.descriptor)), dict(_leaves(other.descriptor)))
    compare("file", _files(one.manifest, weights=False), _files(other.manifest, weights=False))
    compare("measured", _measured(one.measured), _measured(other.measured))
    return found


def _packages(lock: Lock) -> dict[str, str]:
    return {f"{pin.name} ; {pin.marker}" if pin.marker else pin.name: pin.version or pin.url for pin in lock.pins}


_TOLD_ELSEWHERE = {"descriptor", "lock", "measured", "guide", "sbom"}


def _files(manifest: Manifest, *, weights: bool) -> dict[str, str]:
    return {
        entry.path: f"{entry.size} bytes, SHA-256 {entry.sha256[:12]}"
        for entry in manifest.files
        if (entry.role == "weights") == weights and entry.role not in _TOLD_ELSEWHERE
    }


def _leaves(descriptor: Descriptor) -> list[tuple[str, str]]:
    """Return every value of a descriptor with its path; weights' digests and sizes are told with the weights."""
    document = json.loads(descriptor.as_json())
    for weight in document["model"].get("weights", ()):
        weight.pop("sha256", None), weight.pop("size", None)
    leaves: list[tuple[str, str]] = []
    pending: list[tuple[str, Any]] = [("", document)]
    while pending:
        path, value = pending.pop()
        if isinstance(value, dict):
            pending += [(f"{path}.{key}".lstrip("."), item) for key, item in reversed(value.items())]
        elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
            pending += [(f"{path}[{number}]", item) for number, item in reversed(list(enumerate(value)))]
        else:
            leaves.append((path, json.dumps(value, ensure_ascii=False)))
    return leaves


def _measured(measured: Measured | None) -> dict[str, str]:
    if measured is None:
        return {}
    told = {"ready_seconds": str(measured.ready_seconds), "peak_memory_mb": str(measured.peak_memory_mb)}
    for sample in measured.samples:
        told[f"{sample.image} cer"], told[f"{sample.image} seconds"] = str(sample.cer), str(sample.seconds)
    return told
