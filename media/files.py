"""Opening a stranger's local file, and writing one that appears whole or not at all."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from schemas.errors import InvalidMedia, Retryable
from schemas.problem import Code


def open_regular(path: Path, *, max_bytes: int, empty: Code) -> BinaryIO:
    """A readable stream of a regular, non-empty file of at most `max_bytes`; the caller closes it.

    Raises:
        InvalidMedia: missing, a folder, device or pipe, too large, or empty (with the code `empty`).
    """
    try:
        # O_NONBLOCK: opening a pipe that nobody writes to would wait for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise InvalidMedia(Code.REFERENCE_MISSING, f"{path.name}: no such file", fix="correct the path") from None
    except OSError as error:
        raise InvalidMedia(
            Code.REFERENCE_NOT_A_FILE, f"{path.name} cannot be opened: {error.strerror}", fix="give a readable file"
        ) from None
    try:
        _check(path, os.fstat(descriptor), max_bytes, empty)
    except InvalidMedia:
        os.close(descriptor)
        raise
    return os.fdopen(descriptor, "rb")


def _check(path: Path, facts: os.stat_result, max_bytes: int, empty: Code) -> None:
    if not stat.S_ISREG(facts.st_mode):
        raise InvalidMedia(
            Code.REFERENCE_NOT_A_FILE, f"{path.name} is not a regular file", fix="give the path of a file"
        )
    if facts.st_size == 0:
        raise InvalidMedia(empty, f"{path.name} is empty (0 bytes)", fix="export the file again")
    if facts.st_size > max_bytes:
        raise InvalidMedia(
            Code.REFERENCE_TOO_LARGE,
            f"{path.name} has {facts.st_size} bytes, allowed are {max_bytes}",
            fix="export it smaller",
        )


def part_path(path: Path) -> Path:
    """Where a file is written before it becomes `path`: the same folder and suffix, a name of this process alone."""
    return path.with_name(f".{path.stem}.{os.getpid()}.{threading.get_ident()}.part{path.suffix}")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path that becomes `path` when the block ends well, and vanishes otherwise."""
    part = part_path(path)
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def unwritable(path: Path, error: Exception) -> Retryable:
    """A full or read-only disk is the machine's fault, never that of the file being worked on."""
    return Retryable(f"{path.name} cannot be written: {error}", fix="look at the free disk space and its permissions")
