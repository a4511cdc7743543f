"""A sheet named by a path or by an `s3://` address, as a local file for the time of its intake."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from schemas.errors import InvalidManifest, InvalidMedia
from schemas.settings import Settings
from storage.fetcher import make_fetcher
from storage.places import scratch_folder
from storage.scratch import ScratchFolder


@dataclass(frozen=True, kw_only=True)
class SheetPlace:
    """Where a sheet is and where its relative references start from; an empty base: its own folder."""

    path: Path
    base: str = ""


@contextmanager
def sheet_at(address: str, settings: Settings) -> Iterator[SheetPlace]:
    """The sheet at `address`, with the `campaign.toml` beside it if there is one.

    Raises:
        InvalidManifest: it cannot be read, or its bucket is not an allowed one.
        Retryable: the S3 server is away.
    """
    if not address.startswith("s3://"):
        yield SheetPlace(path=Path(address))
        return
    base, _, name = address.rpartition("/")
    with ScratchFolder(scratch_folder(settings), "sheet") as scratch:
        path = scratch.folder / name
        _fetch(address, path, scratch.folder, settings)
        with suppress(InvalidManifest):
            _fetch(f"{base}/campaign.toml", path.with_name("campaign.toml"), scratch.folder, settings)
        yield SheetPlace(path=path, base=base)


def _fetch(address: str, target: Path, scratch: Path, settings: Settings) -> None:
    fetcher = make_fetcher(settings, root=None, scratch=scratch)
    try:
        found = fetcher.fetch(address, kind="manifest", max_bytes=settings.limits.manifest_bytes)
    except InvalidMedia as error:
        raise InvalidManifest(error.message, fix=error.fix) from None
    found.path.replace(target)
