"""Find the weights that a thin bundle left out: on this machine, or where they can be fetched from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ocrpack.bundle import Archive, Entry, FetchError, fetch, sha256_of
from ocrpack.deploy.store.layout import Root
from ocrpack.descriptor import Descriptor
from ocrpack.errors import Finding, PreflightError, Where


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
        source = _addresses(descriptor, entry) if fetches else ()
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
    """Return the first file of the right size; of several, the first one with the right digest.

    The last one is not read: unpacking checks its digest, and large files are slow to read twice.
    """
    sized = [place for place in places if place.is_file() and place.stat().st_size == entry.size]
    return next((place for place in sized[:-1] if sha256_of(place) == entry.sha256), sized[-1] if sized else None)


def _addresses(descriptor: Descriptor, entry: Entry) -> tuple[str, ...]:
    weight = next((one for one in descriptor.model.weights if one.path == entry.path), None)
    return weight.places if weight is not None and weight.source else ()
