"""Whether a store keeps what it is given."""

from __future__ import annotations

import secrets

from schemas.errors import Corrupted
from storage.objects import layout
from storage.objects.protocol import ObjectStore


def probe(store: ObjectStore) -> None:
    """Write a small object, read it back and delete it.

    Raises:
        Corrupted: other bytes came back.
        Retryable, InvalidSettings: as the store says.
    """
    written = secrets.token_bytes(64)
    key = layout.probe_key(secrets.token_hex(16))
    store.put_bytes(key, written, media_type="application/octet-stream")
    try:
        with store.open(key) as stream:
            read = stream.read()
    finally:
        store.delete(key)
    if read != written:
        raise Corrupted(
            f"{store.url} gave back {len(read)} bytes that are not the {len(written)} that were written",
            fix="do not use this store before its disk or server is mended",
        )
