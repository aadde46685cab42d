"""Put ocrpack itself into a bundle, so that the bundle can deploy itself."""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import io
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from packaging.requirements import Requirement

from ocrpack.bundle.contents.parts import Part
from ocrpack.bundle.packages import package_index, wheels
from ocrpack.bundle.packages.lockfile import LOCK, Lock, parse_pin
from ocrpack.bundle.packages.platforms import Platform
from ocrpack.errors import PreflightError

MAIN = "__main__.py"
TOOL = "tool"
_PYTHON = "3.11"
"""The oldest Python that ocrpack runs on."""
_PACKAGE = Path(__file__).parents[2]
_NOT_NEEDED = ("templates/", "descriptor/descriptor.schema.json")
"""What an installed package has and a source tree keeps elsewhere: nobody needs it to deploy."""


def parts() -> list[Part]:
    """Return what every bundle carries: its `__main__.py`, and ocrpack as a wheel."""
    launcher = (Path(__file__).parent / "launcher.py").read_bytes()
    name, content = own_wheel()
    return [Part(MAIN, "tool", launcher), Part(f"{TOOL}/{name}", "tool", content)]


def needs(targets: Sequence[Platform], on_line: Callable[[str], None]) -> list[Part]:
    """Return the wheels of all that ocrpack needs on some machines, with their lock.

    Raises:
        DescriptorError: there is no wheel of one of them for a machine.
        PreflightError: the package index cannot be reached.
    """
    wanted = [text for text in _distribution().requires or () if "extra ==" not in text]
    with tempfile.TemporaryDirectory(prefix="ocrpack-tool-") as name:
        file = Path(name, "requirements.txt")
        file.write_text("".join(f"{text}\n" for text in wanted), encoding="utf-8")
        lines = package_index.resolve([file], file.parent, known=b"", python=_PYTHON, platform=None, on_line=on_line)
    lock = Lock(f">={_PYTHON}", "", (), tuple(sorted((parse_pin(line) for line in lines), key=lambda pin: pin.text)))
    lock, files, built = wheels.choose(lock, package_index.locate(lock, _PYTHON, on_line), (), targets, on_line)
    paths = [*((file.name, wheels.fetch_file(file)) for file in files), *((path.name, path) for path in built)]
    carried = [Part(f"{TOOL}/wheels/{name}", "tool", path) for name, path in paths]
    return [Part(f"{TOOL}/{LOCK}", "tool", lock.data), *carried]


def own_wheel() -> tuple[str, bytes]:
    """Return this package as a wheel, by name; the same package gives the same bytes."""
    version = _distribution().version
    info = f"ocrpack-{version}.dist-info"
    files = dict(_modules())
    files[f"{info}/METADATA"] = _metadata().encode()
    files[f"{info}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: ocrpack\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    files[f"{info}/entry_points.txt"] = b"[console_scripts]\nocrpack = ocrpack.cli:main\n"
    record = "".join(f"{name},sha256={_digest(content)},{len(content)}\n" for name, content in files.items())
    files[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n".encode()
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, content in files.items():
            archive.writestr(_plain(name), content)
    return f"ocrpack-{version}-py3-none-any.whl", made.getvalue()


def _plain(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)
    entry.external_attr = 0o100644 << 16
    entry.create_system = 3
    return entry


def _modules() -> Iterator[tuple[str, bytes]]:
    for file in sorted(_PACKAGE.rglob("*")):
        relative = file.relative_to(_PACKAGE).as_posix()
        if file.is_file() and "__pycache__" not in relative and not relative.startswith(_NOT_NEEDED):
            yield f"ocrpack/{relative}", file.read_bytes()


def _metadata() -> str:
    """Return name, version and needs of this package, without its long description."""
    found = _distribution().metadata
    fields = [("Metadata-Version", "2.1"), ("Name", "ocrpack"), ("Version", found["Version"])]
    fields += [("Requires-Python", found["Requires-Python"])]
    fields += [("Requires-Dist", str(Requirement(text))) for text in _distribution().requires or ()]
    return "".join(f"{name}: {value}\n" for name, value in fields)


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


def _distribution() -> importlib.metadata.Distribution:
    try:
        return importlib.metadata.distribution("ocrpack")
    except importlib.metadata.PackageNotFoundError:
        raise PreflightError(
            "ocrpack is not installed as a package, so that no bundle can carry it", "`pip install` it"
        ) from None
