"""Ask a running app whether it is ready and whether it reads the samples right; checks return, they never print."""

from __future__ import annotations

import http.client
import json
import mimetypes
import secrets
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ocrpack.compare import error_rates
from ocrpack.deploy.probe import Address, Answer, request
from ocrpack.descriptor import Descriptor, Endpoint, Sample
from ocrpack.errors import BootError, Finding, Where

_PROBE_S = 5.0
_POLL_S = 0.03
_GRACE_S = 5.0
_TEXT_KEYS = ("text", "extracted_text", "response_message")


def wait_until_ready(
    address: Address, descriptor: Descriptor, ended: Callable[[], int | None], boot_seconds: float
) -> float:
    """Poll the ready endpoint (else health, else `/`) until it answers 200, and return the seconds that took.

    `ended` tells the status that the app ended with, or None while it runs.

    Raises:
        BootError: the app ended, or was not ready in time; the last answer is in the message.
    """
    probe = descriptor.endpoint("ready", "health") or Endpoint(path="/", purpose="page")
    remedy = f"`ocrpack logs {descriptor.name} --instance` shows the app's output"
    begin = time.monotonic()
    last = "nothing listened yet"
    while (spent := time.monotonic() - begin) < boot_seconds:
        status = ended()
        if status is not None:
            raise BootError(f"the app ended with status {status} after {spent:.1f} s", remedy)
        try:
            answer = request(address, probe.path, min(_PROBE_S, boot_seconds - spent + 0.1))
            if answer.status == 200:
                return time.monotonic() - begin
            last = f"{probe.path} answered {answer.status}: {answer.body[:200].decode('utf-8', 'replace')}"
        except (OSError, http.client.HTTPException) as error:
            last = f"{probe.path}: {error or type(error).__name__}"
        time.sleep(_POLL_S)
    raise BootError(
        f"the app was not ready within {boot_seconds:g} s; last probe: {last}",
        f"{remedy}; raise app.boot_seconds in the descriptor, or deploy with --boot-deadline SECONDS",
    )


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
        answer = request(address, endpoint.path, sample.max_seconds + _GRACE_S, endpoint.method, body, content_type)
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


def health(address: Address, descriptor: Descriptor, timeout_s: float = _PROBE_S) -> list[Finding]:
    """Ask the health and ready endpoints; an empty list means sound."""
    findings = []
    for purpose in ("health", "ready"):
        endpoint = descriptor.endpoint(purpose)
        if endpoint is None:
            continue
        try:
            answer = request(address, endpoint.path, timeout_s)
            problem = "" if answer.status == 200 else f"answered {answer.status}"
        except (OSError, http.client.HTTPException) as error:
            problem = f"did not answer: {error or type(error).__name__}"
        if problem:
            where = Where(f"{address}{endpoint.path}")
            text = f"{purpose} endpoint {endpoint.path} {problem}"
            findings.append(Finding(purpose, text, "`ocrpack logs --instance` shows why", where))
    return findings
