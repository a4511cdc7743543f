"""Which keys may name an object."""

from __future__ import annotations

import re

from schemas.errors import InvalidInput

MAX_KEY_CHARS = 900
"""S3 allows 1,024 bytes; the rest is left for a store's own prefix."""

MAX_PART_CHARS = 250
"""A part is a file name in a directory store; file systems allow 255 bytes."""

_PART = re.compile(r"[A-Za-z0-9._-]+")
_PREFIX = re.compile(r"[A-Za-z0-9._/-]*")


def check_key(key: str) -> str:
    """Give `key` back if it may name an object: parts of `[A-Za-z0-9._-]` with `/` between them.

    Raises:
        InvalidInput: it is empty, too long, absolute, or has an empty, `.`, `..` or otherwise unlawful part.
    """
    if len(key) > MAX_KEY_CHARS:
        raise _refusal(f"{key[:40]}...", f"{len(key)} characters, more than {MAX_KEY_CHARS}")
    for part in key.split("/"):
        if not is_part(part):
            raise _refusal(key, f"{part[:40]!r} is not 1 to {MAX_PART_CHARS} letters, digits, '.', '_' or '-'")
    return key


def is_part(name: str) -> bool:
    """Whether a key can have a part of this name."""
    return bool(_PART.fullmatch(name)) and name not in (".", "..") and len(name) <= MAX_PART_CHARS


def check_prefix(prefix: str) -> str:
    """Give `prefix` back if some key can begin with it; the empty prefix begins every key.

    Raises:
        InvalidInput: no key begins so.
    """
    whole, _, _ = prefix.rpartition("/")
    if not _PREFIX.fullmatch(prefix):
        raise _refusal(prefix, "a prefix is made of letters, digits, '.', '_', '-' and '/'")
    if "/" in prefix:
        check_key(whole)
    return prefix


def _refusal(key: str, why: str) -> InvalidInput:
    return InvalidInput(
        f"{key!r} is not an object key: {why}",
        fix="use a relative key such as inputs/ab/abcd, its parts made of letters, digits, '.', '_' and '-'",
    )
