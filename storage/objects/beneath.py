"""Walk down from a folder without ever leaving it: one component at a time, by descriptor, no symbolic link followed.

A path that is checked first and opened afterwards can be exchanged in between; a descriptor cannot.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


@contextmanager
def folder_beneath(root: Path, parts: Sequence[str], *, create: bool = False) -> Iterator[int]:
    """A descriptor of the folder `root/parts...`; closed at the end of the block.

    `root` itself is trusted and may be reached through links. With `create`, folders that are missing are made and
    made durable.

    Raises:
        FileNotFoundError: a folder is missing.
        OSError: a component is a symbolic link (ENOTDIR or ELOOP), a file, or may not be read.
    """
    if create and not root.is_dir():
        root.mkdir(parents=True, exist_ok=True)
        sync_folder_at(root.parent)
    here = os.open(root, FOLDER)
    try:
        for part in parts:
            below = _step(here, part, create=create)
            os.close(here)
            here = below
        yield here
    finally:
        os.close(here)


def _step(here: int, part: str, *, create: bool) -> int:
    try:
        return os.open(part, FOLDER | os.O_NOFOLLOW, dir_fd=here)
    except FileNotFoundError:
        if not create:
            raise
    try:
        os.mkdir(part, dir_fd=here)
    except FileExistsError:
        pass  # somebody else made it between the two calls
    else:
        os.fsync(here)
    return os.open(part, FOLDER | os.O_NOFOLLOW, dir_fd=here)


def open_beneath(folder: int, name: str) -> int:
    """A descriptor for reading `name` in `folder`: never blocks on a FIFO, never follows a link.

    Raises:
        OSError: ELOOP for a symbolic link, or whatever else stands in the way.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    return os.open(name, flags, dir_fd=folder)


def sync_folder_at(path: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(path, FOLDER)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
