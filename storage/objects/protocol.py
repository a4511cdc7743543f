"""The object store: bytes under keys. One protocol, one conformance suite for every implementation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol


@dataclass(frozen=True, kw_only=True)
class StoredObject:
    """What the store says of one object; `modified_at` in seconds since the epoch."""

    key: str
    size: int
    modified_at: float
    media_type: str = "application/octet-stream"


class ObjectStore(Protocol):
    """Needs only put, get, stat, list, copy, delete and presign; never conditional writes or notifications.

    Keys are relative, `/`-separated, of `[A-Za-z0-9._-]` parts, without `..`; anything else raises
    `InvalidInput` before any I/O. A key is either absent or whole: a reader never sees half an object. A missing
    key raises `NotFound`; a store that is away or busy raises `Retryable` after its own bounded retries.
    """

    @property
    def url(self) -> str:
        """`file:///...` or `s3://bucket/prefix`; no secret in it."""
        ...

    def put_file(self, key: str, path: Path, *, media_type: str) -> None: ...

    def put_bytes(self, key: str, data: bytes, *, media_type: str) -> None: ...

    def open(self, key: str) -> BinaryIO:
        """A readable stream; the caller closes it."""
        ...

    def get_file(self, key: str, path: Path) -> None:
        """Download to `path`, which appears whole or not at all."""
        ...

    def stat(self, key: str) -> StoredObject: ...

    def list(self, prefix: str = "", *, after: str = "") -> Iterator[StoredObject]:
        """In key order; never a source of truth. Only `stat` knows the media type for certain."""
        ...

    def copy(self, source: str, target: str) -> None: ...

    def delete(self, key: str) -> None:
        """Idempotent."""
        ...

    def presign(self, key: str, *, expires_s: int) -> str:
        """A link that works without credentials until it expires. Raises Refused where there is no such thing."""
        ...

    def public_location(self, key: str) -> str:
        """Where a person finds the object: a path, or an `s3://` address."""
        ...

    def check(self) -> None:
        """Write, read back and delete a probe. Raises Retryable or InvalidSettings with what to mend."""
        ...
