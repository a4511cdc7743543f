"""A proxy on loopback that stands between a client and an S3 server and does one scripted fault per request."""

from __future__ import annotations

import http.client
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from tests.support.s3 import S3Server

SLOW_DOWN = b'<?xml version="1.0"?><Error><Code>SlowDown</Code><Message>reduce your rate</Message></Error>'


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What befalls one request. `forward` tells whether the server hears of it first."""

    forward: bool = False
    status: int = 0
    """Answer this status instead."""
    body: bytes = SLOW_DOWN
    headers: tuple[tuple[str, str], ...] = (("Content-Type", "application/xml"),)
    reset: bool = False
    """Reset the connection instead of answering."""
    hang: bool = False
    """Say nothing until the proxy is closed."""
    cut: int | None = None
    """Send only so many bytes of the body, then close."""
    flip: bool = False
    """Flip one bit in the middle of the body."""
    delay_s: float = 0.0
    """Answer so many seconds later."""


FINE = Fault(forward=True)
BUSY = Fault(status=503)
RESET = Fault(reset=True)
HANG = Fault(hang=True)
LOST_ANSWER = Fault(forward=True, reset=True)
"""The server did it, the client never hears of it."""
FLIPPED = Fault(forward=True, flip=True)


def cut_after(count: int) -> Fault:
    return Fault(forward=True, cut=count)


Script = Callable[[str, str, int], Fault]
"""Method, path with query, and how many requests came before; what befalls this one."""


@dataclass
class Proxy:
    """`server` as seen through the proxy; `seen` holds `METHOD path` of every request."""

    server: S3Server
    script: Script = lambda method, path, count: FINE
    seen: list[str] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def next_fault(self, method: str, path: str) -> Fault:
        with self._lock:
            count = len(self.seen)
            self.seen.append(f"{method} {path}")
        return self.script(method, path, count)

    def faults(self, *faults: Fault) -> None:
        """From now on the next requests meet these faults, one each; all after them are fine."""
        begin = len(self.seen)

        def script(method: str, path: str, count: int) -> Fault:
            return faults[count - begin] if count - begin < len(faults) else FINE

        self.script = script

    def faults_on(self, method: str, *faults: Fault) -> None:
        """As `faults`, counting requests of one method only."""
        left = list(faults)

        def script(met: str, path: str, count: int) -> Fault:
            return left.pop(0) if met == method and left else FINE

        self.script = script


@contextmanager
def proxy_to(server: S3Server, *, tls: ssl.SSLContext | None = None) -> Iterator[Proxy]:
    """A proxy to `server`; with `tls` it speaks https and calls itself localhost."""
    proxy = Proxy(server=server)
    listening = _Listening(("127.0.0.1", 0), _Handler)
    listening.proxy = proxy
    listening.upstream = urlsplit(server.endpoint).netloc
    port = listening.server_address[1]
    if tls:
        listening.socket = tls.wrap_socket(listening.socket, server_side=True, do_handshake_on_connect=False)
    proxy.server = S3Server(
        name=f"{server.name} behind a proxy",
        endpoint=f"https://localhost:{port}" if tls else f"http://127.0.0.1:{port}",
        access_key=server.access_key,
        secret_key=server.secret_key,
        bucket=server.bucket,
        folder=server.folder,
    )
    thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield proxy
    finally:
        proxy.closing.set()
        listening.shutdown()
        thread.join()
        listening.server_close()


class _Listening(ThreadingHTTPServer):
    daemon_threads = True
    proxy: Proxy
    upstream: str

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is part of the game."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Listening

    def do_any(self) -> None:
        sent = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        fault = self.server.proxy.next_fault(self.command, self.path)
        status, headers, body = fault.status, list(fault.headers), fault.body
        if fault.forward:
            status, headers, body = self._forward(sent)
        self.server.proxy.closing.wait(fault.delay_s)
        if fault.hang:
            self.server.proxy.closing.wait()
            self.close_connection = True
        elif fault.reset:
            self._reset()
        else:
            self._answer(fault, status, headers, body)

    def __getattr__(self, name: str) -> Callable[[], None]:
        """The base class looks for `do_GET` and its kin."""
        if name.startswith("do_"):
            return self.do_any
        raise AttributeError(name)

    def _forward(self, sent: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        upstream = http.client.HTTPConnection(self.server.upstream, timeout=30)
        try:
            upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                upstream.putheader(name, value)
            upstream.endheaders(sent)
            with upstream.getresponse() as answer:
                body = answer.read()
                headers = [item for item in answer.getheaders() if item[0].lower() != "transfer-encoding"]
                if not answer.getheader("Content-Length"):
                    headers.append(("Content-Length", str(len(body))))
                return answer.status, headers, body
        finally:
            upstream.close()

    def _answer(self, fault: Fault, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        if fault.flip and body:
            middle = len(body) // 2
            body = body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :]
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        if not fault.forward:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body if fault.cut is None else body[: fault.cut])
        if fault.cut is not None:
            self.close_connection = True

    def _reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class calls it so
        """Tests speak for themselves."""
