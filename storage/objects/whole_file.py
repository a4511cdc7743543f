"""Write a local file so that it appears whole or not at all."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

_PART = re.compile(r"\..+\.[0-9a-f]{16}\.part", re.DOTALL)


def part_of(path: Path) -> Path:
    """A name beside `path` that nobody else uses, for what is not whole yet."""
    return path.with_name(f".{path.name[:100]}.{secrets.token_hex(8)}.part")


def is_part(path: Path) -> bool:
    """Whether `part_of` gave that name."""
    return _PART.fullmatch(path.name) is not None


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A new file for writing, which takes the name `path` when the block ends well and vanishes when it does not.

    The data is durable before it has the name. Raises OSError as the file system does.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = part_of(path)
    try:
        with part.open("xb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
