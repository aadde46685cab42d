"""Unpack bundles into releases: checked while they are written, read-only, published whole."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from ocrpack.bundle import MANIFEST, Archive, Entry, Hasher, Manifest, parse_manifest, written_back
from ocrpack.deploy.store.layout import STAGING, Deployment, Root
from ocrpack.deploy.system.files import fsync, remove_tree, sync_tree, write_new
from ocrpack.errors import BundleError, Finding, Where

_FILE_MODE, _FOLDER_MODE = 0o444, 0o555
_UNPROVEN = ".unproven-"
_FAILURES_KEPT = 3
_SMALL, _LARGE = 1 << 20, 32 << 20
_SHARED = ("weights", "wheel", "tool")
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
    if replaced and not check(release):
        _refuse(archive, archive.check(progress))
        return release, False
    if replaced:
        _drop_rotten_blobs(root, archive.manifest)
    staging = deployment.releases / f"{STAGING}{name}"
    remove_tree(staging)
    try:
        _write_files(archive, root, staging, supply, progress)
        if replaced:
            quarantine(deployment, name, "", "its files were altered; the bundle was unpacked anew")
        else:
            (deployment.releases / f"{_UNPROVEN}{name}").touch()
        staging.rename(release)
        fsync(deployment.releases)
    except BaseException:
        remove_tree(staging)
        raise
    return release, not replaced


def approve(deployment: Deployment, name: str) -> None:
    """Take the mark from a release that serves."""
    (deployment.releases / f"{_UNPROVEN}{name}").unlink(missing_ok=True)


def _write_files(archive: Archive, root: Root, staging: Path, supply: FileOf, progress: Callable[[int], None]) -> None:
    staging.mkdir()
    folders = {staging}
    files = [staging / MANIFEST]
    write_new(files[0], archive.manifest.data, _FILE_MODE)
    with Hasher() as hasher:
        for entry in archive.manifest.files:
            target = staging / entry.path
            if target.parent not in folders:
                target.parent.mkdir(parents=True, exist_ok=True)
                folders.update(parent for parent in target.parents if parent.is_relative_to(staging))
            if entry.role in _SHARED:
                _link_blob(archive, entry, root, target, supply, hasher, progress)
            elif entry.size <= _SMALL:
                write_new(target, archive.read(entry.path), _FILE_MODE)
                progress(entry.size)
            else:
                _write(archive, entry, target, supply, hasher, progress)
            files.append(target)
    sync_tree(staging, [*files, *sorted(folders, reverse=True)])
    for folder in sorted(folders, reverse=True):
        folder.chmod(_FOLDER_MODE)


def _write(
    archive: Archive, entry: Entry, target: Path, supply: FileOf, hasher: Hasher, progress: Callable[[int], None]
) -> None:
    large = entry.size > _LARGE
    with target.open("xb", buffering=0) as file, written_back(file.fileno()) if large else contextlib.nullcontext():
        os.fchmod(file.fileno(), _FILE_MODE)
        if entry not in archive.absent:
            _refuse(archive, archive.copy(entry, file, hasher, progress))
            return
        source = supply(entry)
        with source.open("rb", buffering=0) as given:
            found = hasher.copy(given, file, entry.size + 1, progress)
    if found.sha256 != entry.sha256:
        text, expected = f"{source} is not the {entry.path} of this bundle", f"SHA-256 {entry.sha256}"
        finding = Finding("digest", text, "get the declared file", Where(str(source)), expected, found.sha256)
        raise BundleError(text, finding.remedy, (finding,))


def _link_blob(
    archive: Archive,
    entry: Entry,
    root: Root,
    target: Path,
    supply: FileOf,
    hasher: Hasher,
    progress: Callable[[int], None],
) -> None:
    """Link a release's file to the blob of its digest, which is written first where there is none.

    The link comes before the blob's name, so that no other command can take the blob for unused.
    """
    blob = root.blobs / entry.sha256
    with contextlib.suppress(FileNotFoundError):
        if blob.stat().st_size == entry.size:
            os.link(blob, target)
            progress(entry.size)
            return
    root.blobs.mkdir(parents=True, exist_ok=True)
    partial = root.blobs / f"{STAGING}{archive.manifest.name}-{entry.sha256}"
    partial.unlink(missing_ok=True)
    try:
        _write(archive, entry, partial, supply, hasher, progress)
        try:
            os.link(partial, target)
        except OSError:  # a file system without hard links, or one that allows no more of them
            partial.replace(target)
            return
        partial.replace(blob)
    finally:
        partial.unlink(missing_ok=True)
    fsync(root.blobs)


def _drop_rotten_blobs(root: Root, manifest: Manifest) -> None:
    """Remove the blobs of these files that are not what their names say, so that they are written anew."""
    with Hasher() as hasher:
        for entry in shared(manifest):
            blob = root.blobs / entry.sha256
            with contextlib.suppress(FileNotFoundError):
                with blob.open("rb", buffering=0) as file:
                    found = hasher.copy(file, None, entry.size + 1)
                if found.sha256 != entry.sha256:
                    blob.unlink()


def shared(manifest: Manifest) -> list[Entry]:
    """Return the files that the root keeps once for all releases."""
    return [entry for entry in manifest.files if entry.role in _SHARED]


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


def check(release: Path) -> list[Finding]:
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
                findings.append(
                    Finding("file-altered", text, _UNPACKED_REMEDY, Where(str(path)), entry.sha256, found.sha256)
                )
    named = {entry.path for entry in manifest.files} | {MANIFEST}
    present = {path.relative_to(release).as_posix() for path in release.rglob("*") if not path.is_dir()}
    for extra in sorted(present - named):
        text = f"{extra} is not in the manifest"
        findings.append(Finding("file-extra", text, _UNPACKED_REMEDY, Where(str(release / extra))))
    return findings


def quarantine(deployment: Deployment, release: str, instance_tail: str, reason: str) -> None:
    """Move a release that did not make it to `failed/`, with why and its last output; old failures go."""
    folder = deployment.releases / release
    if not folder.exists():
        return
    moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    evidence = Path(tempfile.mkdtemp(prefix=f"{moment}-{release}-", dir=deployment.failed))
    (evidence / "reason.txt").write_text(reason + "\n", encoding="utf-8", errors="backslashreplace")
    (evidence / "instance.log").write_text(instance_tail, encoding="utf-8", errors="backslashreplace")
    folder.chmod(0o755)
    folder.replace(evidence / "release")
    approve(deployment, release)
    for old in _old_failures(deployment):
        remove_tree(old)


def _old_failures(deployment: Deployment) -> list[Path]:
    return sorted(deployment.failed.iterdir(), key=lambda folder: folder.name, reverse=True)[_FAILURES_KEPT:]


def clean_leftovers(root: Root, deployment: Deployment, running: set[str]) -> list[str]:
    """Remove what a killed deploy unpacked, in part or whole, and never promoted; hold the deployment's lock.

    A release in `running` stays.
    """
    left = sorted(deployment.releases.glob(f"{STAGING}*"))
    if root.blobs.is_dir():
        left += sorted(root.blobs.glob(f"{STAGING}{deployment.name}-{'[0-9a-f]' * 64}"))
    for mark in sorted(deployment.releases.glob(f"{_UNPROVEN}*")):
        release = deployment.releases / mark.name.removeprefix(_UNPROVEN)
        if release.name in running and release.name != deployment.current:
            continue
        if release.exists() and release.name != deployment.current:
            left.append(release)
        else:
            mark.unlink()
    for pattern in (".current-*", ".state.json-*", ".secrets.env.new-*", ".service.json-*", f"{STAGING}back"):
        left += deployment.folder.glob(pattern)
    for folder in left:
        remove_tree(folder)
        approve(deployment, folder.name)
    return [folder.name for folder in left]


def prune(root: Root, deployment: Deployment, keep: int, spare: set[str], *, dry_run: bool = False) -> list[str]:
    """Remove old releases beyond the newest `keep`, never one of `spare`; old failures and unused blobs too.

    The names of releases and failures are returned; with `dry_run` nothing is removed.
    """
    folders = sorted(
        (folder for folder in deployment.releases.iterdir() if not folder.name.startswith(".")),
        key=lambda folder: folder.stat().st_mtime_ns,
        reverse=True,
    )
    removed = [folder for folder in folders[keep:] if folder.name not in spare]
    removed += _old_failures(deployment)
    if not dry_run:
        for folder in removed:
            remove_tree(folder)
        prune_blobs(root)
    return [folder.name for folder in removed]


def prune_blobs(root: Root) -> None:
    """Remove blobs that no release links to."""
    if root.blobs.is_dir():
        for blob in root.blobs.iterdir():
            if blob.stat().st_nlink == 1 and not blob.name.startswith(STAGING):
                blob.unlink()
