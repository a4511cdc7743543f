"""SHA-256 over bytes and over values written in one canonical way."""

from __future__ import annotations

import hashlib
import json
from typing import IO, Any

import orjson


def sha256_hex(data: bytes) -> str:
    """64 lower-case hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


_STRICT = json.JSONEncoder(allow_nan=False)
_PLAIN = orjson.OPT_SORT_KEYS | orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS


def canonical_json(value: Any) -> str:
    """JSON with sorted keys, no spaces, no NaN, non-ASCII kept: equal values give equal text.

    Raises:
        ValueError: a float is NaN or infinite.
        TypeError: a value is not JSON, or an integer needs more than 64 bits.
    """
    return _canonical(value).decode()


def digest(value: Any) -> str:
    """SHA-256 of the canonical JSON of `value`. Raises as `canonical_json`."""
    return sha256_hex(_canonical(value))


def _canonical(value: Any) -> bytes:
    text = orjson.dumps(value, option=_PLAIN)
    if b"null" in text:
        # What is no number is written so, too; the slower encoder tells them apart.
        _STRICT.encode(value)
    return text


def sha256_stream(stream: IO[bytes], *, chunk: int = 1 << 20) -> str:
    """SHA-256 of everything left in `stream`, read in chunks of `chunk` bytes."""
    state = hashlib.sha256()
    while block := stream.read(chunk):
        state.update(block)
    return state.hexdigest()
