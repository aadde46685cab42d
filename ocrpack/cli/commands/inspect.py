"""`ocrpack inspect`: show what is inside a bundle."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ocrpack.cli import console
from ocrpack.cli.common import Json, Quiet
from ocrpack.cli.packager_options import Bundle

if TYPE_CHECKING:
    from ocrpack.bundle import Card


def command(bundle: Bundle, json: Json = False, quiet: Quiet = False) -> None:
    """Show a bundle's card: what is inside, its model and packages, who signed it, and what its samples measured.

    Example: ocrpack inspect dist/tesseract-1.0.0.zip
    """
    from ocrpack.bundle import Archive, card

    with Archive(bundle) as archive:
        found = card(archive)
    if json:
        console.print_json(found.as_dict())
        return
    for label, text in [("digest", found.manifest.digest)] if quiet else _lines(found):
        console.result(f"{label:<10} {text}".rstrip())


def _lines(card: Card) -> list[tuple[str, str]]:
    manifest, descriptor, model = card.manifest, card.descriptor, card.descriptor.model
    lines = [
        ("bundle", f"{manifest.name} {manifest.version}" + (f": {descriptor.summary}" if descriptor.summary else "")),
        ("digest", manifest.digest),
        ("signature", "none" if card.signed is None else f"by the key {card.signed.fingerprint}, not checked here"),
        ("licence", descriptor.license or "not stated"),
        ("model", f"{model.name} {model.version}, {model.license or 'no licence stated'}"),
        ("languages", ", ".join(model.languages) or "not stated"),
    ]
    for entry in manifest.having("weights"):
        inside = "" if entry.path not in card.absent else ", not inside"
        lines.append(("weights", f"{entry.path}, {console.size(entry.size)}, SHA-256 {entry.sha256[:12]}{inside}"))
    lines.append(("app", f"{descriptor.app.entrypoint} ({descriptor.app.interface}), Python {descriptor.python}"))
    for number, (role, size) in enumerate(card.sizes.items()):
        count = console.counted(len(manifest.having(role)), "file")  # type: ignore[arg-type]
        lines.append(("" if number else "size", f"{console.size(size):>10}  {role}, {count}"))
    wheels = len(manifest.having("wheel"))
    note = f", {console.counted(wheels, 'wheel')} inside" if wheels else ", none inside"
    lines.append(("packages", f"{len(card.lock.pins)}{note}"))
    lines += [("", f"{pin.name} {pin.version}  {pin.licence or 'no licence stated'}") for pin in card.lock.pins]
    if card.measured is None:
        return [*lines, ("measured", "nothing; `ocrpack build --test` measures the samples")]
    machine = card.measured.machine
    ready = f"ready in {card.measured.ready_seconds} s, peak memory {card.measured.peak_memory_mb} MiB"
    lines.append(("measured", f"{ready}; Python {machine.python}, {machine.processors:g} processors"))
    lines += [("", f"{one.image}: CER {one.cer:.4f} in {one.seconds:.2f} s") for one in card.measured.samples]
    return lines
