"""What goes into a bundle: each file with its role and where its bytes come from."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ocrpack.bundle.contents import setup_guide
from ocrpack.bundle.contents.sbom import SBOM
from ocrpack.bundle.format.manifest import MANIFEST, SIGNATURE, WHEELS, Role, order
from ocrpack.bundle.format.measured import MEASURED
from ocrpack.bundle.packages.lockfile import LOCK
from ocrpack.descriptor import DESCRIPTOR, Source, requirement_files, without_credentials

LATER = (DESCRIPTOR, setup_guide.GUIDE, SBOM, MEASURED, MANIFEST, SIGNATURE)
"""What is written once the digests of the others are known."""


@dataclass(frozen=True)
class Part:
    """One file on its way into the bundle: where its bytes come from, and how many there are."""

    path: str
    role: Role
    content: Path | bytes

    @cached_property
    def size(self) -> int:
        """Size in bytes when it was first asked for; packing refuses a file that has another one by then."""
        return len(self.content) if isinstance(self.content, bytes) else self.content.stat().st_size

    def open(self) -> io.BytesIO | io.FileIO:
        """Open the content for reading from its start."""
        return io.BytesIO(self.content) if isinstance(self.content, bytes) else self.content.open("rb", buffering=0)


def in_order(parts: Sequence[Part]) -> list[Part]:
    """Return parts in the manifest's order."""
    return sorted(parts, key=lambda part: order(part.path, part.role))


def collect(source: Source, weights: Sequence[Path], lock: bytes, wheels: Sequence[tuple[str, Path]]) -> list[Part]:
    """List what goes into the bundle, in its order, but for what is written later.

    Args:
        source: the checked source folder.
        weights: the file of each weight, in the descriptor's order.
        lock: the lock's bytes.
        wheels: the wheels that are carried, by name.
    """
    descriptor = source.descriptor
    parts: dict[str, Part] = {}
    app_path = descriptor.app.entrypoint.partition(":")[0].split(".")[0]

    def role_of(path: str) -> Role:
        name = path.rpartition("/")[2].upper()
        if path.partition("/")[0] in {app_path, f"{app_path}.py"}:
            return "app"
        if name.startswith(("LICENSE", "LICENCE", "NOTICE", "COPYING")):
            return "licence"
        return "file"

    def put(path: str, role: Role, content: Path | bytes) -> None:
        parts[path] = Part(path, role, content)

    for path, file in source.files.items():
        put(path, role_of(path), file)
    for sample in descriptor.samples:
        for path in filter(None, (sample.image, sample.text_file)):
            put(path, "sample", source.folder / path)
    for path in requirement_files(source.folder, descriptor.requirements):
        put(path, "requirements", _requirements(source.folder / path))
    put(LOCK, "lock", lock)
    for name, file in wheels:
        put(f"{WHEELS}/{name}", "wheel", file)
    for weight, file in zip(descriptor.model.weights, weights, strict=True):
        put(weight.path, "weights", file)
    if descriptor.app.engine is not None:
        for part in _embedded_app():
            parts[part.path] = part
    for path in LATER:
        parts.pop(path, None)
    return in_order(list(parts.values()))


def _requirements(file: Path) -> Path | bytes:
    """Return a requirements file, or its text where credentials must be taken from it."""
    text = file.read_text("utf-8-sig")
    clean = without_credentials(text)
    return file if clean == text else clean.encode()


def _embedded_app() -> Iterator[Part]:
    """Yield the subset of this package that runs inside bundles."""
    package = Path(__file__).parents[2]
    yield Part("ocrpack/__init__.py", "package", package / "__init__.py")
    for file in sorted((package / "app").rglob("*")):
        relative = file.relative_to(package).as_posix()
        if file.is_file() and "__pycache__" not in relative:
            yield Part(f"ocrpack/{relative}", "package", file)
