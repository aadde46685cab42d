"""What a bundle is, told from its own files: its card, and how two bundles differ."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from ocrpack.bundle.format.archive_reader import Archive
from ocrpack.bundle.format.manifest import Manifest
from ocrpack.bundle.format.measured import MEASURED, Measured
from ocrpack.bundle.format.measured import parse as parse_measured
from ocrpack.bundle.format.signature import Signed, read_signature
from ocrpack.bundle.packages.lockfile import LOCK, Lock, parse_lock
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
        manifest=archive.manifest,
        descriptor=archive.descriptor(),
        lock=parse_lock(archive.read(LOCK)),
        measured=measured,
        signed=read_signature(signature) if signature else None,
        bytes=archive.path.stat().st_size,
        absent=tuple(entry.path for entry in archive.absent),
    )
