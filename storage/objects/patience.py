"""How long a store is waited for: bounded attempts, full jitter, one deadline over all of them."""

from __future__ import annotations

import ssl
import time
from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import urlsplit

from urllib3 import BaseHTTPResponse, PoolManager, Timeout
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError, LocationValueError, NameResolutionError, NewConnectionError, SSLError
from urllib3.exceptions import TimeoutError as NoAnswer

from schemas.errors import InvalidSettings, Retryable
from storage.objects.again import full_jitter

BUSY = frozenset({408, 429, 500, 502, 503, 504, 507, 509})
"""HTTP statuses that say nothing about the request: ask again."""


@dataclass(frozen=True, kw_only=True)
class Patience:
    """Seconds, and how often."""

    attempts: int = 6
    base_s: float = 0.25
    cap_s: float = 10.0
    connect_s: float = 5.0
    read_s: float = 30.0
    """The longest silence of a server that has the request."""
    request_s: float = 90.0
    """One request with all its attempts."""
    slowest_bytes_per_s: float = 256 * 1024.0
    """A transfer that is slower than this is hung."""

    def pause(self, attempt: int) -> float:
        """Seconds between the 0-based `attempt` and the next one."""
        return full_jitter(attempt, base_s=self.base_s, cap_s=self.cap_s)

    def transfer_s(self, size: int) -> float:
        """The longest that a body of `size` bytes may take."""
        return self.request_s + size / self.slowest_bytes_per_s


class PatientPool(PoolManager):
    """urllib3's pool, with a deadline over all attempts at a request.

    A request that stays unanswered, or is answered `BUSY`, raises `Retryable`; a certificate that does not hold
    raises `InvalidSettings`. Messages name the server and the fault, never headers or queries.
    """

    def __init__(self, patience: Patience) -> None:
        # The system's authorities, or those that SSL_CERT_FILE names.
        super().__init__(maxsize=16, ssl_context=ssl.create_default_context())
        self.pool_classes_by_scheme = {"http": _PlainPool, "https": _TlsPool}
        self._patience = patience

    def urlopen(  # type: ignore[override]  # PoolManager itself narrows its base's signature so
        self, method: str, url: str, redirect: bool = False, **kw: Any
    ) -> BaseHTTPResponse:
        patience = self._patience
        started = time.monotonic()
        deadline = started + patience.request_s
        attempt = 0
        while True:
            kw["retries"] = False
            kw["timeout"] = _timeout(patience, deadline - time.monotonic())
            try:
                response = super().urlopen(method, url, redirect=redirect, **kw)
            except HTTPError as error:
                fault, asked = _fault(error, _server(url)), 0.0
            else:
                if response.status not in BUSY:
                    return _as_the_client_reads_it(response)
                fault, asked = f"answered {response.status}", _retry_after(response)
                response.drain_conn()
                response.release_conn()
            pause = max(patience.pause(attempt), asked)
            attempt += 1
            if attempt >= patience.attempts or time.monotonic() + pause >= deadline:
                raise Retryable(
                    f"the object store at {_server(url)} {fault} "
                    f"({attempt} attempts in {time.monotonic() - started:.0f} s)",
                    fix="see that s3_endpoint names the server and that it is up, then run the same again",
                )
            time.sleep(pause)


def _as_the_client_reads_it(response: BaseHTTPResponse) -> BaseHTTPResponse:
    """Some servers call their errors text/xml, another name of the same type (RFC 7303), which the client ignores."""
    if response.headers.get("content-type", "").lower().startswith("text/xml"):
        response.headers["content-type"] = "application/xml"
    return response


def _timeout(patience: Patience, left: float) -> Timeout:
    left = max(left, 0.01)
    return Timeout(connect=min(patience.connect_s, left), read=min(patience.read_s, left))


def _server(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _fault(error: HTTPError, server: str) -> str:
    """What befell a request, without the request.

    Raises:
        InvalidSettings: asking again cannot help.
    """
    if isinstance(error, SSLError):
        raise InvalidSettings(
            f"no trusted connection to the object store at {server}: {error}",
            fix="see that s3_endpoint has the right scheme and name; a private authority's certificate file is"
            " named by SSL_CERT_FILE",
        ) from error
    if isinstance(error, LocationValueError):
        raise InvalidSettings(
            f"{server} is no address of an object store", fix="set s3_endpoint to http(s)://host:port"
        ) from error
    if isinstance(error, NameResolutionError):
        return "has a name that cannot be resolved"
    if isinstance(error, NewConnectionError):
        return "cannot be connected to"
    if isinstance(error, NoAnswer):
        return "did not answer in time"
    return f"broke off the exchange ({type(error).__name__})"


def _retry_after(response: BaseHTTPResponse) -> float:
    """Seconds that the server asks for; a date instead of seconds is left alone."""
    asked = response.headers.get("retry-after", "")
    return float(asked) if asked.isascii() and asked.isdigit() else 0.0


class _PlainConnection(HTTPConnection):
    """Gives sending a body more time than connecting has: a socket's timeout covers the whole of `sendall`."""

    send_s: ClassVar[float] = 60.0

    def connect(self) -> None:
        super().connect()
        self.sock.settimeout(self.send_s)


class _TlsConnection(HTTPSConnection):
    """As `_PlainConnection`."""

    def connect(self) -> None:
        super().connect()
        if self.sock is not None:
            self.sock.settimeout(_PlainConnection.send_s)


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _PlainConnection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection
