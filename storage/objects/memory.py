"""An object store in memory: for tests, dry runs and examples. It obeys the same contract as the others."""

from __future__ import annotations

import io
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from schemas.errors import NotFound, Refused
from storage.objects.keys import check_key, check_prefix
from storage.objects.protocol import StoredObject
from storage.objects.whole_file import whole_file


@dataclass(frozen=True, kw_only=True)
class _Held:
    data: bytes
    media_type: str
    modified_at: float


class MemoryStore:
    """Lives as long as the object; two of them share nothing. Safe to use from several threads.

    `clock` gives the time of a write in seconds since the epoch.
    """

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self._held: dict[str, _Held] = {}
        self._lock = threading.Lock()
        self._clock = clock
        self._name = secrets.token_hex(4)

    def __repr__(self) -> str:
        return f"MemoryStore({self.url!r})"

    @property
    def url(self) -> str:
        return f"memory:{self._name}"

    def put_file(self, key: str, path: Path, *, media_type: str) -> None:
        check_key(key)
        self.put_bytes(key, path.read_bytes(), media_type=media_type)

    def put_bytes(self, key: str, data: bytes, *, media_type: str) -> None:
        check_key(key)
        with self._lock:
            self._held[key] = _Held(data=bytes(data), media_type=media_type, modified_at=self._clock())

    def open(self, key: str) -> BinaryIO:
        return io.BytesIO(self._find(key).data)

    def get_file(self, key: str, path: Path) -> None:
        held = self._find(key)
        with whole_file(path) as stream:
            stream.write(held.data)

    def stat(self, key: str) -> StoredObject:
        return _describe(key, self._find(key))

    def list(self, prefix: str = "", *, after: str = "") -> Iterator[StoredObject]:
        check_prefix(prefix)
        with self._lock:
            found = sorted((key, held) for key, held in self._held.items() if key.startswith(prefix) and key > after)
        for key, held in found:
            yield _describe(key, held)

    def copy(self, source: str, target: str) -> None:
        check_key(target)
        held = self._find(source)
        self.put_bytes(target, held.data, media_type=held.media_type)

    def delete(self, key: str) -> None:
        check_key(key)
        with self._lock:
            self._held.pop(key, None)

    def presign(self, key: str, *, expires_s: int) -> str:
        self._find(key)
        raise Refused(
            f"{self.url} has no links that work for {expires_s} s without credentials",
            fix="keep the objects in an S3 store: set store_url to s3://bucket/prefix",
        )

    def public_location(self, key: str) -> str:
        return f"{self.url}/{check_key(key)}"

    def check(self) -> None:
        """Memory is always there."""

    def _find(self, key: str) -> _Held:
        check_key(key)
        with self._lock:
            held = self._held.get(key)
        if held is None:
            raise NotFound(f"there is no object {key} in {self.url}")
        return held


def _describe(key: str, held: _Held) -> StoredObject:
    return StoredObject(key=key, size=len(held.data), modified_at=held.modified_at, media_type=held.media_type)
