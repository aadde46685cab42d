"""What a bundle is, told from its own files: its card, and how two bundles differ."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ocrpack.bundle.archive import Archive
from ocrpack.bundle.lock import LOCK, Lock
from ocrpack.bundle.lock import parse as parse_lock
from ocrpack.bundle.manifest import Manifest
from ocrpack.bundle.measured import MEASURED, Measured
from ocrpack.bundle.measured import parse as parse_measured
from ocrpack.bundle.signature import Signed
from ocrpack.bundle.signature import read as read_signature
from ocrpack.descriptor import Descriptor


@dataclass(frozen=True)
class Card:
    """What a bundle is; `signed` is what its signature says of itself, which proves nothing by itself."""

    manifest: Manifest
    descriptor: Descriptor
    lock: Lock
    measured: Measured | None
    signed: Signed | None
    bytes: int
    absent: tuple[str, ...]

    @property
    def sizes(self) -> dict[str, int]:
        """The bytes of all files of each role, the largest first."""
        sizes: Counter[str] = Counter()
        for entry in self.manifest.files:
            sizes[entry.role] += entry.size
        return dict(sizes.most_common())

    def as_dict(self) -> dict[str, Any]:
        """Return the card as JSON-ready values."""
        manifest, model = self.manifest, self.descriptor.model
        return {
            "name": manifest.name,
            "version": manifest.version,
            "digest": manifest.digest,
            "summary": self.descriptor.summary,
            "license": self.descriptor.license,
            "bytes": self.bytes,
            "files": len(manifest.files),
            "sizes": self.sizes,
            "signature": None
            if self.signed is None
            else {"key": self.signed.key, "fingerprint": self.signed.fingerprint},
            "model": {
                "name": model.name,
                "version": model.version,
                "license": model.license,
                "languages": list(model.languages),
            },
            "weights": [
                {
                    "path": entry.path,
                    "size": entry.size,
                    "sha256": entry.sha256,
                    "inside": entry.path not in self.absent,
                }
                for entry in manifest.having("weights")
            ],
            "python": self.descriptor.python,
            "packages": [
                {"name": pin.name, "version": pin.version, "marker": pin.marker, "licence": pin.licence}
                for pin in self.lock.pins
            ],
            "wheels": sorted(entry.path.rpartition("/")[2] for entry in manifest.having("wheel")),
            "samples": [{"image": sample.image, "max_cer": sample.max_cer} for sample in self.descriptor.samples],
            "measured": None if self.measured is None else self.measured.model_dump(mode="json"),
        }


def card(archive: Archive) -> Card:
    """Return the card of an opened bundle.

    Raises:
        BundleError: one of the files that it is told from is unsound.
    """
    names = {entry.path for entry in archive.manifest.files}
    measured = parse_measured(archive.read(MEASURED)) if MEASURED in names else None
    signature = archive.signature()
    return Card(
        archive.manifest,
        archive.descriptor(),
        parse_lock(archive.read(LOCK)),
        measured,
        read_signature(signature) if signature else None,
        archive.path.stat().st_size,
        tuple(entry.path for entry in archive.absent),
    )


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
