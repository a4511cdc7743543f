"""A TLS server on loopback that answers with raw bytes as a test says, with an authority of its own."""

from __future__ import annotations

import contextlib
import datetime
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

Answer = Callable[[ssl.SSLSocket, bytes], None]
"""Given the connection and the request's head, sends what it likes."""

HOST = "media.example.org"


@dataclass(frozen=True, kw_only=True)
class Authority:
    """A certificate authority and one server certificate for `HOST` and localhost, as PEM files."""

    authority: Path
    certificate: Path
    key: Path

    def client_context(self) -> ssl.SSLContext:
        """Trusts this authority and no other."""
        return ssl.create_default_context(cafile=str(self.authority))

    def server_context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        return context


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    pytest.importorskip("cryptography", reason="the cryptography package makes the test's certificates")
    return _make_authority(tmp_path_factory.mktemp("tls"))


@dataclass
class TlsServer:
    """Counts connections; `answers` are used up one per connection, the last one again and again."""

    port: int
    answers: Sequence[Answer] = ()
    connections: int = 0
    heads: list[bytes] = field(default_factory=list)
    handshakes: bool = True
    """False: takes connections and says nothing."""

    @property
    def authority_name(self) -> str:
        return f"{HOST}:{self.port}"


@contextmanager
def serve_tls(authority: Authority, *, address: str = "127.0.0.1", port: int = 0) -> Iterator[TlsServer]:
    with socket.create_server((address, port)) as listening:
        server = TlsServer(port=listening.getsockname()[1])
        context = authority.server_context()
        closing = threading.Event()
        threads: list[threading.Thread] = []

        def accept() -> None:
            while True:
                try:
                    raw, _ = listening.accept()
                except OSError:
                    return
                if closing.is_set():
                    raw.close()
                    return
                server.connections += 1
                thread = threading.Thread(target=_serve, args=(server, context, raw, closing))
                thread.start()
                threads.append(thread)

        accepting = threading.Thread(target=accept)
        accepting.start()
        try:
            yield server
        finally:
            closing.set()
            with contextlib.suppress(OSError):
                socket.create_connection((address, server.port), timeout=1).close()
            accepting.join()
            for thread in threads:
                thread.join()


def _serve(server: TlsServer, context: ssl.SSLContext, raw: socket.socket, closing: threading.Event) -> None:
    number = server.connections - 1
    raw.settimeout(20)
    with raw, contextlib.suppress(OSError):
        if not server.handshakes:
            closing.wait(20)
            return
        with context.wrap_socket(raw, server_side=True) as connection:
            head = b""
            while b"\r\n\r\n" not in head:
                block = connection.recv(4096)
                if not block:
                    return
                head += block
            server.heads.append(head)
            server.answers[min(number, len(server.answers) - 1)](connection, head)


def plain(body: bytes, *headers: str, status: str = "200 OK") -> Answer:
    """An ordinary answer with its length."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]

    def answer(connection: ssl.SSLSocket, head: bytes) -> None:
        connection.sendall("\r\n".join(lines).encode() + body)
        connection.unwrap()

    return answer


def raw_bytes(sent: bytes, *, says_goodbye: bool = True) -> Answer:
    """These bytes and the end, confirmed by TLS or not."""

    def answer(connection: ssl.SSLSocket, head: bytes) -> None:
        connection.sendall(sent)
        if says_goodbye:
            connection.unwrap()
        else:
            connection.shutdown(socket.SHUT_RDWR)

    return answer


def drip(sent: bytes, *, every_s: float) -> Answer:
    """One byte at a time, for ever."""

    def answer(connection: ssl.SSLSocket, head: bytes) -> None:
        pause = threading.Event()
        connection.sendall(sent)
        while True:
            connection.sendall(b"x")
            pause.wait(every_s)

    return answer


def _make_authority(folder: Path) -> Authority:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    now = datetime.datetime.now(datetime.UTC)

    def builder(name: str, key: ec.EllipticCurvePrivateKey, issuer: str) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=1))
        )

    root_key, server_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root_identifier = x509.SubjectKeyIdentifier.from_public_key(root_key.public_key())
    root = (
        builder("test root", root_key, "test root")
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(root_identifier, critical=False)
        .sign(root_key, hashes.SHA256())
    )
    server = (
        builder(HOST, server_key, "test root")
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(HOST), x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(root_identifier), critical=False)
        .sign(root_key, hashes.SHA256())
    )
    made = Authority(authority=folder / "root.pem", certificate=folder / "server.pem", key=folder / "key.pem")
    made.authority.write_bytes(root.public_bytes(serialization.Encoding.PEM))
    made.certificate.write_bytes(server.public_bytes(serialization.Encoding.PEM))
    made.key.write_bytes(
        server_key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return made
