"""Send requests to a service over connections that are kept, and repeat those that may succeed later."""

from __future__ import annotations

import json
import re
import socket
import ssl
import threading
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ocrpack import __version__
from ocrpack.client.patience import Patience
from ocrpack.errors import BootError, Finding, OcrpackError, PreflightError, UsageError

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse, PoolManager

_CONNECT_S = 10.0
_PASSING = frozenset({408, 429, 502, 503, 504})
"""Statuses that may be others at the next attempt."""
_LOOPBACK = re.compile(r"localhost|.+\.localhost|127(\.\d+){3}|\[?::1\]?", re.IGNORECASE)
CHECK_IT = (
    "see that it runs (`ocrpack status` on its machine) and that the address is right, with scheme, port and path; "
    "then a firewall or proxy between"
)


class UnreadableError(Exception):
    """Say why one input cannot be read; the others may be."""

    def __init__(self, code: str, message: str, remedy: str = "", status: int | None = None) -> None:
        """Keep the reason, and the HTTP status if the service refused the input."""
        super().__init__(message)
        self.code, self.message, self.remedy, self.status = code, message, remedy, status

    def finding(self, shown: str) -> Finding:
        """Return the reason as a finding about the input that is called `shown`."""
        return Finding(self.code, f"{shown}: {self.message}", self.remedy)


class StoppedError(Exception):
    """Say that the user stopped the reading."""


@dataclass(frozen=True)
class Address:
    """Hold the address of a service, its token, and how to trust it; times in seconds."""

    url: str
    token: str | None = field(default=None, repr=False)
    ca_file: Path | None = None
    timeout: float = 300
    """How long an answer may take."""

    @classmethod
    def of(cls, url: str, **more: Any) -> Address:
        """Return the address that a user writes; without a scheme, as in `localhost:8000`, it is http.

        Raises:
            UsageError: it is not the address of a service.
        """
        url = url.strip() if "://" in url else f"http://{url.strip()}"
        remedy = "write it as http://HOST:PORT or https://HOST/PATH"
        try:
            parts = urllib.parse.urlsplit(url)
            sound = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
        except ValueError:
            sound = False
        if not sound or re.search(r"[\s\x00-\x1f]", url):
            raise UsageError(f"{url!r} is no address of a service", remedy)
        if parts.query or parts.fragment or parts.username is not None:
            raise UsageError("the address of a service has no user, query or fragment", remedy)
        return cls(url.rstrip("/"), **more)

    @property
    def is_open(self) -> bool:
        """Whether others could read what is sent: http, and not to this machine."""
        parts = urllib.parse.urlsplit(self.url)
        return parts.scheme == "http" and not _LOOPBACK.fullmatch(parts.hostname or "")


@dataclass(frozen=True)
class Reply:
    """Hold an HTTP response."""

    status: int
    body: bytes
    content_type: str
    retry_after: str | None

    def json(self) -> dict[str, Any]:
        """Return the JSON object in the body; an empty one if there is none."""
        try:
            document = json.loads(self.body)
        except (ValueError, RecursionError):
            return {}
        return document if isinstance(document, dict) else {}


class Connection:
    """Send requests; may be used from several threads at once."""

    def __init__(
        self, address: Address, patience: Patience, threads: int, on_wait: Callable[[str], None] = lambda _: None
    ) -> None:
        """Keep the address; `on_wait` is called, from any thread, with the reason why a request waits."""
        self.address, self.patience = address, patience
        self.stopping = threading.Event()
        self._on_wait = on_wait
        self._last_success = float("-inf")
        self._pool = _pool(address, threads)

    def send(self, method: str, path: str, body: bytes | None = None, content_type: str = "") -> Reply:
        """Send a request, repeat it as long as `patience` allows, and return a response with status 2xx.

        Raises:
            BootError: the service cannot be reached, or is unavailable for all requests.
            PreflightError: its certificate is not trusted.
            UsageError: it refuses the token, or redirects.
            UnreadableError: it refuses this request, or does not answer it.
            StoppedError: `stopping` is set.
        """
        attempt, since = 0, 0.0
        while True:
            failure = self._attempt(method, path, body, content_type)
            if isinstance(failure, Reply):
                self._last_success = self.patience.now()
                return failure
            attempt += 1
            since = since or self.patience.now()
            wait = self.patience.pause(attempt, since, failure.retry_after)
            if wait is None:
                raise failure.for_this if self._last_success > since else failure.for_all
            self._on_wait(f"{failure.for_this.message}; trying again")
            self.pause(wait)

    def pause(self, seconds: float) -> None:
        """Wait so many seconds.

        Raises:
            StoppedError: `stopping` is set.
        """
        if self.stopping.wait(seconds):
            raise StoppedError

    def send_once(self, method: str, path: str, timeout: float) -> None:
        """Send a request once, and ignore the answer."""
        import urllib3

        try:
            self._pool.request(method, self.address.url + path, timeout=timeout, retries=False)
        except urllib3.exceptions.HTTPError:
            return

    def _attempt(self, method: str, path: str, body: bytes | None, content_type: str) -> Reply | _Passing:
        import urllib3
        from urllib3 import exceptions

        if self.stopping.is_set():
            raise StoppedError
        url = self.address.url
        try:
            answer = self._pool.request(
                method,
                url + path,
                body=body,
                headers={**self._pool.headers, **({"Content-Type": content_type} if content_type else {})},
                timeout=urllib3.Timeout(connect=_CONNECT_S, read=self.address.timeout),
                retries=False,
                redirect=False,
            )
        except exceptions.ReadTimeoutError:
            text = f"no answer within {self.address.timeout:g} s"
            raise UnreadableError("timeout", text, "pass a larger --timeout, or --long for long documents") from None
        except (exceptions.NewConnectionError, exceptions.ConnectTimeoutError, exceptions.ProxyError) as error:
            text = f"{url} cannot be reached: {_reason(error)}"
            gone = BootError(text, CHECK_IT)
            if _is_unknown_host(error):
                raise gone from None
            return _Passing(UnreadableError("unreachable", text, CHECK_IT), gone)
        except exceptions.HTTPError as error:
            reason = _reason(error)
            if isinstance(_innermost(error), ssl.SSLCertVerificationError):
                text = f"the certificate of {url} is not trusted: {reason}"
                raise PreflightError(text, "for a certificate of your own authority pass --ca-file FILE") from None
            broken = UnreadableError("broken-connection", f"the connection broke off: {reason}")
            return _Passing(broken, BootError(f"the connection to {url} broke off: {reason}", CHECK_IT))
        return self._judge(answer, path)

    def _judge(self, answer: BaseHTTPResponse, path: str) -> Reply | _Passing:
        headers = answer.headers
        reply = Reply(answer.status, answer.data, headers.get("Content-Type") or "", headers.get("Retry-After"))
        if 200 <= reply.status < 300:
            return reply
        refusal = refused(reply.status, reply.json())
        if reply.status in _PASSING:
            gone = BootError(f"{self.address.url} is not available: {refusal.message}", CHECK_IT)
            return _Passing(refusal, gone, reply.retry_after)
        if reply.status in {401, 403}:
            text = f"{self.address.url} wants {'another' if self.address.token else 'a'} token: {refusal.message}"
            raise UsageError(text, "pass --token-file FILE, or set OCRPACK_TOKEN")
        if 300 <= reply.status < 400:
            place = headers.get("Location", "").removesuffix(path)
            raise UsageError(f"{self.address.url} sends its clients on to {place}", "pass the new address as --url")
        raise refusal


@dataclass(frozen=True)
class _Passing:
    """Hold a failure that may pass: the error for this request, and the one if all other requests fail, too."""

    for_this: UnreadableError
    for_all: OcrpackError
    retry_after: str | None = None


def refused(status: int, problem: dict[str, Any]) -> UnreadableError:
    """Return the error for a response of this status with these problem details (RFC 9457), if it has any."""
    title, detail = (str(problem.get(name) or "") for name in ("title", "detail"))
    kind = str(problem.get("type") or "").rpartition(":")[2]
    code = kind if re.fullmatch(r"[a-z][a-z0-9-]*", kind) and kind != "blank" else f"status-{status}"
    words = ": ".join(text for text in (title, detail) if text) or f"the service answered {status}"
    remedy = "the address may be wrong: nothing there reads images" if status in {404, 405} and not detail else ""
    return UnreadableError(code, words, remedy, status)


def _pool(address: Address, threads: int) -> PoolManager:
    """Return a pool of connections, through the proxy of the environment unless the service is on this machine."""
    import urllib3

    headers = {"User-Agent": f"ocrpack/{__version__}"}
    if address.token:
        headers["Authorization"] = f"Bearer {address.token}"
    parts = urllib.parse.urlsplit(address.url)
    host = parts.hostname or ""
    proxy = None
    if not _LOOPBACK.fullmatch(host) and not urllib.request.proxy_bypass(host):
        proxies = urllib.request.getproxies()
        proxy = proxies.get(parts.scheme) or proxies.get("all")
    options: dict[str, Any] = {"maxsize": threads, "headers": headers}
    if address.ca_file is not None:
        options["ssl_context"] = _trusting(address.ca_file)
    try:
        return urllib3.ProxyManager(proxy, **options) if proxy else urllib3.PoolManager(**options)
    except urllib3.exceptions.HTTPError as error:
        raise UsageError(f"the proxy {proxy} cannot be used: {error}", "check HTTPS_PROXY and HTTP_PROXY") from None


def _trusting(ca_file: Path) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except ssl.SSLError as error:
        raise UsageError(f"{ca_file} holds no certificates: {error.reason}", "--ca-file takes a PEM file") from None
    except OSError as error:
        raise UsageError(f"cannot read {ca_file}: {error.strerror}", "check the path and its permissions") from None


def _is_unknown_host(error: BaseException) -> bool:
    cause = _innermost(error)
    return isinstance(cause, socket.gaierror) and cause.errno == socket.EAI_NONAME


def _innermost(error: BaseException) -> BaseException:
    """Return the error of the system that urllib3's errors wrap."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return error


def _reason(error: BaseException) -> str:
    inner = _innermost(error)
    if isinstance(inner, ssl.SSLCertVerificationError):
        return inner.verify_message
    if isinstance(inner, OSError) and inner.strerror:
        return inner.strerror
    return str(inner) or type(inner).__name__
