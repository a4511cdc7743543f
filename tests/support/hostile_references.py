"""References that attack: what a sheet's cells may hold instead of a file's name, and who would hear of it."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from schemas.problem import Code
from tests.support.hostile import Case, Said, cell, good_row, with_rows
from tests.support.hostile_sounds import ADDRESS, HEADS, SCRIPTS

PORT = "{port}"

SCHEME = [
    "file:///etc/passwd", "file:/etc/passwd", "FILE:///etc/passwd", "file:secret.png", " file:///etc/passwd",
    f"http://127.0.0.1:{PORT}/", f"http://localhost:{PORT}/", "http://169.254.169.254/latest/meta-data/",
    f"HTTP://127.0.0.1:{PORT}/", f"ftp://127.0.0.1:{PORT}/a", f"gopher://127.0.0.1:{PORT}/_x",
    f"tcp://127.0.0.1:{PORT}", f"rtmp://127.0.0.1:{PORT}/a", f"rtsp://127.0.0.1:{PORT}/a",
    f"tls://127.0.0.1:{PORT}", f"udp://127.0.0.1:{PORT}", f"ws://127.0.0.1:{PORT}/", f"dict://127.0.0.1:{PORT}/",
    f"ldap://127.0.0.1:{PORT}/", f"smb://127.0.0.1:{PORT}/a", f"hls+http://127.0.0.1:{PORT}/a",
    f"async:http://127.0.0.1:{PORT}/", f"cache:http://127.0.0.1:{PORT}/", f"crypto:http://127.0.0.1:{PORT}/",
    "concat:a.png|../secret.png", "concatf:list", "data:image/png;base64,AAAA", "pipe:0", "fd:0", "md5:x",
    "javascript:alert(1)", "php://filter/resource=x", "jar:file:///x!/y", "unix:/run/x.sock",
    "\\\\server\\share\\a.png", "//server/share/a.png", "\\/server/a.png", "\\\\?\\C:\\a.png",
    "C:\\Windows\\win.ini", "c:/a.png", "Z:a.png", "a.png\0.wav", "a\npng", "a\u2028b", "a\x7f", "\ud800",
    f"https://127.0.0.1:{PORT}\\@media.example.org/", "https://media.example.org/a b", "https:\\\\media.example.org",
    "https://media.example.org/\ta", "https://media.example.org:99999/", "https://media.example.org:x/",
    "https://[::1/", "s3:bucket/a", "x" * 5_000,
]  # fmt: skip

OUTSIDE = [
    "../secret.png", "..\\secret.png", "images/../../secret.png", "./../secret.png", "images/..", "..",
    "images\\..\\..\\secret.png", "/etc/passwd", "/proc/self/environ", "/dev/zero", "/", "a/./../../secret.png",
    "s3://allowed/../other/a", "s3://allowed/a/../../other/b", "s3://allowed//a", "s3://allowed/a/./b",
    "s3://limited/inbox/../clips/a", "s3://limited/inbox/..\\clips/a",
]  # fmt: skip

MISSING = [
    "....//....//secret.png", "%2e%2e/secret.png", "..%2fsecret.png", "..%5csecret.png", "~/.ssh/id_rsa",
    "$HOME/a.png", "${HOME}/a.png", "`id`", "$(id)", "; id", "-i", "--help", "|id", "\uff0e\uff0e/secret.png",
    "..\uff0fsecret.png", "subfile,,start,0,end,9,,:secret.png", "con", "*", "?", "<a>",
]  # fmt: skip

HOST = [
    f"https://127.0.0.1:{PORT}/", f"https://localhost:{PORT}/", f"https://[::1]:{PORT}/", f"https://0:{PORT}/",
    f"https://[::ffff:127.0.0.1]:{PORT}/", f"https://2130706433:{PORT}/", f"https://0x7f000001:{PORT}/",
    f"https://0177.0.0.1:{PORT}/", f"https://127.1:{PORT}/", f"https://127.0.0.1.:{PORT}/",
    "https://169.254.169.254/latest/meta-data/", "https://metadata.google.internal/", "https://kubernetes.default/",
    f"https://media.example.org@127.0.0.1:{PORT}/", f"https://user:pass@media.example.org:{PORT}/",
    f"https://127.0.0.1:{PORT}#@media.example.org/", f"https://127.0.0.1:{PORT}?@media.example.org/",
    "https://media.example.org.evil.example/", "https://evil.example/media.example.org",
    "https://evil.example?media.example.org", "https://xmedia.example.org/", "https://media.example.org./",
    f"https://media.example.org:{PORT}/", "https://media.example.org:0/", "https://media.example.org%2eevil.example/",
    "https://media.example.org%00.evil.example/", "https://①②⑦.⓪.⓪.①/", "https://ⓛocalhost/", "https://\uff11\uff12\uff17.0.0.1/",
    "https://127。0。0。1/", "https://", "https:///a", "https:media.example.org", "https:/media.example.org/",
    "https://media\ua4f8example.org/", "https://m\u0435dia.example.org/", "https://.example.org/",
    "s3://other/a", "s3://ALLOWED/a", "s3://allowed@other/a", "s3://allowed:443/a", "s3://allowed.other/a",
    "s3:///allowed/a", "s3://limited/clips/a", "s3://limited/inboxer/a", "s3://limited/inbox%2f..%2fclips/a",
]  # fmt: skip

NOT_A_FILE = ["s3://allowed", "s3://allowed/", "s3://allowed/a/", ".", "./", "images/", "images\\"]

CASES = [
    *((reference, Code.REFERENCE_SCHEME) for reference in SCHEME),
    *((reference, Code.REFERENCE_OUTSIDE_ROOT) for reference in OUTSIDE),
    *((reference, Code.REFERENCE_MISSING) for reference in MISSING),
    *((reference, Code.REFERENCE_HOST) for reference in HOST),
    *((reference, Code.REFERENCE_NOT_A_FILE) for reference in NOT_A_FILE),
]

NUMERIC_LOOPBACK = ["127.0.0.1", "localhost", "2130706433", "0x7f000001", "0177.0.0.1", "127.1", "0", "127.0.0.01"]


@dataclass
class Inside:
    """A service on loopback that counts who comes."""

    port: int
    connections: int = 0


@pytest.fixture(scope="module")
def inside() -> Iterator[Inside]:
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        inside = Inside(port=first.getsockname()[1])
        listening = [first]
        if socket.has_ipv6:
            with contextlib.suppress(OSError):
                listening.append(
                    stack.enter_context(socket.create_server(("::1", inside.port), family=socket.AF_INET6))
                )
        threads = [threading.Thread(target=_count, args=(one, inside)) for one in listening]
        for thread in threads:
            thread.start()
        yield inside
        for one in listening:
            one.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join()


def _count(listening: socket.socket, inside: Inside) -> None:
    while True:
        try:
            connection, _ = listening.accept()
        except OSError:
            return
        inside.connections += 1
        connection.close()


BASES = [
    ("/etc", Code.REFERENCE_OUTSIDE_ROOT),
    ("/", Code.REFERENCE_OUTSIDE_ROOT),
    ("/proc/self", Code.REFERENCE_OUTSIDE_ROOT),
    ("/dev", Code.REFERENCE_OUTSIDE_ROOT),
    ("..", Code.REFERENCE_OUTSIDE_ROOT),
    ("../", Code.REFERENCE_OUTSIDE_ROOT),
    ("images/../../..", Code.REFERENCE_OUTSIDE_ROOT),
    ("//server/share", Code.REFERENCE_OUTSIDE_ROOT),
    ("etc", Code.REFERENCE_NOT_A_FILE),
    ("circle", Code.REFERENCE_NOT_A_FILE),
    ("good.png", Code.REFERENCE_NOT_A_FILE),
    ("~", Code.REFERENCE_MISSING),
    ("$HOME", Code.REFERENCE_MISSING),
    ("..\\..", Code.REFERENCE_MISSING),
    ("\\\\server\\share", Code.REFERENCE_MISSING),
    ("file:///etc", Code.REFERENCE_SCHEME),
    (f"http://127.0.0.1:{PORT}/", Code.REFERENCE_SCHEME),
    ("https://media.example.org/", Code.REFERENCE_SCHEME),
    ("concat:/etc", Code.REFERENCE_SCHEME),
    ("C:\\Windows", Code.REFERENCE_SCHEME),
    ("s3://other/a", Code.REFERENCE_HOST),
    ("s3://", Code.REFERENCE_HOST),
    ("s3://allowed@other/a", Code.REFERENCE_HOST),
    ("s3://limited/clips", Code.REFERENCE_HOST),
    ("s3://allowed/../other", Code.REFERENCE_OUTSIDE_ROOT),
    ("s3://limited/inbox/../clips", Code.REFERENCE_OUTSIDE_ROOT),
]
"""What `_base` may hold, with the relative reference `passwd` beside it: `etc` is a link, `circle` one to itself."""

LIVE_PORT = "HOSTILE_PORT"
"""Variable with the port of the listener, for cases that are made in another process."""


def corpus() -> tuple[Case, ...]:
    """One sheet with every reference, one with every base, one with every script behind a name that is allowed."""
    port = os.environ[LIVE_PORT]
    return (
        Case(name="references", build=partial(_references_sheet, port), said=tuple(_said_of_references())),
        Case(name="bases", build=partial(_bases_sheet, port), said=tuple(_said_of_bases())),
        Case(name="scripts", build=partial(_scripts_sheet, port), said=tuple(_said_of_scripts())),
        Case(name="inner names", build=partial(_names_sheet, port), said=tuple(_said_of_names())),
    )


def in_sheet() -> list[tuple[str, Code]]:
    """The references that a cell can hold as one reference: a `|` in it would make two."""
    return [(text, code) for text, code in CASES if "|" not in text and text.strip() == text and text.isprintable()]


def _references_sheet(port: str, folder: Path) -> Path:
    (folder / "images").mkdir()
    texts = [text.replace(PORT, port) for text, _ in in_sheet()]
    rows = [good_row(f"i{n}", image=text) for n, text in enumerate(texts)]
    rows += [good_row(f"a{n}", image="", audio=text) for n, text in enumerate(texts)]
    return with_rows(*rows)(folder)


def _said_of_references() -> Iterator[Said]:
    found = in_sheet()
    for n, (_, code) in enumerate(found):
        yield cell(code, "image", line=n + 2, row_id=f"i{n}")
        yield cell(code, "audio", line=n + 2 + len(found), row_id=f"a{n}")


def _bases_sheet(port: str, folder: Path) -> Path:
    (folder / "etc").symlink_to("/etc")
    (folder / "circle").symlink_to("circle")
    rows = [
        good_row(f"b{n}", image="passwd") | {"_base": text.replace(PORT, port)} for n, (text, _) in enumerate(BASES)
    ]
    return with_rows(*rows)(folder)


def _said_of_bases() -> Iterator[Said]:
    for n, (_, code) in enumerate(BASES):
        yield cell(code, "image", line=n + 2, row_id=f"b{n}")


def _scripts(port: str) -> list[tuple[str, bytes, Code]]:
    """(name, content, code as a sound): scripts alone and behind every head, their addresses those of the listener."""
    texts = [(name, text.replace(ADDRESS, f"http://127.0.0.1:{port}").encode()) for name, text in SCRIPTS]
    plain = [(f"s{n}.mp3", text, Code.AUDIO_TYPE) for n, (_, text) in enumerate(texts)]
    behind = [
        (f"{head}{n}.mp3", start + b"\n" + text * 40, Code.AUDIO_CORRUPT)
        for head, start in HEADS
        for n, (_, text) in enumerate(texts)
    ]
    return plain + behind


def _scripts_sheet(port: str, folder: Path) -> Path:
    files = _scripts(port)
    for name, data, _ in files:
        (folder / name).write_bytes(data)
    rows = [good_row(f"s{n}", image="", audio=name) for n, (name, _, _) in enumerate(files)]
    rows += [good_row(f"p{n}", image=name) for n, (name, _, _) in enumerate(files)]
    return with_rows(*rows)(folder)


def _said_of_scripts() -> Iterator[Said]:
    files = _scripts("0")
    for n, (_, _, code) in enumerate(files):
        yield cell(code, "audio", line=n + 2, row_id=f"s{n}")
        yield cell(Code.IMAGE_TYPE, "image", line=n + 2 + len(files), row_id=f"p{n}")


def _names_sheet(port: str, folder: Path) -> Path:
    rows = [good_row(f"n{n}", image=f"https://{host}:{port}/a.png") for n, host in enumerate(NUMERIC_LOOPBACK)]
    return with_rows(*rows)(folder)


def _said_of_names() -> Iterator[Said]:
    for n, _ in enumerate(NUMERIC_LOOPBACK):
        yield cell(Code.REFERENCE_ADDRESS, "image", line=n + 2, row_id=f"n{n}")
