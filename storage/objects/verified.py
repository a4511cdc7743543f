"""Acknowledge what was read back: size and SHA-256 of what the store returns, never its word (an ETag is no hash)."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

from schemas.digest import sha256_hex, sha256_stream
from schemas.errors import CallsheetError, Corrupted, NotFound
from schemas.object_ref import ObjectRef
from storage.objects import layout
from storage.objects.again import BrokenOff, again, full_jitter
from storage.objects.protocol import ObjectStore, StoredObject
from storage.objects.whole_file import whole_file

TRIES = 3

REUSE_WITHIN_S = 12 * 3600.0
"""An input that is older is written again when it is wanted again, so that it is young: a collector of orphans,
whose age guard is at least twice this, must not delete it between this moment and the ledger's commit."""

_CHUNK = 1 << 20

_HASHED_BESIDE = 1 << 20
"""A file from this size on is hashed while it goes up; for a smaller one a thread costs more than it saves."""


def put_verified(store: ObjectStore, key: str, path: Path, *, media_type: str, sha256: str | None = None) -> ObjectRef:
    """Upload `path`, read it back, and give the reference to what was read; `sha256`: what the file should have.

    What does not read back right is deleted, as well as can be, and written again.

    Raises:
        Corrupted: the file is not the one of `sha256`, or every upload read back wrong.
        Retryable, InvalidSettings: as the store says.
    """
    if sha256 is None and path.stat().st_size >= _HASHED_BESIDE:
        with ThreadPoolExecutor(1, "sha256") as beside:
            hashed = beside.submit(_sha256_and_size, path)
            return _put(store, key, path, media_type, hashed.result)
    found = _sha256_and_size(path)
    if sha256 is not None and found[0] != sha256:
        raise Corrupted(
            f"{path.name} has SHA-256 {found[0]}, but {sha256} when it was made",
            fix="make the file again; if that helps not, look at the disk it lies on",
        )
    return _put(store, key, path, media_type, lambda: found)


def put_input(store: ObjectStore, source: Path | bytes, media_type: str) -> ObjectRef:
    """Store a file's or buffer's content under its hash; what is there already and reads back right is kept.

    One content is read back once per process, however often it comes, as long as the store shows it unchanged.

    Raises:
        Corrupted: every upload read back wrong.
        Retryable, InvalidSettings: as the store says.
    """
    wanted = _input_ref(source, media_type)
    found = _find(store, wanted.key)
    if found is not None and _may_keep(store, found, wanted):
        return wanted
    _put(store, wanted.key, source, media_type, lambda: (wanted.sha256, wanted.size))
    written = _find(store, wanted.key)
    if written is not None:
        _VERIFIED.remember(store, written)
    return wanted


def get_verified(store: ObjectStore, ref: ObjectRef, path: Path) -> None:
    """Download to `path`, which appears whole and right or not at all.

    Raises:
        NotFound: there is no such object.
        Corrupted: it has another size or hash, however often it is read.
        Retryable, InvalidSettings: as the store says.
    """

    def fetch() -> None:
        with store.open(ref.key) as source, whole_file(path) as target:
            _require(ref, *_copy(source, target, most=ref.size))

    again(fetch, on=(BrokenOff, Corrupted), tries=TRIES, pause=_pause)


# -- how ---------------------------------------------------------------------------------------------------


def _pause(attempt: int) -> float:
    return full_jitter(attempt, base_s=0.2, cap_s=2.0)


def _put(
    store: ObjectStore, key: str, source: Path | bytes, media_type: str, hashed: Callable[[], tuple[str, int]]
) -> ObjectRef:
    """`hashed` gives the source's SHA-256 and size; it is asked when the source was written."""

    def write_and_read_back() -> ObjectRef:
        if isinstance(source, bytes):
            store.put_bytes(key, source, media_type=media_type)
        else:
            store.put_file(key, source, media_type=media_type)
        sha256, size = hashed()
        wanted = ObjectRef(key=key, sha256=sha256, size=size, media_type=media_type)
        try:
            _read_back(store, wanted)
        except Corrupted:
            _forget(store, key)
            raise
        return wanted

    return again(write_and_read_back, on=(Corrupted,), tries=TRIES, pause=_pause)


def _sha256_and_size(path: Path) -> tuple[str, int]:
    with path.open("rb") as stream:
        return sha256_stream(stream), stream.tell()


def _read_back(store: ObjectStore, wanted: ObjectRef) -> None:
    """Raises Corrupted; an object that vanished is so too."""

    def read() -> tuple[int, str]:
        with store.open(wanted.key) as stream:
            return _copy(stream, None, most=wanted.size)

    try:
        size, sha256 = again(read, on=(BrokenOff,), tries=TRIES, pause=_pause)
    except NotFound as error:
        raise Corrupted(f"{wanted.key} was written but is not there", fix="run the same again") from error
    _require(wanted, size, sha256)


def _copy(source: BinaryIO, target: BinaryIO | None, *, most: int) -> tuple[int, str]:
    """Size and SHA-256 of `source`, written to `target`; stops soon after `most` bytes, which is wrong already."""
    state, size = hashlib.sha256(), 0
    while size <= most and (block := source.read(_CHUNK)):
        size += len(block)
        state.update(block)
        if target is not None:
            target.write(block)
    return size, state.hexdigest()


def _require(wanted: ObjectRef, size: int, sha256: str) -> None:
    if (size, sha256) != (wanted.size, wanted.sha256):
        raise Corrupted(
            f"{wanted.key} has {size} bytes with SHA-256 {sha256}, expected {wanted.size} with {wanted.sha256}",
            fix="run the same again; if it stays so, look at the store and what lies between",
        )


def _forget(store: ObjectStore, key: str) -> None:
    try:
        store.delete(key)
    except CallsheetError:
        return  # nothing points to it: an orphan, collected some day


def _find(store: ObjectStore, key: str) -> StoredObject | None:
    try:
        return store.stat(key)
    except NotFound:
        return None


def _input_ref(source: Path | bytes, media_type: str) -> ObjectRef:
    sha256, size = (sha256_hex(source), len(source)) if isinstance(source, bytes) else _sha256_and_size(source)
    return ObjectRef(key=layout.input_key(sha256), sha256=sha256, size=size, media_type=media_type)


def _may_keep(store: ObjectStore, found: StoredObject, wanted: ObjectRef) -> bool:
    if found.size != wanted.size or found.modified_at < time.time() - REUSE_WITHIN_S:
        return False
    if _VERIFIED.knows(store, found):
        return True
    try:
        _read_back(store, wanted)
    except Corrupted:
        return False
    _VERIFIED.remember(store, found)
    return True


class _Verified:
    """Which objects this process has read back, by store, key, size and time of writing; the last 65,536."""

    def __init__(self, most: int = 65_536) -> None:
        self._known: OrderedDict[tuple[str, str, int, float], None] = OrderedDict()
        self._lock = threading.Lock()
        self._most = most

    def knows(self, store: ObjectStore, found: StoredObject) -> bool:
        with self._lock:
            return (store.url, found.key, found.size, found.modified_at) in self._known

    def remember(self, store: ObjectStore, found: StoredObject) -> None:
        with self._lock:
            self._known[store.url, found.key, found.size, found.modified_at] = None
            if len(self._known) > self._most:
                self._known.popitem(last=False)


_VERIFIED = _Verified()
