"""SHA-256 over bytes and over values written in one canonical way."""

from __future__ import annotations

import hashlib
import json
from typing import IO, Any

import orjson


def sha256_hex(data: bytes) -> str:
    """64 lower-case hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


_STANDARD = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, check_circular=False
)
"""What canonical JSON is: as the standard library writes it. Values are trees: nothing here can hold itself."""

_PLAIN = orjson.OPT_SORT_KEYS | orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS


def canonical_json(value: Any) -> str:
    """JSON with sorted keys, no spaces, no NaN, non-ASCII kept: equal values give equal text.

    Raises:
        ValueError: a float is NaN or infinite, or a text holds a lone surrogate.
        TypeError: a value is not JSON.
    """
    return _canonical(value).decode()


def digest(value: Any) -> str:
    """SHA-256 of the canonical JSON of `value`. Raises as `canonical_json`."""
    return sha256_hex(_canonical(value))


def _canonical(value: Any) -> bytes:
    try:
        text = orjson.dumps(value, option=_PLAIN)
    except TypeError:
        return _STANDARD.encode(value).encode()  # such as integers of more than 64 bits
    if any(odd in text for odd in _ODD):
        return _STANDARD.encode(value).encode()
    return text


_ODD = (b"null", b"e-", b"e+", b"0.0000")
"""Where these stand, orjson may write otherwise: NaN as null, numbers with an exponent, very small ones."""


def sha256_stream(stream: IO[bytes], *, chunk: int = 1 << 20) -> str:
    """SHA-256 of everything left in `stream`, read in chunks of `chunk` bytes."""
    state = hashlib.sha256()
    while block := stream.read(chunk):
        state.update(block)
    return state.hexdigest()
