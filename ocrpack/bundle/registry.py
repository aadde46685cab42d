"""Keep bundles in an OCI registry, as artifacts: the bundle's manifest is the config, its archive the only layer."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from packaging.version import InvalidVersion, Version
from pydantic import BaseModel, Field, ValidationError

from ocrpack.bundle.format.archive_reader import Archive
from ocrpack.bundle.format.hashing import CHUNK, Progress, sha256_of
from ocrpack.bundle.format.manifest import Manifest
from ocrpack.errors import BundleError, ConflictError, NotFoundError, PreflightError, UsageError, explained_io

if TYPE_CHECKING:
    from oras.container import Container
    from oras.provider import Registry

CONFIG_TYPE = "application/vnd.ocrpack.manifest.v1+json"
LAYER_TYPE = "application/vnd.ocrpack.bundle.v1+zip"
_NOT_THERE = "Not Found"
_TIMEOUT_S = 20
_UPLOAD_CHUNK = 16 << 20
_LOCAL = ("localhost", "127.0.0.1", "[::1]")


class _Layer(BaseModel):
    """One layer of an artifact, as far as it matters here (OCI image specification 1.1, manifest.md)."""

    digest: Annotated[str, Field(pattern="^sha256:[0-9a-f]{64}$")]
    media_type: Annotated[str, Field(alias="mediaType")] = ""


class _Document(BaseModel):
    layers: tuple[_Layer, ...] = ()


@dataclass(frozen=True)
class Place:
    """Where a bundle is in a registry: the repository with its host, and the tag or digest."""

    repository: str
    tag: str

    def __str__(self) -> str:
        return f"{self.repository}{'@' if ':' in self.tag else ':'}{self.tag}"


def push(bundle: Path, reference: str, *, plain_http: bool, force: bool, on_line: Callable[[str], None]) -> Place:
    """Upload a bundle, once it was found sound, and return where it is; the tag is its version where none is named.

    Credentials are those of `docker login` and `oras login`.

    Raises:
        BundleError: the bundle is unsound.
        ConflictError: another bundle has that tag, and `force` is not given.
        UsageError: the reference is none.
        PreflightError: the registry cannot be reached, or refuses.
    """
    with Archive(bundle) as archive:
        findings = archive.check()
        if findings:
            raise BundleError(findings[0].message, findings[0].remedy, tuple(findings))
        manifest = archive.manifest
    place = _place(reference)
    place = Place(place.repository, place.tag or manifest.version.replace("+", "_"))
    digest = f"sha256:{sha256_of(bundle)}"
    with _asking(place, plain_http) as (registry, container):
        known = _layer(registry, container)
        if known == digest:
            on_line(f"{place} is there already")
            return place
        if known is not None and not force:
            raise ConflictError(
                f"{place} is another bundle", "raise `version` in the descriptor, or pass --force to replace it"
            )
        with tempfile.TemporaryDirectory(prefix="ocrpack-push-") as name:
            config = Path(name, "manifest.json")
            config.write_bytes(manifest.data)
            on_line(f"push {place}")
            registry.push(
                str(place), files=[f"{bundle.absolute()}:{LAYER_TYPE}"], manifest_config=f"{config}:{CONFIG_TYPE}",
                disable_path_validation=True, do_chunked=bundle.stat().st_size > _UPLOAD_CHUNK,
                chunk_size=_UPLOAD_CHUNK, quiet=True, manifest_annotations=_annotations(manifest),
            )  # fmt: skip
    return place


def pull(
    reference: str, output: Path, *, plain_http: bool, force: bool, total: Callable[[int], None], progress: Progress
) -> tuple[Path, Manifest]:
    """Download a bundle, check it whole, and return it as NAME-VERSION.zip in a folder, or as the file `output`.

    Without a tag it is the highest version.

    Raises:
        NotFoundError: there is no such artifact, or it is no bundle.
        BundleError: what was downloaded is not what the registry named, or is unsound.
        ConflictError: another bundle stands there, and `force` is not given.
        UsageError: the reference is none, or the user's credentials cannot be read.
        PreflightError: the registry cannot be reached or refuses, or the disk is full.
    """
    place = _place(reference)
    with explained_io("pull the bundle", output), _asking(place, plain_http) as (registry, container):
        if not place.tag:
            place = Place(place.repository, _newest(registry, container, place))
            container = registry.get_container(str(place))
        digest = _layer(registry, container)
        if digest is None:
            raise NotFoundError(f"{place} is no bundle, or is not there", "`ocrpack push` puts one there")
        folder = output.parent if output.suffix.lower() == ".zip" else output
        folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=folder, prefix=".pull-", suffix=".zip")
        partial = Path(name)
        try:
            found = hashlib.sha256()
            with os.fdopen(handle, "wb") as file, registry.get_blob(container, digest, stream=True) as answer:
                answer.raise_for_status()
                total(int(answer.headers.get("Content-Length", 0)))
                for data in answer.iter_content(CHUNK):
                    file.write(data)
                    found.update(data)
                    progress(len(data))
            if f"sha256:{found.hexdigest()}" != digest:
                raise BundleError(f"{place} is not what the registry names", "pull it again")
            with Archive(partial) as archive:
                manifest = archive.manifest
            target = output if output.suffix.lower() == ".zip" else folder / f"{manifest.name}-{manifest.version}.zip"
            if target.exists() and not force and f"sha256:{sha256_of(target)}" != digest:
                remedy = "pass --force to replace it, or -o for another place"
                raise ConflictError(f"{target} exists with other content", remedy)
            partial.chmod(0o644)
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
    return target, manifest


def _place(reference: str) -> Place:
    plain = reference.removeprefix("oci://")
    repository, at, digest = plain.partition("@")
    head, slash, last = repository.rpartition("/")
    last, _, tag = last.partition(":")
    if not slash or not last or (at and not digest.startswith("sha256:")) or "://" in repository:
        raise UsageError(f"{reference!r} names nothing in a registry", "write HOST/REPOSITORY:TAG")
    return Place(f"{head}/{last}", digest or tag)


@contextlib.contextmanager
def _asking(place: Place, plain_http: bool) -> Iterator[tuple[Registry, Container]]:
    """Yield the registry client and the reference; turn every error of the client into one of ocrpack's."""
    import requests
    from oras.logger import logger
    from oras.provider import Registry

    logger.set_level(logging.CRITICAL)  # it prints
    host = place.repository.partition("/")[0]
    local = host in _LOCAL or host.rpartition(":")[0] in _LOCAL
    try:
        registry = Registry(insecure=plain_http or local)
        registry.session.get(f"{registry.prefix}://{host}/v2/", timeout=_TIMEOUT_S)  # its own requests try for minutes
        container = registry.get_container(str(place) if place.tag else place.repository)
        try:
            registry.auth.load_configs(container)
        except ValueError as error:
            raise UsageError(
                f"the credentials for registries cannot be read: {error}", "~/.docker/config.json"
            ) from None
        yield registry, container
    except requests.RequestException as error:
        text = f"the registry {host} cannot be asked: {error}"
        raise PreflightError(text, "check its name and the network; --plain-http for one without TLS") from None
    except ValueError as error:
        if _NOT_THERE in str(error):
            raise NotFoundError(f"{place.repository} is not there", "`ocrpack push` puts a bundle there") from None
        text = f"the registry {host} refuses: {error}"
        raise PreflightError(text, f"`docker login {host}` if it needs credentials") from None


def _layer(registry: Registry, container: Container) -> str | None:
    """Return the digest of the bundle at a place, or None where there is none."""
    try:
        document = registry.get_manifest(container)
    except ValueError as error:
        if _NOT_THERE in str(error):
            return None
        raise
    try:
        layers = _Document.model_validate(document).layers
    except ValidationError:
        return None
    return next((layer.digest for layer in layers if layer.media_type == LAYER_TYPE), None)


def _newest(registry: Registry, container: Container, place: Place) -> str:
    versions: dict[Version, str] = {}
    with contextlib.suppress(AttributeError, KeyError, TypeError):  # what a registry answers that is none
        for tag in registry.get_tags(container):
            with contextlib.suppress(InvalidVersion):
                versions[Version(tag.replace("_", "+"))] = tag
    if not versions:
        raise NotFoundError(f"{place.repository} has no version", "name a tag")
    return versions[max(versions)]


def _annotations(manifest: Manifest) -> dict[str, str]:
    return {
        "org.opencontainers.image.title": manifest.name,
        "org.opencontainers.image.version": manifest.version,
        "org.ocrpack.bundle.digest": f"sha256:{manifest.digest}",
    }
