"""Fetch over https from allow-listed hosts, from the address that was checked and from no other.

The name is resolved once. Every address it has must be public, and the connection is made to one of them while TLS
verifies the name: a second answer of the resolver (DNS rebinding) is never asked for. Redirects are not followed,
bodies are not decompressed, and one deadline covers resolving, connecting, the handshake, headers and body.
"""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from ipaddress import ip_address

from storage.fetcher import refusals
from storage.fetcher.addresses import IPAddress, is_public
from storage.fetcher.deadline import Deadline
from storage.fetcher.intake import FetchedFile, Intake
from storage.fetcher.names import Resolver, resolve, resolve_within
from storage.fetcher.reference import HttpsReference
from storage.objects.again import again, full_jitter

TRIES = 3

_TRY_LATER = frozenset({408, 429, 500, 502, 503, 504})
_GONE = frozenset({404, 410})


class _Failed(Exception):
    """This try failed; the same request may be answered in a moment."""


@dataclass(frozen=True, kw_only=True)
class HttpsHosts:
    """What may be fetched from: `hosts` are authorities as `allow_hosts` makes them.

    `is_allowed` decides about each address of a name; `tls` None verifies against the system's authorities.
    """

    hosts: frozenset[str]
    timeout_s: float
    resolver: Resolver = resolve
    is_allowed: Callable[[IPAddress], bool] = is_public
    tls: ssl.SSLContext | None = None

    def fetch(self, text: str, reference: HttpsReference, intake: Intake) -> FetchedFile:
        """Bring what is behind `reference` into the intake; `text` is what the sheet says.

        Raises:
            InvalidMedia: REFERENCE_HOST, REFERENCE_ADDRESS, REFERENCE_MISSING, REFERENCE_UNREACHABLE or
                REFERENCE_TOO_LARGE.
        """
        if reference.authority not in self.hosts:
            raise refusals.host(
                text,
                f"{reference.authority} is not an allowed host",
                "put the file beside the sheet, or have the host added to fetch_hosts in the settings",
            )
        deadline = Deadline.after(self.timeout_s)
        addresses = self._checked_addresses(text, reference, deadline)

        def fetch() -> FetchedFile:
            return self._fetch_from(addresses, text, reference, intake, deadline)

        def pause(attempt: int) -> float:
            return min(full_jitter(attempt, base_s=0.5, cap_s=4.0), deadline.left())

        try:
            return again(fetch, on=(_Failed,), tries=TRIES, pause=pause)
        except _Failed as error:
            late = f" (within {self.timeout_s:.0f} s)" if not deadline.left() else ""
            raise refusals.unreachable(text, f"{error}{late}") from error

    def _checked_addresses(self, text: str, reference: HttpsReference, deadline: Deadline) -> Sequence[str]:
        try:
            found = resolve_within(self.resolver, reference.host, reference.port, deadline.left())
        except (OSError, UnicodeError) as error:
            raise refusals.unreachable(text, f"the name {reference.host} is not resolved: {error}") from error
        refused = [address for address in found if not self._may_connect(address)]
        if refused:
            raise refusals.address(text, f"{reference.host} has the address {refused[0]}, which is not public")
        return found

    def _may_connect(self, address: str) -> bool:
        try:
            return self.is_allowed(ip_address(address))
        except ValueError:
            return False

    def _fetch_from(
        self, addresses: Sequence[str], text: str, reference: HttpsReference, intake: Intake, deadline: Deadline
    ) -> FetchedFile:
        try:
            with deadline.connect(addresses, reference.port) as raw:
                connection = _Connected(reference, raw, self._context)
                try:
                    return _exchange(text, reference, connection, intake)
                finally:
                    connection.close()
        except ssl.SSLCertVerificationError as error:
            raise refusals.unreachable(
                text, f"its certificate does not hold for {reference.host}: {error.verify_message}"
            ) from error
        except (OSError, http.client.HTTPException) as error:
            raise _Failed(f"the connection failed: {type(error).__name__}") from error

    @cached_property
    def _context(self) -> ssl.SSLContext:
        return self.tls or ssl.create_default_context()


def _exchange(
    text: str, reference: HttpsReference, connection: http.client.HTTPSConnection, intake: Intake
) -> FetchedFile:
    connection.request(
        "GET",
        reference.target,
        headers={"Accept": "*/*", "Accept-Encoding": "identity", "User-Agent": "callsheet", "Connection": "close"},
    )
    with connection.getresponse() as response:
        _require_file(text, response)
        claimed = response.length
        if claimed is not None:
            intake.require_fits(text, claimed, claimed=True)
        fetched = intake.save(text, response.read)
    if claimed is not None and fetched.size < claimed:
        fetched.path.unlink()
        raise _Failed(f"the connection ended after {fetched.size:,} of {claimed:,} bytes")
    return fetched


def _require_file(text: str, response: http.client.HTTPResponse) -> None:
    status = response.status
    if status in _GONE:
        raise refusals.missing(text)
    if status in _TRY_LATER:
        raise _Failed(f"the server answered {status}")
    if 300 <= status < 400:
        raise refusals.unreachable(text, f"the server answered {status}: redirects are not followed")
    if status != http.client.OK:
        raise refusals.unreachable(text, f"the server answered {status}, expected 200")
    for header, plain in (("Content-Encoding", "identity"), ("Transfer-Encoding", "chunked")):
        coding = response.headers.get(header, plain).strip().lower()
        if coding != plain:
            raise refusals.unreachable(text, f"the server sent {header} {coding[:40]!r}, expected the plain file")


class _Connected(http.client.HTTPSConnection):
    """A connection over a socket that is there already; it can make no other."""

    def __init__(self, reference: HttpsReference, raw: socket.socket, tls: ssl.SSLContext) -> None:
        super().__init__(reference.host, reference.port, context=tls)
        self._raw = raw
        self._tls = tls

    def connect(self) -> None:
        # A body without a length ends with the connection: an end that TLS does not confirm is no end.
        self.sock = self._tls.wrap_socket(self._raw, server_hostname=self.host, suppress_ragged_eofs=False)
