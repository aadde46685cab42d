"""Wait until an app is ready, and ask how it is."""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable

from ocrpack.deploy.proof.app_client import Address, request
from ocrpack.descriptor import Descriptor, Endpoint
from ocrpack.errors import BootError, Finding, Where

_PROBE_S = 5.0
_POLL_S = 0.03


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


def health(address: Address, descriptor: Descriptor, timeout_s: float = _PROBE_S) -> list[Finding]:
    """Ask the health and ready endpoints that the app declares, and return what is wrong with them."""
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
