"""Addresses on allowed hosts, from a server that behaves, misbehaves, or is another one."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from pathlib import Path

import pytest

from schemas.errors import InvalidMedia, InvalidSettings
from schemas.problem import Code
from storage.fetcher import FetchedFile, Fetcher
from storage.fetcher.addresses import IPAddress
from tests.support.tls_server import HOST, Authority, TlsServer, drip, plain, raw_bytes, serve_tls

CAP = 10_000
LOOPBACK = ip_address("127.0.0.1")


def _to_loopback(host: str, port: int) -> Sequence[str]:
    return [str(LOOPBACK)]


def _only_loopback(address: IPAddress) -> bool:
    return address == LOOPBACK


@pytest.fixture
def make(server: TlsServer, authority: Authority, scratch: Path) -> Callable[..., Fetcher]:
    """A fetcher for which the loopback address is the public internet."""

    def make(**changed: object) -> Fetcher:
        settings = {
            "hosts": [server.authority_name],
            "resolver": _to_loopback,
            "is_allowed": _only_loopback,
            "tls": authority.client_context(),
            "timeout_s": 5.0,
            **changed,
        }
        return Fetcher(scratch=scratch, **settings)  # type: ignore[arg-type]

    return make


def _fetch(fetcher: Fetcher, server: TlsServer, path: str = "/a.png") -> FetchedFile:
    return fetcher.fetch(f"https://{HOST}:{server.port}{path}", kind="image", max_bytes=CAP)


def _refused(fetcher: Fetcher, server: TlsServer) -> InvalidMedia:
    with pytest.raises(InvalidMedia) as caught:
        _fetch(fetcher, server)
    return caught.value


def test_a_file_comes_from_the_pinned_address(make: Callable[..., Fetcher], server: TlsServer) -> None:
    """The name is verified and sent, the address is the checked one, the file is whole."""
    server.answers = [plain(b"picture")]
    fetched = _fetch(make(), server, "/a%20b/ä.png?size=1")
    assert fetched.path.read_bytes() == b"picture"
    (head,) = server.heads
    assert head.startswith(b"GET /a%20b/%C3%A4.png?size=1 HTTP/1.1\r\n")
    assert f"\r\nHost: {HOST}:{server.port}\r\n".encode() in head
    assert b"\r\nAccept-Encoding: identity\r\n" in head
    assert b"ookie" not in head
    assert b"uthorization" not in head


def test_bodies_without_a_length_end_where_they_say(make: Callable[..., Fetcher], server: TlsServer) -> None:
    """Chunks, and an end of the connection that TLS confirms, are whole bodies."""
    server.answers = [
        raw_bytes(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"),
        raw_bytes(b"HTTP/1.1 200 OK\r\n\r\nabcde"),
    ]
    for number in range(2):
        assert _fetch(make(), server, f"/{number}").path.read_bytes() == b"abcde"


@pytest.mark.parametrize(
    "sent",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nabc",
        b"HTTP/1.1 200 OK\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000 + b"\r\n",
    ],
    ids=["length", "chunk", "no goodbye", "headers", "nothing", "another protocol", "endless headers"],
)
def test_a_body_that_is_cut_is_no_file(
    make: Callable[..., Fetcher], server: TlsServer, scratch: Path, sent: bytes
) -> None:
    """Whatever ends early is tried again, then refused, and leaves nothing."""
    server.answers = [raw_bytes(sent, says_goodbye=False)]
    assert _refused(make(), server).code is Code.REFERENCE_UNREACHABLE
    assert server.connections == 3
    assert not scratch.exists() or list(scratch.iterdir()) == []


def test_more_than_was_claimed_is_not_read(make: Callable[..., Fetcher], server: TlsServer) -> None:
    """A body ends at its claimed length, whatever follows."""
    server.answers = [raw_bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc" + b"x" * 50_000)]
    assert _fetch(make(), server).path.read_bytes() == b"abc"


def test_a_claim_above_the_cap_is_refused_unread(make: Callable[..., Fetcher], server: TlsServer) -> None:
    """A length above the cap is believed at once."""
    server.answers = [raw_bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\nabc")]
    assert _refused(make(), server).code is Code.REFERENCE_TOO_LARGE
    assert server.connections == 1


def test_a_stream_above_the_cap_is_cut_off(make: Callable[..., Fetcher], server: TlsServer, scratch: Path) -> None:
    """A body that tells no length is counted as it comes."""
    server.answers = [raw_bytes(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (CAP + 1))]
    assert _refused(make(), server).code is Code.REFERENCE_TOO_LARGE
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
def test_a_redirect_is_not_followed(make: Callable[..., Fetcher], server: TlsServer, status: str) -> None:
    """Wherever it leads, also to the same host: one connection, one refusal."""
    server.answers = [
        plain(b"", f"Location: https://{HOST}:{server.port}/b.png", status=status),
        plain(b"picture"),
    ]
    error = _refused(make(), server)
    assert error.code is Code.REFERENCE_UNREACHABLE
    assert "redirect" in error.message
    assert server.connections == 1


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (plain(b"", status="404 Not Found"), Code.REFERENCE_MISSING),
        (plain(b"", status="410 Gone"), Code.REFERENCE_MISSING),
        (plain(b"", status="401 Unauthorized"), Code.REFERENCE_UNREACHABLE),
        (plain(b"", status="204 No Content"), Code.REFERENCE_UNREACHABLE),
        (plain(b"x", "Content-Range: bytes 0-0/9", status="206 Partial Content"), Code.REFERENCE_UNREACHABLE),
        (plain(b"\x1f\x8b", "Content-Encoding: gzip"), Code.REFERENCE_UNREACHABLE),
        (plain(b"x", "Content-Encoding: br, gzip"), Code.REFERENCE_UNREACHABLE),
        (
            raw_bytes(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
            Code.REFERENCE_UNREACHABLE,
        ),
    ],
    ids=["404", "410", "401", "204", "206", "gzip", "br", "transfer gzip"],
)
def test_an_answer_that_is_no_file_is_final(
    make: Callable[..., Fetcher], server: TlsServer, answer: Callable[[ssl.SSLSocket, bytes], None], code: Code
) -> None:
    """Answers that trying again cannot better are not asked for again; nothing is decompressed."""
    server.answers = [answer]
    assert _refused(make(), server).code is code
    assert server.connections == 1


def test_a_passing_failure_is_tried_again(make: Callable[..., Fetcher], server: TlsServer) -> None:
    """A busy answer and a broken one, then the file."""
    server.answers = [plain(b"", status="503 Busy"), raw_bytes(b"", says_goodbye=False), plain(b"picture")]
    assert _fetch(make(), server).size == 7


@pytest.mark.parametrize("where", ["handshake", "head", "headers", "body", "close-delimited body"])
def test_the_deadline_covers_everything(
    make: Callable[..., Fetcher], server: TlsServer, scratch: Path, where: str
) -> None:
    """A server that says nothing, or a byte now and then, holds nobody longer than the timeout."""
    server.handshakes = where != "handshake"
    heads = {
        "handshake": b"",
        "head": b"",
        "headers": b"HTTP/1.1 200 OK\r\nX-Slow: ",
        "body": b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n",
        "close-delimited body": b"HTTP/1.1 200 OK\r\n\r\n",
    }
    server.answers = [drip(heads[where], every_s=0.05)]
    started = time.monotonic()
    error = _refused(make(timeout_s=0.8), server)
    assert error.code is Code.REFERENCE_UNREACHABLE
    assert 0.7 < time.monotonic() - started < 2.0
    assert not scratch.exists() or list(scratch.iterdir()) == []


def test_a_resolver_that_hangs_is_left_behind(make: Callable[..., Fetcher], server: TlsServer) -> None:
    """The system's resolver has no deadline; the fetch has."""

    def sleepy(host: str, port: int) -> Sequence[str]:
        time.sleep(2)
        return ["127.0.0.1"]

    started = time.monotonic()
    assert _refused(make(timeout_s=0.3, resolver=sleepy), server).code is Code.REFERENCE_UNREACHABLE
    assert time.monotonic() - started < 1.5
    assert server.connections == 0


def test_a_name_that_is_bound_anew_is_not_asked_again(
    make: Callable[..., Fetcher], server: TlsServer, authority: Authority
) -> None:
    """DNS rebinding: the second answer is never asked for, not even when the connection is made anew."""
    asked = []

    def rebinding(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["127.0.0.2"]

    with serve_tls(authority, address="127.0.0.2", port=server.port) as inside:
        inside.answers = [plain(b"secret")]
        server.answers = [raw_bytes(b"", says_goodbye=False), plain(b"picture")]
        fetched = _fetch(make(resolver=rebinding), server)
        assert fetched.path.read_bytes() == b"picture"
        assert inside.connections == 0
    assert asked == [HOST]


def test_one_private_address_among_public_ones_spoils_the_name(make: Callable[..., Fetcher], server: TlsServer) -> None:
    """Which of its addresses would be used is the attacker's choice: all have to be public."""
    error = _refused(make(resolver=lambda host, port: ["127.0.0.1", "10.0.0.1"]), server)
    assert error.code is Code.REFERENCE_ADDRESS
    assert "10.0.0.1" in error.message
    assert server.connections == 0


def test_the_next_address_is_tried(make: Callable[..., Fetcher], server: TlsServer) -> None:
    """A name with a dead address and a living one is fetched from the living one."""
    server.answers = [plain(b"picture")]
    fetcher = make(resolver=lambda host, port: ["127.0.0.3", "127.0.0.1"], is_allowed=lambda address: True)
    assert _fetch(fetcher, server).size == 7


def test_a_certificate_for_another_name_is_refused(
    make: Callable[..., Fetcher], server: TlsServer, authority: Authority
) -> None:
    """TLS verifies the name of the reference, not the address, and only by trusted authorities."""
    server.answers = [plain(b"picture")]
    other = make(hosts=[f"other.example.org:{server.port}"])
    with pytest.raises(InvalidMedia, match=r"certificate does not hold for other\.example\.org") as caught:
        other.fetch(f"https://other.example.org:{server.port}/a.png", kind="image", max_bytes=CAP)
    assert caught.value.code is Code.REFERENCE_UNREACHABLE
    assert "certificate" in _refused(make(tls=None), server).message
    assert server.heads == []


def test_the_port_belongs_to_the_host(make: Callable[..., Fetcher], server: TlsServer) -> None:
    """A host that is allowed is allowed on port 443, and on others only as host:port."""
    assert _refused(make(hosts=[HOST]), server).code is Code.REFERENCE_HOST
    assert _refused(make(hosts=[f"{HOST}:{server.port + 1}"]), server).code is Code.REFERENCE_HOST
    assert server.connections == 0


def test_hosts_are_compared_without_case_and_spelling(make: Callable[..., Fetcher], server: TlsServer) -> None:
    """MEDIA.example.org in the settings allows media.EXAMPLE.org in the sheet."""
    server.answers = [plain(b"picture")]
    fetcher = make(hosts=[f" MEDIA.Example.ORG:{server.port} "])
    url = f"HTTPS://media.EXAMPLE.org:{server.port}/a.png"
    assert fetcher.fetch(url, kind="image", max_bytes=CAP).size == 7


@pytest.mark.parametrize("entry", ["", "*.example.org", "https://example.org", "example.org:x", "a b", "ex.org:1:2"])
def test_an_impossible_allow_list_is_a_setting(scratch: Path, entry: str) -> None:
    """A wildcard or an address in the allow-list is refused when the fetcher is made, not when it is used."""
    with pytest.raises(InvalidSettings, match="fetch_hosts"):
        Fetcher(scratch=scratch, hosts=[entry])
