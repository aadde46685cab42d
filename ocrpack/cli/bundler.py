"""Commands about a bundle that is there: inspect, diff, push and pull."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ocrpack.cli import console
from ocrpack.cli.common import Json, Quiet

if TYPE_CHECKING:
    from ocrpack.bundle import Card, Change

Bundle = Annotated[Path, typer.Argument(metavar="BUNDLE", help="A bundle that `ocrpack build` made.")]
Reference = Annotated[str, typer.Argument(metavar="REFERENCE", help="HOST/REPOSITORY[:TAG].")]
PlainHttp = Annotated[bool, typer.Option("--plain-http", help="The registry has no TLS; known of this machine's own.")]


def inspect(bundle: Bundle, json: Json = False, quiet: Quiet = False) -> None:
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


def diff(
    bundle: Annotated[Path, typer.Argument(metavar="A", help="A bundle.")],
    other: Annotated[Path, typer.Argument(metavar="B", help="Another one.")],
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show how two bundles differ: packages, weights, descriptor, files and measured samples.

    Example: ocrpack diff dist/tesseract-1.0.0.zip dist/tesseract-1.1.0.zip
    """
    from ocrpack.bundle import Archive, card, differences

    with Archive(bundle) as one, Archive(other) as two:
        before, after = card(one), card(two)
    found = differences(before, after)
    if json:
        ends = {"before": before.manifest.digest, "after": after.manifest.digest}
        console.print_json({**ends, "changes": [asdict(change) for change in found]})
        return
    if before.manifest.digest == after.manifest.digest:
        console.result("the same bundle")
    elif quiet:
        console.result("they differ")
    for change in [] if quiet else found:
        console.result(_shown(change))


def _shown(change: Change) -> str:
    if change.before is None:
        return f"+ {change.kind:<10} {change.what}: {change.after}"
    if change.after is None:
        return f"- {change.kind:<10} {change.what}: {change.before}"
    return f"~ {change.kind:<10} {change.what}: {change.before} -> {change.after}"


def push(
    bundle: Bundle,
    reference: Reference,
    force: Annotated[bool, typer.Option("--force", help="Replace another bundle of that tag.")] = False,
    plain_http: PlainHttp = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Upload a bundle to an OCI registry; the tag is its version where none is named.

    Example: ocrpack push dist/tesseract-1.0.0.zip registry.example.org/ocr/tesseract
    """
    from ocrpack.bundle import push as upload

    with console.Progress(quiet=quiet or json).shown() as progress:
        place = upload(bundle, reference, plain_http=plain_http, force=force, on_line=progress.doing)
    if json:
        console.print_json({"bundle": str(bundle), "reference": str(place)})
    else:
        console.result(str(place))


def pull(
    reference: Reference,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="PATH", help="A file (*.zip) or a folder.", show_default="here")
    ] = Path(),
    force: Annotated[bool, typer.Option("--force", help="Replace another file of that name.")] = False,
    plain_http: PlainHttp = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Download a bundle from an OCI registry; the highest version where no tag is named.

    Example: ocrpack pull registry.example.org/ocr/tesseract:1.0.0
    """
    from ocrpack.bundle import pull as download

    with console.Progress(quiet=quiet or json).shown() as progress:
        progress.doing(f"pull {reference}")
        path, manifest = download(
            reference, output, plain_http=plain_http, force=force, total=progress.total, progress=progress.advance
        )
    if json:
        console.print_json(
            {"bundle": str(path), "name": manifest.name, "version": manifest.version, "digest": manifest.digest}
        )
    else:
        console.result(str(path))


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (inspect, diff, push, pull):
        app.command()(command)
