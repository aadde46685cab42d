"""Write the bill of materials of a bundle: its locked packages and its weights, as CycloneDX 1.6."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from ocrpack.bundle.format.manifest import Entry
from ocrpack.bundle.packages.lockfile import Lock, Pin
from ocrpack.descriptor import Descriptor

SBOM = "sbom.cdx.json"
_EPOCH = datetime(1980, 1, 1, tzinfo=UTC)
_NAMESPACE = uuid.UUID("5a0f1f0e-6f1c-5c7b-9d55-6f6372706163")


def sbom(descriptor: Descriptor, lock: Lock, weights: Sequence[Entry]) -> bytes:
    """Return the bill of materials; equal bundles get equal bytes.

    The format is CycloneDX 1.6 (ECMA-424), written by its own library.
    """
    from cyclonedx.model.bom import Bom, BomMetaData
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.output.json import JsonV1Dot6

    app = Component(
        type=ComponentType.APPLICATION, name=descriptor.name, version=descriptor.version,
        bom_ref=f"{descriptor.name}@{descriptor.version}", description=descriptor.summary or None,
        licenses=_licences(descriptor.license),
    )  # fmt: skip
    model = Component(
        type=ComponentType.MACHINE_LEARNING_MODEL, name=descriptor.model.name, version=descriptor.model.version,
        bom_ref="model", licenses=_licences(descriptor.model.license),
        components=[
            Component(type=ComponentType.FILE, name=entry.path, bom_ref=entry.path, hashes=_hashes([entry.sha256]))
            for entry in weights
        ],
    )  # fmt: skip
    packages = [_package(pin) for pin in lock.pins]
    serial = uuid.uuid5(_NAMESPACE, f"{descriptor.as_json()}{lock.data.decode()}{[entry.sha256 for entry in weights]}")
    bom = Bom(
        serial_number=serial, metadata=BomMetaData(timestamp=_EPOCH, component=app), components=[model, *packages]
    )
    bom.register_dependency(app, [model, *packages])
    return (JsonV1Dot6(bom).output_as_string(indent=1) + "\n").encode()


def _package(pin: Pin):  # type: ignore[no-untyped-def]
    from cyclonedx.model.component import Component, ComponentType
    from packageurl import PackageURL

    qualifiers = {"download_url": pin.url} if pin.url else {"vcs_url": pin.origin} if pin.origin else {}
    return Component(
        type=ComponentType.LIBRARY, name=pin.name, version=pin.version or None,
        bom_ref=f"{pin.name}@{pin.version}" + (f" ; {pin.marker}" if pin.marker else ""),
        purl=PackageURL("pypi", name=pin.name, version=pin.version or None, qualifiers=qualifiers),
        hashes=_hashes(pin.hashes), licenses=_licences(pin.licence or None),
    )  # fmt: skip


def _hashes(digests: Iterable[str]):  # type: ignore[no-untyped-def]
    from cyclonedx.model import HashAlgorithm, HashType

    return [HashType(alg=HashAlgorithm.SHA_256, content=digest) for digest in digests]


def _licences(text: str | None):  # type: ignore[no-untyped-def]
    from cyclonedx.contrib.license.factories import LicenseFactory

    return [] if text is None else [LicenseFactory().make_from_string(text)]
