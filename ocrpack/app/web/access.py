"""Decide who may send requests, how often, and from which web pages: bearer tokens, a rate limit, CORS."""

from __future__ import annotations

import hmac
import os
import threading
import time
from http import HTTPStatus
from typing import TYPE_CHECKING

from flask import Flask, Response, request

from ..core.problem import Problem

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue

    from ..core.settings import Settings

_FOR_ALL = ("index", "static", "example", "healthz", "health", "readyz", "openapi", "reference")
"""Endpoints that need no token: they show nothing that anybody sent."""
_UNCOUNTED = (*_FOR_ALL, "metrics", "version")
"""Endpoints without a rate limit."""
_SENT_HEADERS = "Authorization, Content-Type, X-Api-Key, X-Request-Id"
_LARGEST_TABLE = 10_000


def install(app: Flask, settings: Settings) -> None:
    """Refuse requests without a token, if tokens are declared, and those beyond the rate limit; answer CORS.

    Raises:
        RuntimeError: a declared token has no value.
    """
    tokens = [token.encode() for name in settings.token_names for token in read_tokens(name)]
    rate = Rate(settings.limits.requests_per_minute)

    @app.before_request
    def admit() -> ResponseReturnValue | None:
        if request.method == "OPTIONS":
            return None
        client = request.remote_addr or "local"
        if tokens and request.endpoint not in _FOR_ALL:
            client = f"token {_authorised(tokens)}"
        if settings.limits.requests_per_minute and request.endpoint not in _UNCOUNTED:
            rate.take(client)
        return None

    @app.after_request
    def share(response: Response) -> Response:
        """Let web pages of the declared origins read the response."""
        origin = request.headers.get("Origin")
        if settings.cors_origins:
            response.vary.add("Origin")
        if origin and ("*" in settings.cors_origins or origin in settings.cors_origins):
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Access-Control-Expose-Headers"] = "Location, Retry-After, X-Request-Id"
            response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
            if request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers:
                response.headers["Access-Control-Allow-Methods"] = "GET, POST, DELETE"
                response.headers["Access-Control-Allow-Headers"] = _SENT_HEADERS
                response.headers["Access-Control-Max-Age"] = "600"
        return response


def read_tokens(name: str) -> list[str]:
    """Return the tokens in the environment variable `name`, separated by white space or commas.

    Raises:
        RuntimeError: there is none.
    """
    tokens = os.environ.get(name, "").replace(",", " ").split()
    if not tokens:
        raise RuntimeError(f"the secret {name} is empty: put the tokens into it that clients are to send")
    return tokens


def _authorised(tokens: list[bytes]) -> int:
    """Return the number of the request's token; compare all in constant time, so that timing tells nothing."""
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    if not given:  # docling-serve's clients send their key so
        scheme, given = "bearer", request.headers.get("X-Api-Key", "")
    sent = given.strip().encode("latin-1", "replace")  # WSGI hands bytes over as if they were latin-1 (PEP 3333)
    found = [hmac.compare_digest(sent, token) for token in tokens]
    if scheme.lower() != "bearer" or True not in found:
        said = "The token is not one of this service's." if given else "This service needs a token."
        detail = f"{said} Send it as `Authorization: Bearer TOKEN`."
        raise Problem(HTTPStatus.UNAUTHORIZED, "unauthorised", "A token is needed", detail)
    return found.index(True)


class Rate:
    """Limit the requests of each client by a token bucket: so many a minute, all of them at once if it likes."""

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._left: dict[str, tuple[float, float]] = {}
        self._lock = threading.Lock()

    def take(self, client: str, now: float | None = None) -> None:
        """Count a request.

        Raises:
            Problem: it exceeds the limit; 429 with the time after which to try again.
        """
        now = time.monotonic() if now is None else now
        with self._lock:
            left, seen = self._left.get(client, (float(self._per_minute), now))
            left = min(self._per_minute, left + (now - seen) * self._per_minute / 60)
            if left < 1:
                wait = (1 - left) * 60 / self._per_minute
                detail = f"You may ask {self._per_minute} times a minute. Try again in {wait:.0f} seconds."
                title = "Too many requests"
                raise Problem(
                    HTTPStatus.TOO_MANY_REQUESTS, "rate", title, detail, retry_after=max(1, round(wait + 0.5))
                )
            if len(self._left) >= _LARGEST_TABLE:
                self._left.clear()
            self._left[client] = (left - 1, now)
