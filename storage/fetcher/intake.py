"""Bytes from anywhere into a private file, counted, hashed and cut off at a cap."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

from schemas.errors import Retryable
from storage.fetcher import refusals

CHUNK = 1 << 18


@dataclass(frozen=True, kw_only=True)
class FetchedFile:
    """A private copy: nobody changes it between the check and the use. `size` in bytes."""

    path: Path
    size: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Intake:
    """Where fetched bytes go, and how many of them at most."""

    scratch: Path
    max_bytes: int
    kind: str = "file"
    """What messages call it."""

    def save(self, reference: str, read: Callable[[int], bytes]) -> FetchedFile:
        """Take everything that `read(n)` gives until it gives nothing. What goes wrong with `read` is its own.

        Raises:
            InvalidMedia: REFERENCE_TOO_LARGE, as soon as one byte too many has come; no file is left.
            Retryable: the scratch folder cannot take it.
        """
        path = self.scratch / f"fetched-{secrets.token_hex(16)}"
        state, size = hashlib.sha256(), 0
        with self._scratch_works():
            self.scratch.mkdir(parents=True, exist_ok=True)
            target = path.open("xb", buffering=0)
        try:
            with target:
                while block := read(CHUNK):
                    size += len(block)
                    self.require_fits(reference, size)
                    state.update(block)
                    self._write(target, block)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return FetchedFile(path=path, size=size, sha256=state.hexdigest())

    def _write(self, target: FileIO, block: bytes) -> None:
        rest = memoryview(block)
        with self._scratch_works():
            while rest:
                rest = rest[target.write(rest) :]

    @contextmanager
    def _scratch_works(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise Retryable(
                f"the scratch folder {self.scratch} cannot take a fetched file: {error.strerror}",
                fix="make room there, or name another folder with `scratch`",
            ) from error

    def require_fits(self, reference: str, size: int, *, claimed: bool = False) -> None:
        """Raises InvalidMedia (REFERENCE_TOO_LARGE); a size that is `claimed` is told in the message."""
        if size > self.max_bytes:
            raise refusals.too_large(reference, self.kind, self.max_bytes, size if claimed else None)
