"""The object store of a schedule: the real MemoryStore, reached through shelves that lose, cut, garble and delay."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from schemas.digest import sha256_hex
from schemas.errors import NotFound, Retryable
from schemas.object_ref import ObjectRef
from storage.objects.memory import MemoryStore
from storage.objects.protocol import StoredObject
from storage.objects.whole_file import whole_file
from tests.simulation.fate import Fate
from tests.simulation.world import Process, World


class Warehouse:
    """What is really stored, whoever sees it."""

    def __init__(self, world: World) -> None:
        self.truth = MemoryStore(clock=world.ledger_clock)
        self.hidden_until: dict[str, float] = {}
        self.vanished: set[str] = set()
        """Keys that a mishap took away after they were committed."""
        self.version = 0
        """Raised by every write."""
        self._right: set[tuple[str, str, int]] = set()
        self._right_at = 0
        """What was found right, and at which version."""

    def wrong_with(self, ref: ObjectRef) -> str:
        """What is not as the reference says; empty when all is well."""
        if self._right_at != self.version:
            self._right_at = self.version
            self._right.clear()
        if (ref.key, ref.sha256, ref.size) in self._right or ref.key in self.vanished:
            return ""
        try:
            with self.truth.open(ref.key) as stream:
                data = stream.read()
        except NotFound:
            return f"{ref.key} is not in the store"
        if (len(data), sha256_hex(data)) != (ref.size, ref.sha256):
            return f"{ref.key} has {len(data)} bytes of another content than the ledger's {ref.size}"
        self._right.add((ref.key, ref.sha256, ref.size))
        return ""

    def read(self, key: str) -> bytes:
        with self.truth.open(key) as stream:
            return stream.read()


class Shelf:
    """The store as one process reaches it; an `ObjectStore`."""

    def __init__(self, warehouse: Warehouse, process: Process, fate: Fate) -> None:
        self._warehouse = warehouse
        self._process = process
        self._fate = fate
        self._world = process.world

    @property
    def url(self) -> str:
        return self._warehouse.truth.url

    def put_file(self, key: str, path: Path, *, media_type: str) -> None:
        self.put_bytes(key, path.read_bytes(), media_type=media_type)

    def put_bytes(self, key: str, data: bytes, *, media_type: str) -> None:
        self._on_the_way(f"put {key}")
        stored = self._damaged(key, data)
        if stored is not None:
            self._warehouse.truth.put_bytes(key, stored, media_type=media_type)
            self._warehouse.version += 1
        if self._fate.strikes("store_late"):
            self._say(f"{key} is seen by nobody yet")
            self._warehouse.hidden_until[key] = self._world.now + self._world.random.uniform(0.1, 20.0)
        unsure = self._fate.strikes("store_unsure")
        self._on_the_way("")
        if unsure:
            raise self._busy(f"wrote {key}, or did not")

    def _damaged(self, key: str, data: bytes) -> bytes | None:
        if self._fate.strikes("store_loses"):
            self._say(f"{key} is acknowledged and lost")
            return None
        if self._fate.strikes("store_truncates"):
            self._say(f"{key} is cut short")
            return data[: self._world.random.randrange(len(data))]
        return self._garbled(key, data, "store_garbles")

    def _garbled(self, key: str, data: bytes, kind: str) -> bytes:
        if data and self._fate.strikes(kind):
            self._say(f"{key} is garbled")
            place = self._world.random.randrange(len(data))
            return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        return data

    def open(self, key: str) -> BinaryIO:
        self._on_the_way(f"get {key}")
        self._require_visible(key)
        return io.BytesIO(self._garbled(key, self._warehouse.read(key), "reads_garbled"))

    def get_file(self, key: str, path: Path) -> None:
        with self.open(key) as source, whole_file(path) as target:
            target.write(source.read())

    def stat(self, key: str) -> StoredObject:
        self._on_the_way(f"stat {key}")
        self._require_visible(key)
        return self._warehouse.truth.stat(key)

    def list(self, prefix: str = "", *, after: str = "") -> Iterator[StoredObject]:
        return self._warehouse.truth.list(prefix, after=after)

    def copy(self, source: str, target: str) -> None:
        self.put_bytes(target, self._warehouse.read(source), media_type="application/octet-stream")

    def delete(self, key: str) -> None:
        self._on_the_way(f"delete {key}")
        self._warehouse.truth.delete(key)
        self._warehouse.version += 1

    def presign(self, key: str, *, expires_s: int) -> str:
        return self._warehouse.truth.presign(key, expires_s=expires_s)

    def public_location(self, key: str) -> str:
        return self._warehouse.truth.public_location(key)

    def check(self) -> None:
        self._on_the_way("check")

    # -- the way there -----------------------------------------------------------------------------------------

    def _on_the_way(self, what: str) -> None:
        self._fate.pass_by(self._process)
        if what and self._fate.strikes("hang"):
            self._fate.hang(self._process)
        slow = self._world.random.uniform(1.0, 40.0) if self._fate.strikes("store_slow") else 0.0
        self._world.suspend(self._fate.delay() + slow)
        if not self._process.alive:
            raise AssertionError("a dead process reached the store")
        if self._process.cut_off_until > self._world.now:
            self._world.suspend(1.0)
            raise self._busy("cannot be reached")
        if what:
            self._say(what)
            if self._fate.strikes("store_busy"):
                raise self._busy("answered 503")

    def _busy(self, why: str) -> Retryable:
        self._say(why)
        return Retryable(f"the object store {why}", fix="run the same again")

    def _require_visible(self, key: str) -> None:
        until = self._warehouse.hidden_until.get(key, 0.0)
        if until > self._world.now and self._world.now < self._fate.until:
            raise NotFound(f"there is no object {key}")

    def _say(self, what: str) -> None:
        self._world.note(self._process.name, what)
