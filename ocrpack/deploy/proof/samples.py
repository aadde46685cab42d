"""Send the samples through an app, and compare the texts that it reads with the true ones."""

from __future__ import annotations

import http.client
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ocrpack.compare import error_rates
from ocrpack.contract import image_form, text_in
from ocrpack.deploy.proof.app_client import Address, Answer, request
from ocrpack.descriptor import Descriptor, Sample
from ocrpack.errors import Finding, Where

_GRACE_S = 5.0
"""How long to wait beyond a sample's deadline, so that a late answer is told from none."""


@dataclass(frozen=True, kw_only=True)
class SampleResult:
    """What an app made of a sample; `cer` and `wer` are None where it gave no text."""

    image: str
    passed: bool
    seconds: float
    cer: float | None = None
    wer: float | None = None
    max_cer: float
    expected: str
    got: str
    problem: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the result as JSON-ready values."""
        return asdict(self)

    @property
    def finding(self) -> Finding | None:
        """What is wrong, or None."""
        if self.passed:
            return None
        return Finding(
            "sample",
            f"{self.image}: {self.problem}",
            "compare the two texts; if the new one is right, correct the sample's truth and build again",
            Where(self.image),
            expected=self.expected,
            got=self.got,
        )


def run_sample(address: Address, descriptor: Descriptor, folder: Path, sample: Sample) -> SampleResult:
    """Send a sample's image to the inference endpoint and compare the text with the truth."""

    def result(problem: str, *, truth: str = "", text: str = "", seconds: float = 0, **rates: float) -> SampleResult:
        return SampleResult(
            image=sample.image,
            passed=not problem,
            seconds=round(seconds, 4),
            max_cer=sample.max_cer,
            expected=truth,
            got=text,
            problem=problem,
            **rates,
        )

    endpoint = descriptor.endpoint("inference")
    if endpoint is None:
        return result("no inference endpoint")
    try:
        truth = sample.text if sample.text is not None else (folder / str(sample.text_file)).read_text("utf-8-sig")
        image = folder / sample.image
        body, content_type = image_form(image.name, image.read_bytes())
    except OSError as error:
        return result(f"cannot read {error.filename}: {error.strerror}")
    except UnicodeDecodeError:
        return result(f"the truth in {sample.text_file} is not UTF-8")
    begin = time.monotonic()
    try:
        answer = request(
            address,
            endpoint.path,
            sample.max_seconds + _GRACE_S,
            method=endpoint.method,
            body=body,
            content_type=content_type,
        )
        text, problem = _text_of(answer)
        seconds = answer.seconds
    except (OSError, http.client.HTTPException) as error:
        text, problem = "", f"no answer: {error or type(error).__name__}"
        seconds = time.monotonic() - begin
    if problem:
        return result(problem, truth=truth, text=text, seconds=seconds)
    cer, wer = error_rates(truth, text)
    if cer > sample.max_cer:
        problem = f"character error rate {cer:.3f}, at most {sample.max_cer:g} is allowed"
    elif seconds > sample.max_seconds:
        problem = f"took {seconds:.2f} s, at most {sample.max_seconds:g} s is allowed"
    return result(problem, truth=truth, text=text, seconds=seconds, cer=round(cer, 5), wer=round(wer, 5))


def _text_of(answer: Answer) -> tuple[str, str]:
    """Return the text of an answer, or nothing and what is wrong with it."""
    shown = answer.body[:300].decode("utf-8", "replace")
    if answer.status != 200:
        return "", f"answered {answer.status}: {shown}"
    if answer.content_type.startswith("text/plain"):
        return answer.body.decode("utf-8", "replace"), ""
    try:
        text = text_in(json.loads(answer.body))
    except (ValueError, RecursionError):
        return "", f"answered no JSON: {shown}"
    return ("", f"answered JSON without `text`: {shown}") if text is None else (text, "")
