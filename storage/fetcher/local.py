"""Fetch a file from below a folder, whatever the tree there does meanwhile."""

from __future__ import annotations

import errno
import os
import stat as modes
import unicodedata
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from schemas.errors import InvalidMedia
from storage.fetcher import refusals
from storage.fetcher.intake import FetchedFile, Intake
from storage.objects.beneath import folder_beneath, open_beneath

MOST_NAMES_SEARCHED = 10_000
"""In larger folders no near miss is looked for."""

_KINDS = {
    modes.S_IFLNK: "a symbolic link",
    modes.S_IFDIR: "a folder",
    modes.S_IFIFO: "a named pipe",
    modes.S_IFSOCK: "a socket",
    modes.S_IFBLK: "a device",
    modes.S_IFCHR: "a device",
}


@dataclass(frozen=True, kw_only=True)
class LocalFolder:
    """A trusted folder, and the part of it that references start from."""

    root: Path
    below: tuple[str, ...] = ()

    def fetch(self, reference: str, parts: Sequence[str], intake: Intake) -> FetchedFile:
        """Copy the file `parts` into the intake. Links are refused at every component, and nothing is waited for.

        Raises:
            InvalidMedia: REFERENCE_MISSING, REFERENCE_NOT_A_FILE, REFERENCE_UNREACHABLE or REFERENCE_TOO_LARGE.
        """
        try:
            descriptor = self._open(reference, (*self.below, *parts))
        except OSError as error:
            raise _refusal(reference, error) from error
        try:
            found = os.fstat(descriptor)
            _require_regular(reference, found.st_mode)
            intake.require_fits(reference, found.st_size, claimed=True)
            return intake.save(reference, lambda count: _read(reference, descriptor, count))
        finally:
            os.close(descriptor)

    def _open(self, reference: str, parts: Sequence[str]) -> int:
        with ExitStack() as open_folders:
            here = open_folders.enter_context(folder_beneath(self.root, ()))
            for part in parts[:-1]:
                name = _spelling(here, part)
                mode = _mode(here, name)
                if mode is not None and not modes.S_ISDIR(mode):
                    raise refusals.not_a_file(reference, f"below {_KINDS.get(modes.S_IFMT(mode), 'a file')}")
                below = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=here)
                open_folders.callback(os.close, below)
                here = below
            name = _spelling(here, parts[-1])
            mode = _mode(here, name)
            if mode is None:
                raise refusals.missing(reference, _near_miss(here, parts[len(self.below) :]))
            # Looked at before it is opened: opening a pipe or a device does something to it.
            _require_regular(reference, mode)
            return open_beneath(here, name)


def _read(reference: str, descriptor: int, count: int) -> bytes:
    try:
        return os.read(descriptor, count)
    except OSError as error:
        raise _refusal(reference, error) from error


def _require_regular(reference: str, mode: int) -> None:
    if not modes.S_ISREG(mode):
        raise refusals.not_a_file(reference, _KINDS.get(modes.S_IFMT(mode), "something else"))


def _mode(folder: int, name: str) -> int | None:
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return None


def _spelling(folder: int, name: str) -> str:
    """The name as the folder has it: accents may be written composed or decomposed, and sheets travel."""
    for spelled in dict.fromkeys((name, unicodedata.normalize("NFC", name), unicodedata.normalize("NFD", name))):
        if _mode(folder, spelled) is not None:
            return spelled
    return name


def _near_miss(folder: int, parts: Sequence[str]) -> str:
    """The reference as it would be with the case that the folder has; empty when there is no such name."""
    wanted = parts[-1].casefold()
    with os.scandir(folder) as entries:
        for count, entry in enumerate(entries):
            if count >= MOST_NAMES_SEARCHED:
                break
            if entry.name.casefold() == wanted:
                return "/".join((*parts[:-1], entry.name))
    return ""


def _refusal(reference: str, error: OSError) -> InvalidMedia:
    match error.errno:
        case errno.ENOENT | errno.ENAMETOOLONG:
            return refusals.missing(reference)
        case errno.ELOOP | errno.ENOTDIR | errno.ENXIO:
            return refusals.not_a_file(reference, "or passes a symbolic link or a special file")
        case _:
            return refusals.unreachable(reference, error.strerror or "the file system failed")
