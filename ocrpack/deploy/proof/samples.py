"""Ask a running app whether it is ready and whether it reads the samples right; checks return, they never print."""

from __future__ import annotations

import http.client
import json
import mimetypes
import secrets
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ocrpack.compare import error_rates
from ocrpack.deploy.proof.app_client import Address, Answer, request
from ocrpack.deploy.proof.health import GRACE_S
from ocrpack.descriptor import Descriptor, Sample
from ocrpack.errors import Finding, Where

_TEXT_KEYS = ("text", "extracted_text", "response_message")


@dataclass(frozen=True)
class SampleResult:
    """What a sample's way through the app gave; `cer` and `wer` are None when no text came back."""

    image: str
    passed: bool
    seconds: float
    cer: float | None
    wer: float | None
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
        remedy = "compare the two texts; if the new one is right, correct the sample's truth and build again"
        return Finding("sample", f"{self.image}: {self.problem}", remedy, Where(self.image), self.expected, self.got)


def run_sample(address: Address, descriptor: Descriptor, folder: Path, sample: Sample) -> SampleResult:
    """Send a sample's image to the inference endpoint and compare the text with the truth."""

    def failed(problem: str, seconds: float = 0, truth: str = "", text: str = "") -> SampleResult:
        return SampleResult(sample.image, False, round(seconds, 4), None, None, sample.max_cer, truth, text, problem)

    endpoint = descriptor.endpoint("inference")
    if endpoint is None:
        return failed("no inference endpoint")
    try:
        truth = sample.text if sample.text is not None else (folder / str(sample.text_file)).read_text("utf-8-sig")
        body, content_type = _multipart(folder / sample.image)
    except OSError as error:
        return failed(f"cannot read {error.filename}: {error.strerror}")
    except UnicodeDecodeError:
        return failed(f"the truth in {sample.text_file} is not UTF-8")
    begin = time.monotonic()
    try:
        answer = request(address, endpoint.path, sample.max_seconds + GRACE_S, endpoint.method, body, content_type)
        text, problem = _text_of(answer)
        seconds = answer.seconds
    except (OSError, http.client.HTTPException) as error:
        text, problem = "", f"no answer: {error or type(error).__name__}"
        seconds = time.monotonic() - begin
    if problem:
        return failed(problem, seconds, truth, text)
    cer, wer = error_rates(truth, text)
    if cer > sample.max_cer:
        problem = f"character error rate {cer:.3f}, at most {sample.max_cer:g} is allowed"
    elif seconds > sample.max_seconds:
        problem = f"took {seconds:.2f} s, at most {sample.max_seconds:g} s is allowed"
    rates = (round(cer, 5), round(wer, 5))
    return SampleResult(sample.image, not problem, round(seconds, 4), *rates, sample.max_cer, truth, text, problem)


def _text_of(answer: Answer) -> tuple[str, str]:
    shown = answer.body[:300].decode("utf-8", "replace")
    if answer.status != 200:
        return "", f"answered {answer.status}: {shown}"
    if answer.content_type.startswith("text/plain"):
        return answer.body.decode("utf-8", "replace"), ""
    try:
        document = json.loads(answer.body)
    except (ValueError, RecursionError):
        return "", f"answered no JSON: {shown}"
    for key in _TEXT_KEYS:
        if isinstance(document, dict) and isinstance(document.get(key), str):
            return document[key], ""
    return "", f"answered JSON without `text`: {shown}"


def _multipart(image: Path) -> tuple[bytes, str]:
    boundary = secrets.token_hex(16)
    kind = mimetypes.guess_type(image.name)[0] or "application/octet-stream"
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="{image.name}"\r\n'
        f"Content-Type: {kind}\r\n\r\n"
    )
    body = head.encode() + image.read_bytes() + f"\r\n--{boundary}--\r\n".encode()
    return body, f"multipart/form-data; boundary={boundary}"
