"""`ocrpack verify`: check a bundle, or a deployment."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ocrpack.cli import console
from ocrpack.cli.common import Json, Quiet, RootFolder, find_root
from ocrpack.cli.deploy_options import AllowedSigners
from ocrpack.errors import BundleError, OcrpackError, VerifyError

if TYPE_CHECKING:
    from ocrpack.deploy.store.layout import Root


def command(
    target: Annotated[
        str | None, typer.Argument(metavar="[BUNDLE|NAME]", help="A bundle file, or a deployment.")
    ] = None,
    allowed_signers: AllowedSigners = None,
    root: RootFolder = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Check a bundle (archive, digests, descriptor) or a deployment (files, environment, health, samples).

    Example: ocrpack verify dist/tesseract-1.0.0.zip
    """
    answer: dict[str, Any]
    if target is not None and (target.endswith(".zip") or Path(target).is_file()):
        what, answer = _verify_bundle(Path(target), allowed_signers, quiet or json)
    else:
        what, answer = _verify_deployment(find_root(root), target)
    if json:
        console.print_json(answer)
    elif not quiet:
        console.result(f"{what} is sound")


def _verify_bundle(path: Path, allowed: Path | None, quiet: bool) -> tuple[str, dict[str, Any]]:
    from ocrpack.bundle import Archive, verify_signature

    signer = None
    try:
        with Archive(path) as archive, console.Progress(quiet=quiet).shown() as progress:
            progress.doing("verify")
            progress.total(archive.manifest.total_bytes)
            findings = tuple(archive.check(progress.advance))
            if findings:
                raise BundleError(f"{path} is corrupt: {findings[0].message}", findings[0].remedy, findings)
            manifest = archive.manifest
            if allowed is not None:
                signer = verify_signature(path.name, manifest.digest, archive.signature(), allowed)
            archive.descriptor()
    except OcrpackError as error:
        raise _with_answer(error, {"ok": False, "findings": error.as_dict()["findings"]}) from error
    absent = [entry.path for entry in archive.absent]
    facts = {"name": manifest.name, "version": manifest.version, "digest": manifest.digest, "signer": signer}
    what = f"{path} ({console.counted(len(absent), 'weight')} left out)" if absent else str(path)
    return what, {"ok": True, **facts, "absent": absent, "findings": []}


def _verify_deployment(root: Root, name: str | None) -> tuple[str, dict[str, Any]]:
    from ocrpack.deploy.operations.verify import verify as check
    from ocrpack.deploy.steps import recover

    deployment = root.find(name)
    recover.mend(root, deployment)
    findings, samples = check(deployment)
    answer = {
        "ok": not findings,
        "name": deployment.name,
        "findings": [finding.as_dict() for finding in findings],
        "samples": [sample.as_dict() for sample in samples],
    }
    if findings:
        text = f"{deployment.name}: {console.counted(len(findings), 'problem')}"
        error = VerifyError(text, findings[0].remedy, tuple(findings))
        raise _with_answer(error, answer)
    return deployment.name, answer


def _with_answer(error: OcrpackError, answer: dict[str, Any]) -> OcrpackError:
    """Give an error the answer that `--json` prints beside it."""
    error.answer = answer
    return error
