"""SHA-256 over bytes and over values written in one canonical way."""

from __future__ import annotations

import hashlib
import json
from typing import IO, Any


def sha256_hex(data: bytes) -> str:
    """64 lower-case hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


_CANONICAL = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, check_circular=False
)
"""One for all: `json.dumps` makes a new encoder for each value that is not written in its default way. Values are
trees: nothing here can hold itself."""


def canonical_json(value: Any) -> str:
    """JSON with sorted keys, no spaces, no NaN, non-ASCII kept: equal values give equal text.

    Raises:
        ValueError: a float is NaN or infinite.
        TypeError: a value is not JSON.
    """
    return _CANONICAL.encode(value)


def digest(value: Any) -> str:
    """SHA-256 of the canonical JSON of `value`."""
    return sha256_hex(canonical_json(value).encode())


def sha256_stream(stream: IO[bytes], *, chunk: int = 1 << 20) -> str:
    """SHA-256 of everything left in `stream`, read in chunks of `chunk` bytes."""
    state = hashlib.sha256()
    while block := stream.read(chunk):
        state.update(block)
    return state.hexdigest()
