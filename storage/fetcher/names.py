"""Host names: how they are compared, and what addresses they have."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable, Iterable, Sequence

from schemas.errors import InvalidSettings

HTTPS_PORT = 443

Resolver = Callable[[str, int], Sequence[str]]
"""Name and port to the texts of all its addresses; raises OSError when there are none."""

_NAME = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)*")
_MOST_CHARS = 253


def host_name(host: str) -> str:
    """A host name as the wire knows it: lower-case ASCII, international names in their `xn--` form.

    Raises:
        ValueError: it is no host name.
    """
    name = host.encode("idna").decode("ascii").lower()
    if not _NAME.fullmatch(name) or len(name) > _MOST_CHARS:
        raise ValueError(f"{host!r} is no host name")
    return name


def allow_hosts(entries: Iterable[str]) -> frozenset[str]:
    """Allow-list entries as they are compared: exact names, case and international spelling aside.

    An entry is `name`, which allows port 443 alone, or `name:port`.

    Raises:
        InvalidSettings: an entry is neither.
    """
    return frozenset(_allowed(entry) for entry in entries)


def _allowed(entry: str) -> str:
    name, colon, port = entry.strip().partition(":")
    try:
        host, number = host_name(name), int(port) if colon else HTTPS_PORT
    except ValueError as error:
        raise InvalidSettings(
            f"fetch_hosts holds {entry!r}, expected a host such as media.example.org or media.example.org:8443",
            fix="write exact host names without https:// and without wildcards",
        ) from error
    return host if number == HTTPS_PORT else f"{host}:{number}"


def resolve(host: str, port: int) -> Sequence[str]:
    """All addresses of a host, as the system's resolver has them. Raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))


def resolve_within(resolver: Resolver, host: str, port: int, timeout_s: float) -> Sequence[str]:
    """What `resolver` says, asked once.

    The system's resolver has no deadline of its own, so it is asked from a thread that may be left behind.

    Raises:
        OSError: the name has no address, or (TimeoutError) the answer took too long.
    """
    answer: list[Sequence[str] | OSError] = []

    def ask() -> None:
        try:
            answer.append(resolver(host, port))
        except OSError as error:
            answer.append(error)

    asking = threading.Thread(target=ask, daemon=True, name=f"resolve {host}")
    asking.start()
    asking.join(timeout_s)
    if not answer:
        raise TimeoutError(f"no answer within {timeout_s:.0f} s")
    if isinstance(answer[0], OSError):
        raise answer[0]
    if not answer[0]:
        raise OSError("it has no address")
    return answer[0]
