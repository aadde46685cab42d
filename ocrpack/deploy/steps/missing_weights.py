"""What a bundle brings with it and what this machine must add: who signed it, wheels, and weights that it left out."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ocrpack.bundle import Archive, Entry, FetchError, Pin, Target, fetch, sha256_of, verify_signature
from ocrpack.deploy.store.layout import Root
from ocrpack.descriptor import Descriptor
from ocrpack.errors import Finding, PreflightError, Where


def signer(archive: Archive, root: Root, allowed: Path | None) -> str | None:
    """Return who signed a bundle, where that is asked for: by a file of allowed signers, or by the root's own.

    Raises:
        BundleError: it is not signed by one of them.
    """
    wanted = allowed or (root.allowed_signers if os.path.lexists(root.allowed_signers) else None)
    if wanted is None:
        return None
    return verify_signature(archive.path.name, archive.manifest.digest, archive.signature(), wanted)


def no_wheel(pin: Pin, carried: Mapping[str, str], machine: Target) -> Finding:
    """Return the finding for a package that the bundle carries no fitting wheel of."""
    prefix = pin.name.replace("-", "_") + "_"
    there = sorted(name for name in carried if name.lower().replace("-", "_").startswith(prefix))
    text = f"the bundle carries no wheel of {pin.name} {pin.version} for {machine}"
    remedy = "build it with --wheels for this --platform and --python, or deploy without --offline"
    return Finding("wheel-missing", text, remedy, None, str(machine), ", ".join(there) or "no wheel")


@dataclass(frozen=True)
class Supply:
    """Finds the files of weights that a thin bundle left out.

    `here` are those on this machine, by digest; `addresses` those that they can be fetched from, by digest; `findings`
    name what is nowhere to be had.
    """

    here: Mapping[str, Path]
    addresses: Mapping[str, tuple[str, ...]]
    findings: tuple[Finding, ...] = ()

    def __call__(self, entry: Entry) -> Path:
        """Return the file of one weight, fetched where it is not here.

        Raises:
            PreflightError: it cannot be fetched, or is something else.
        """
        if entry.sha256 in self.here:
            return self.here[entry.sha256]
        failed = []
        for url in self.addresses.get(entry.sha256, ()):
            try:
                return fetch(url, entry.sha256, entry.size)
            except FetchError as error:
                values = f" (expected {error.expected}, got {error.got})" if error.got else ""
                failed.append(f"{error.message}{values}")
        raise PreflightError(f"{entry.path}: {'; '.join(failed)}", "pass --weights DIR, or deploy the full bundle")


def find(archive: Archive, root: Root, descriptor: Descriptor, folder: Path | None, *, fetches: bool) -> Supply:
    """Look for the weights that a thin bundle left out: in the root, in `folder`, and at its source if it `fetches`."""
    here: dict[str, Path] = {}
    addresses: dict[str, tuple[str, ...]] = {}
    findings = []
    for entry in archive.absent:
        places = [root.blobs / entry.sha256]
        if folder is not None:
            places += [folder / name for name in (entry.path, entry.path.rpartition("/")[2], entry.sha256)]
        found = _fitting(places, entry)
        source = _source(descriptor, entry) if fetches else ()
        if found is not None:
            here[entry.sha256] = found
        elif source:
            addresses[entry.sha256] = source
        else:
            text = f"{entry.path} is not in this thin bundle, and not on this machine"
            remedy = "pass --weights DIR with the file, or deploy the full bundle"
            expected = f"{entry.size} bytes, SHA-256 {entry.sha256}"
            findings.append(Finding("weights-missing", text, remedy, Where(archive.path.name), expected))
    return Supply(here, addresses, tuple(findings))


def _fitting(places: list[Path], entry: Entry) -> Path | None:
    """Return the first file of the right size; of several the first one with the right content."""
    sized = [place for place in places if place.is_file() and place.stat().st_size == entry.size]
    return next((place for place in sized[:-1] if sha256_of(place) == entry.sha256), sized[-1] if sized else None)


def _source(descriptor: Descriptor, entry: Entry) -> tuple[str, ...]:
    weight = next((one for one in descriptor.model.weights if one.path == entry.path), None)
    return weight.places if weight is not None and weight.source else ()
