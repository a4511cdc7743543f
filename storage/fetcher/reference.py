"""What a stranger's reference says: a path, an object or an address. No I/O; everything else is refused.

What is refused here never reaches a file system, a resolver or a socket.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from storage.fetcher import refusals
from storage.fetcher.names import HTTPS_PORT, host_name

MAX_CHARS = 4_096

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_DRIVE = re.compile(r"[A-Za-z]:")
_UNLAWFUL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029]")
_NOT_IN_URL = re.compile(r"[\s\\]")


@dataclass(frozen=True, kw_only=True)
class LocalReference:
    """Components below the folder that references start from; none is `.`, `..` or empty."""

    parts: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class S3Reference:
    bucket: str
    key: str


@dataclass(frozen=True, kw_only=True)
class HttpsReference:
    """`host` is lower-case ASCII; `target` is path and query as they go on the wire."""

    host: str
    port: int
    target: str

    @property
    def authority(self) -> str:
        return self.host if self.port == HTTPS_PORT else f"{self.host}:{self.port}"


Reference = LocalReference | S3Reference | HttpsReference


def parse_reference(text: str) -> Reference:
    """Read one reference.

    Blanks around it are dropped. A backslash in a path is a slash: sheets come from Windows. `./` before a name lets
    it hold a colon.

    Raises:
        InvalidMedia: REFERENCE_SCHEME, REFERENCE_OUTSIDE_ROOT, REFERENCE_HOST, REFERENCE_NOT_A_FILE or
            REFERENCE_MISSING (an empty one).
    """
    text = text.strip(" ")
    if not text:
        raise refusals.missing(text)
    if len(text) > MAX_CHARS:
        raise refusals.scheme(text, f"it has {len(text)} characters, at most {MAX_CHARS} are allowed")
    if found := _UNLAWFUL.search(text):
        raise refusals.scheme(text, f"it holds the control character U+{ord(found.group()):04X}")
    scheme = _SCHEME.match(text)
    if scheme is None:
        return _parse_local(text)
    if _DRIVE.fullmatch(scheme.group()):
        raise refusals.scheme(text, "it names a Windows drive")
    match scheme.group(1).lower():
        case "s3":
            return _parse_s3(text)
        case "https":
            return _parse_https(text)
        case other:
            raise refusals.scheme(text, f"{other}: is no kind of reference that is fetched")


def _parse_local(text: str) -> LocalReference:
    path = text.replace("\\", "/")
    if path.startswith("//"):
        raise refusals.scheme(text, "it names a network share or host")
    if path.startswith("/"):
        raise refusals.outside_root(text, "the path is absolute")
    parts = tuple(part for part in path.split("/") if part not in ("", "."))
    if ".." in parts:
        raise refusals.outside_root(text, "'..' is not followed")
    if not parts or path.endswith(("/", "/.")):
        raise refusals.not_a_file(text, "a folder")
    return LocalReference(parts=parts)


def _parse_s3(text: str) -> S3Reference:
    rest = text[len("s3:") :]
    if not rest.startswith("//"):
        raise refusals.scheme(text, "s3: is followed by //bucket/key")
    bucket, _, key = rest[2:].partition("/")
    if not key or key.endswith("/"):
        raise refusals.not_a_file(text, "a bucket or prefix")
    # Clients and servers shorten such a path on the way: what is signed would not be what is read.
    if {"", ".", ".."} & set(key.replace("\\", "/").split("/")):
        raise refusals.outside_root(text, "an object's key has no empty part, '.' or '..'")
    return S3Reference(bucket=bucket, key=key)


def _parse_https(text: str) -> HttpsReference:
    if _NOT_IN_URL.search(text):
        raise refusals.scheme(text, "an address holds no spaces and no backslashes; write %20 for a space")
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError as error:
        raise refusals.scheme(text, str(error)) from None
    if "@" in url.netloc:
        raise refusals.host(text, "the address holds a user name or password", "remove what is before the @")
    try:
        name = host_name(url.hostname or "")
    except ValueError:
        raise refusals.host(
            text, "the address names no host", "write https://host/path with a host of the allow-list"
        ) from None
    target = quote(url.path or "/", safe="/%:=&~+!$,;'()*@-._")
    if url.query:
        target += "?" + quote(url.query, safe="/%:=&~+!$,;'()*@-._?")
    return HttpsReference(host=name, port=HTTPS_PORT if port is None else port, target=target)
