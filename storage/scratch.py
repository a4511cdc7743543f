"""A process's temporary files: a folder with a lock, so that a process that was killed leaves nothing for ever."""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import shutil
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

_LOCK = "lock"
_OURS = re.compile(r"[a-z]+-[0-9a-f]{12}")
"""Others may keep folders beside ours: the scratch folder may be the machine's own."""


class ScratchFolder:
    """A context: a fresh folder `<kind>-<random>` under `parent` on entry, gone on exit.

    Folders of processes that died go on entry, whatever their kind: their lock is free.
    """

    def __init__(self, parent: Path, kind: str) -> None:
        self._parent = parent
        self.folder = parent / f"{kind}-{secrets.token_hex(6)}"
        self._lock = -1

    def __enter__(self) -> Self:
        _sweep(self._parent)
        # The folder appears under its name only once it is locked: a sweep by another process cannot take it.
        young = self._parent / f".{self.folder.name}"
        young.mkdir(parents=True)
        self._lock = os.open(young / _LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        young.rename(self.folder)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        _remove(self.folder)
        os.close(self._lock)


def _sweep(parent: Path) -> None:
    for folder in parent.iterdir() if parent.exists() else ():
        if not _OURS.fullmatch(folder.name):
            continue
        try:
            lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            _remove_empty(folder)
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            continue
        else:
            _remove(folder)
        finally:
            os.close(lock)


def _remove(folder: Path) -> None:
    """The lock last and alone: whoever is killed in here leaves what a sweep finds again.

    So does a folder in which something is still written: the child of a process that was killed dies a moment later.
    """
    with suppress(OSError):
        for path in folder.iterdir():
            if path.name == _LOCK:
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        if [path.name for path in folder.iterdir()] == [_LOCK]:
            (folder / _LOCK).unlink()
    _remove_empty(folder)


def _remove_empty(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()
