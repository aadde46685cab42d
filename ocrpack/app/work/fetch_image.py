"""Fetch an image from an address that the descriptor allows, and never from inside this machine's network.

The address and every one that it redirects to have to match the allow-list. The host is resolved once, its addresses
are checked, and the connection is made to what was checked: a name that resolves to another address a moment later (DNS
rebinding) changes nothing. Public is what the registries of RFC 6890 call globally reachable.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

from ..core.problem import Problem
from ..core.shared_file import SharedFile

_HOPS = 4
_REDIRECTS = (301, 302, 303, 307, 308)
_SECONDS = 20.0
_CHUNK = 1 << 16
Ip = ipaddress.IPv4Address | ipaddress.IPv6Address


def is_public(address: Ip) -> bool:
    """Tell whether an address is public, and so is any IPv4 address that an IPv6 one embeds."""
    if isinstance(address, ipaddress.IPv6Address):
        hidden = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
        if address in ipaddress.ip_network("64:ff9b::/96"):  # NAT64, RFC 6052
            hidden.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
        if any(inner is not None and not inner.is_global for inner in hidden):
            return False
        if address.ipv4_mapped is not None:
            return True
    return address.is_global and not address.is_multicast


@dataclass(frozen=True)
class Fetcher:
    """Fetch from addresses that start with one of `allowed`; `*` allows all https ones."""

    allowed: Sequence[str]
    max_bytes: int
    may_connect: Callable[[Ip], bool] = is_public

    def __call__(self, address: str) -> SharedFile:
        """Return an open file with the content of an address.

        Raises:
            Problem: the address is refused or does not answer (422), or its content is too large (413).
        """
        end = time.monotonic() + _SECONDS
        for _ in range(_HOPS):
            parts = self._checked(address)
            try:
                with self._asked(parts, end) as answer:
                    if answer.status not in _REDIRECTS:
                        return SharedFile.copy_of(self._content(answer, end))
                    address = urljoin(address, answer.getheader("Location") or "")
            except (OSError, http.client.HTTPException, ValueError) as error:
                raise _unreachable(f"{parts.hostname} gave no answer: {type(error).__name__}") from error
        raise _unreachable("The address leads from one to the next without an end.")

    def _checked(self, address: str) -> SplitResult:
        """Return the parts of an address, if it is allowed.

        The allow-list is compared part by part, so that `https://images.example.org` never means
        `https://images.example.org.evil.example`.
        """
        try:
            parts = urlsplit(address)
            port = parts.port
        except ValueError:
            raise _refused("It is no address.") from None
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
            raise _refused("It has to be http:// or https://, a host, and no credentials.")
        for allowed in self.allowed:
            if allowed == "*" and parts.scheme == "https":
                return parts
            wanted = urlsplit(allowed)
            same_place = (wanted.scheme, wanted.hostname, wanted.port) == (parts.scheme, parts.hostname, port)
            inside = parts.path.startswith(wanted.path) and ".." not in unquote(parts.path)
            if same_place and (inside or wanted.path in ("", "/")):
                return parts
        raise _refused("It is not among the places that this service may fetch from.")

    @contextmanager
    def _asked(self, parts: SplitResult, end: float) -> Iterator[http.client.HTTPResponse]:
        host, port = str(parts.hostname), parts.port or (443 if parts.scheme == "https" else 80)
        path = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
        with closing(http.client.HTTPConnection(host, port)) as connection:
            connection.sock = self._connected(host, port, end)
            if parts.scheme == "https":
                connection.sock = ssl.create_default_context().wrap_socket(connection.sock, server_hostname=host)
            headers = {"Host": parts.netloc, "User-Agent": "ocrpack", "Connection": "close"}
            connection.request("GET", path, headers=headers)
            with connection.getresponse() as answer:
                yield answer

    def _connected(self, host: str, port: int, end: float) -> socket.socket:
        """Return a connection to an address of the host that was checked."""
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        for *_, place in found:
            if not self.may_connect(ipaddress.ip_address(str(place[0]).partition("%")[0])):
                raise _refused("Its host is not on the public internet.")
        family, kind, protocol, _, place = found[0]
        connection = socket.socket(family, kind, protocol)
        connection.settimeout(max(0.1, end - time.monotonic()))
        try:
            connection.connect(place)
        except OSError:
            connection.close()
            raise
        return connection

    def _content(self, answer: http.client.HTTPResponse, end: float) -> Iterator[bytes]:
        if answer.status != HTTPStatus.OK:
            raise _unreachable(f"It answered {answer.status}.")
        size = 0
        while part := answer.read1(_CHUNK):
            size += len(part)
            if size > self.max_bytes:
                detail = f"What lies at the address is larger than {self.max_bytes >> 20} MB."
                raise Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too-large", "The image is too large", detail)
            if time.monotonic() > end:
                raise _unreachable(f"It was not there within {_SECONDS:g} seconds.")
            yield part


def _refused(detail: str) -> Problem:
    title = "The address is refused"
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "address-refused", title, detail)


def _unreachable(detail: str) -> Problem:
    title = "The image cannot be fetched"
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "address-unreachable", title, detail)
