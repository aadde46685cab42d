"""Unpack bundles into releases, look whether they were altered, and remove old ones.

A release is checked while it is written, read-only, and under its name only once it is whole.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ocrpack.bundle import MANIFEST, Archive, Entry, Hasher, Manifest, parse_manifest, written_back
from ocrpack.deploy.store import blobs, failed_releases, way_back
from ocrpack.deploy.store.layout import STAGING, UNPROVEN, Deployment, Root
from ocrpack.deploy.system.files import fsync, remove_tree, sync_tree, write_new
from ocrpack.errors import BundleError, Finding, Where

_FILE_MODE, _FOLDER_MODE = 0o444, 0o555
_SMALL, _LARGE = 1 << 20, 32 << 20
"""Up to where a file is read at once, and from where on it is written to the disk while it is unpacked."""
FileOf = Callable[[Entry], Path]
_UNPACKED_REMEDY = "deploy the bundle again"


def unpack(
    archive: Archive, root: Root, deployment: Deployment, supply: FileOf, progress: Callable[[int], None]
) -> tuple[Path, bool]:
    """Unpack a bundle and return its release folder, and whether this call made it.

    Weights and wheels are stored once in the root, by digest, and hard-linked: those that are here already are not
    read from the bundle again, and `supply` finds the file of weights that a thin bundle left out. A release that is
    there already stays as it is if it is sound, and is set aside if not; the bundle is checked all the same. A new
    release bears a mark beside it until `approve` takes that away.

    Raises:
        BundleError: a file is not what the manifest says; nothing of the bundle stays behind.
        PreflightError: weights cannot be had; nothing of the bundle stays behind.
        OSError: the disk is full or the folder cannot be written; nothing of the bundle stays behind.
    """
    name = archive.manifest.release
    release = deployment.releases / name
    replaced = release.exists()
    if replaced and not find_alterations(release):
        _refuse(archive, archive.check(progress))
        return release, False
    if replaced:
        blobs.remove_damaged(root, archive.manifest)
    staging = deployment.releases / f"{STAGING}{name}"
    remove_tree(staging)
    try:
        with Hasher() as hasher:
            _Unpacking(archive, root, supply, progress, hasher).write_release(staging)
        if replaced:
            failed_releases.keep(deployment, name, "", "its files were altered; the bundle was unpacked anew")
        else:
            deployment.unproven_mark(name).touch()
        staging.rename(release)
        fsync(deployment.releases)
    except BaseException:  # on Ctrl-C, too
        remove_tree(staging)
        raise
    return release, not replaced


def approve(deployment: Deployment, name: str) -> None:
    """Take the mark from a release that serves."""
    deployment.unproven_mark(name).unlink(missing_ok=True)


@dataclass(frozen=True)
class _Unpacking:
    """Writes the files of one bundle."""

    archive: Archive
    root: Root
    supply: FileOf
    progress: Callable[[int], None]
    hasher: Hasher

    def write_release(self, staging: Path) -> None:
        """Write all files and their folders durably, and make them read-only."""
        staging.mkdir()
        folders = {staging}
        files = [staging / MANIFEST]
        write_new(files[0], self.archive.manifest.data, _FILE_MODE)
        for entry in self.archive.manifest.files:
            target = staging / entry.path
            if target.parent not in folders:
                target.parent.mkdir(parents=True, exist_ok=True)
                folders.update(parent for parent in target.parents if parent.is_relative_to(staging))
            self._write(entry, target)
            files.append(target)
        sync_tree(staging, [*files, *sorted(folders, reverse=True)])
        for folder in sorted(folders, reverse=True):
            folder.chmod(_FOLDER_MODE)

    def _write(self, entry: Entry, target: Path) -> None:
        if blobs.is_shared(entry):
            name = self.archive.manifest.name
            if blobs.link(self.root, name, entry, target, lambda blob: self._copy(entry, blob)):
                self.progress(entry.size)
        elif entry.size <= _SMALL:
            write_new(target, self.archive.read(entry.path), _FILE_MODE)
            self.progress(entry.size)
        else:
            self._copy(entry, target)

    def _copy(self, entry: Entry, target: Path) -> None:
        """Write a file piece by piece.

        Raises:
            BundleError: it is not what the manifest says.
        """
        large = entry.size > _LARGE
        with (
            target.open("xb", buffering=0) as file,
            written_back(file.fileno()) if large else contextlib.nullcontext(),
        ):
            os.fchmod(file.fileno(), _FILE_MODE)
            if entry not in self.archive.absent:
                _refuse(self.archive, self.archive.copy(entry, file, self.hasher, self.progress))
                return
            source = self.supply(entry)
            with source.open("rb", buffering=0) as given:
                found = self.hasher.copy(given, file, entry.size + 1, self.progress)
        if found.sha256 != entry.sha256:
            text = f"{source} is not the {entry.path} of this bundle"
            finding = Finding(
                "digest",
                text,
                "get the declared file",
                Where(str(source)),
                expected=f"SHA-256 {entry.sha256}",
                got=found.sha256,
            )
            raise BundleError(text, finding.remedy, (finding,))


def _refuse(archive: Archive, findings: list[Finding]) -> None:
    if findings:
        first = findings[0]
        raise BundleError(f"{archive.path.name} is corrupt: {first.message}", first.remedy, tuple(findings))


def read_manifest(release: Path) -> Manifest:
    """Return the manifest of an unpacked release.

    Raises:
        BundleError: it is missing or damaged.
    """
    try:
        return parse_manifest((release / MANIFEST).read_bytes())
    except OSError as error:
        raise BundleError(f"cannot read {release / MANIFEST}: {error.strerror}", _UNPACKED_REMEDY) from None


def find_alterations(release: Path) -> list[Finding]:
    """Compare a release's files with its manifest; an empty list means sound."""
    try:
        manifest = read_manifest(release)
    except BundleError as error:
        return [Finding("manifest", error.message, error.remedy, Where(str(release)))]
    findings = []
    with Hasher() as hasher:
        for entry in manifest.files:
            path = release / entry.path
            try:
                with path.open("rb", buffering=0) as file:
                    found = hasher.copy(file, None, entry.size + 1)
            except OSError as error:
                text = f"{entry.path} cannot be read: {error.strerror}"
                findings.append(Finding("file-missing", text, _UNPACKED_REMEDY, Where(str(path))))
                continue
            if found.sha256 != entry.sha256:
                text = f"{entry.path} was altered"
                where = Where(str(path))
                findings.append(
                    Finding("file-altered", text, _UNPACKED_REMEDY, where, expected=entry.sha256, got=found.sha256)
                )
    named = {entry.path for entry in manifest.files} | {MANIFEST}
    present = {path.relative_to(release).as_posix() for path in release.rglob("*") if not path.is_dir()}
    for extra in sorted(present - named):
        text = f"{extra} is not in the manifest"
        findings.append(Finding("file-extra", text, _UNPACKED_REMEDY, Where(str(release / extra))))
    return findings


def clean_leftovers(root: Root, deployment: Deployment, running: set[str]) -> list[str]:
    """Remove what a killed deploy unpacked, in part or whole, and never promoted; hold the deployment's lock.

    A release in `running` stays.
    """
    left = sorted(deployment.releases.glob(f"{STAGING}*"))
    left += blobs.leftovers(root, deployment.name)
    for mark in sorted(deployment.releases.glob(f"{UNPROVEN}*")):
        release = deployment.releases / mark.name.removeprefix(UNPROVEN)
        if release.name in running and release.name != deployment.current:
            continue
        if release.exists() and release.name != deployment.current:
            left.append(release)
        else:
            mark.unlink()
    for pattern in (".current-*", ".state.json-*", ".secrets.env.new-*", ".service.json-*", way_back.STAGING):
        left += deployment.folder.glob(pattern)
    for folder in left:
        remove_tree(folder)
        approve(deployment, folder.name)
    return [folder.name for folder in left]


def remove_old(root: Root, deployment: Deployment, keep: int, spare: set[str], *, dry_run: bool = False) -> list[str]:
    """Remove old releases beyond the newest `keep`, never one of `spare`; old failures and unused blobs too.

    The names of releases and failures are returned; with `dry_run` nothing is removed.
    """
    folders = sorted(
        (folder for folder in deployment.releases.iterdir() if not folder.name.startswith(".")),
        key=lambda folder: folder.stat().st_mtime_ns,
        reverse=True,
    )
    removed = [folder for folder in folders[keep:] if folder.name not in spare]
    removed += failed_releases.too_many(deployment)
    if not dry_run:
        for folder in removed:
            remove_tree(folder)
        blobs.remove_unused(root)
    return [folder.name for folder in removed]
