"""Prove a candidate: every sample right, the same answers side by side as one by one, no worse than what serves."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ocrpack import logs
from ocrpack.compare import normalise
from ocrpack.deploy.proof.app_client import Address
from ocrpack.deploy.proof.samples import SampleResult, run_sample
from ocrpack.descriptor import Descriptor
from ocrpack.errors import Finding, SmokeError, Where
from ocrpack.logs import Journal

_AT_ONCE = 8
BUSY = ("answered 429", "answered 503")
"""How the problem of a sample begins where the app only said that it had no room for one more."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What a candidate and the running release made of the same image; rates are None where one gave no text."""

    image: str
    cer: float | None
    cer_before: float | None
    seconds: float
    seconds_before: float
    same_text: bool
    text: str
    text_before: str
    problem_before: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the comparison as JSON-ready values."""
        return asdict(self)


@dataclass(frozen=True)
class Reference:
    """The running release that a candidate is compared with, and by how much a sample's CER may rise."""

    address: Address
    descriptor: Descriptor
    max_regression: float | None = None


@dataclass(frozen=True)
class Proof:
    """What the samples showed."""

    samples: tuple[SampleResult, ...] = ()
    comparison: tuple[Comparison, ...] = ()


def prove(
    address: Address, descriptor: Descriptor, folder: Path, journal: Journal, reference: Reference | None = None
) -> Proof:
    """Send every sample through the app alone, then all at once, then through the running release, and log it all.

    Raises:
        SmokeError: a text is wrong, differs when requests come at once, or is worse than the running release's.
    """
    samples = _one_by_one(address, descriptor, folder, journal)
    _require([sample.finding for sample in samples if sample.finding is not None])
    _require(list(_at_once(address, descriptor, folder, samples)))
    comparison = () if reference is None else _compare(reference, descriptor, folder, samples, journal)
    if reference is not None and reference.max_regression is not None:
        _require(list(_regressions(comparison, reference.max_regression)))
    return Proof(samples, comparison)


def _one_by_one(address: Address, descriptor: Descriptor, folder: Path, journal: Journal) -> tuple[SampleResult, ...]:
    results = []
    for sample in descriptor.samples:
        result = run_sample(address, descriptor, folder, sample)
        results.append(result)
        rate = "no text" if result.cer is None else f"CER {result.cer:.4f}"
        text = f"{result.image}: {result.problem or rate} in {result.seconds:.2f} s"
        level: logs.Level = "info" if result.passed else "error"
        journal.write("note", text, phase="gate", level=level, sample=result.as_dict())
    if not descriptor.samples:
        journal.write("note", "no samples: nothing proves the text", phase="gate", level="warning")
    return tuple(results)


def _at_once(
    address: Address, descriptor: Descriptor, folder: Path, alone: tuple[SampleResult, ...]
) -> Iterator[Finding]:
    """Send samples at the same time and find texts that differ from before; a busy app is asked again alone."""
    pairs = list(zip(descriptor.samples, alone, strict=True))
    # One sample alone would not be side by side with anything.
    pairs = (pairs * 2 if len(pairs) == 1 else pairs)[:_AT_ONCE]
    patient = [sample.model_copy(update={"max_seconds": sample.max_seconds * len(pairs)}) for sample, _ in pairs]
    with ThreadPoolExecutor(max(1, len(pairs))) as pool:
        together = list(pool.map(lambda sample: run_sample(address, descriptor, folder, sample), patient))
    for sample, (_, before), result in zip(patient, pairs, together, strict=True):
        if result.problem.startswith(BUSY):
            result = run_sample(address, descriptor, folder, sample)
        if normalise(result.got) != normalise(before.got):
            what = result.problem or "another text than when it was read alone"
            yield Finding(
                "concurrency",
                f"{result.image}: {what}, with {len(pairs)} requests at once",
                "the app mixes up or drops requests that come together: make it thread-safe, or set app.threads to 1",
                Where(result.image),
                expected=before.got,
                got=result.got,
            )


def _compare(
    reference: Reference, descriptor: Descriptor, folder: Path, samples: tuple[SampleResult, ...], journal: Journal
) -> tuple[Comparison, ...]:
    """Send the samples to the running release, too, and log how its texts differ."""
    compared = []
    for sample, now in zip(descriptor.samples, samples, strict=True):
        before = run_sample(reference.address, reference.descriptor, folder, sample)
        same = normalise(now.got) == normalise(before.got)
        one = Comparison(
            image=now.image,
            cer=now.cer,
            cer_before=before.cer,
            seconds=now.seconds,
            seconds_before=before.seconds,
            same_text=same,
            text=now.got,
            text_before=before.got,
            problem_before=before.problem if before.cer is None else "",
        )
        compared.append(one)
        was = one.problem_before or f"CER {before.cer:.4f}"
        text = f"{one.image}: the running release has {was} in {one.seconds_before:.2f} s, the text is "
        text += "the same" if same else "another"
        journal.write("note", text, phase="gate", comparison=one.as_dict())
    return tuple(compared)


def _regressions(comparison: tuple[Comparison, ...], allowed: float) -> Iterator[Finding]:
    for one in comparison:
        if one.cer is not None and one.cer_before is not None and one.cer - one.cer_before > allowed:
            yield Finding(
                "regression",
                f"{one.image}: character error rate {one.cer:.4f}, the running release has {one.cer_before:.4f}",
                "raise --max-regression, or leave it out, if the new release is to serve all the same",
                Where(one.image),
                expected=one.text_before,
                got=one.text,
            )


def _require(findings: list[Finding]) -> None:
    """Raise an error for findings, if there are any.

    Raises:
        SmokeError: the first one, with the expected and the received text.
    """
    if findings:
        first = findings[0]
        raise SmokeError(
            f"{first.message}\n  expected: {_shortened(first.expected)}\n  got:      {_shortened(first.got)}",
            first.remedy,
            tuple(findings),
        )


def _shortened(text: str | None, limit: int = 400) -> str:
    line = normalise(text or "")
    return line if len(line) <= limit else line[:limit] + f"… ({len(line)} characters)"
