"""SHA-256 over bytes and over values written in one canonical way."""

from __future__ import annotations

import hashlib
import json
from types import NoneType
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
        if _is_plain(value):
            return orjson.dumps(value, option=_PLAIN)
    except TypeError:
        pass  # such as integers of more than 64 bits
    return _STANDARD.encode(value).encode()


def _is_plain(value: Any) -> bool:
    """Whether orjson is sure to write the value, if at all, as the standard library does."""
    kind = type(value)
    if kind in _PLAIN_TYPES:
        return True
    if kind is float:
        # Others have an exponent in one of the two, and what is no number is null to orjson.
        return bool(value == 0.0 or 1e-4 <= abs(value) < 1e16)
    if kind is dict:
        value = value.values()
    elif kind is not list and kind is not tuple:
        return isinstance(value, str)  # such as an enum's
    for one in value:
        kind = type(one)
        if kind in _PLAIN_TYPES or (kind is float and 1e-4 <= one < 1e16):
            continue  # as most are; asking once more would cost more than the answer
        if not _is_plain(one):
            return False
    return True


_PLAIN_TYPES = frozenset({str, int, bool, NoneType})


def sha256_stream(stream: IO[bytes], *, chunk: int = 1 << 20) -> str:
    """SHA-256 of everything left in `stream`, read in chunks of `chunk` bytes."""
    state = hashlib.sha256()
    while block := stream.read(chunk):
        state.update(block)
    return state.hexdigest()
