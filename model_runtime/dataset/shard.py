"""Shards by the convention of WebDataset: a plain tar in which the files of one sample stand together.

The part of a name before its first dot is the sample's key, the rest says what the file is. The same samples give the
same bytes: no times, no owners.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from schemas.digest import sha256_stream
from schemas.errors import InvalidInput

_KEY = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_")
_LONGEST_NAME = 100
"""What a plain tar header holds."""


class DamagedShard(InvalidInput):
    """A shard's bytes are not those that were written."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One sample: files by what follows the key's dot (`mp4`, `flac`, `json`, `ref0.png`)."""

    key: str
    files: Mapping[str, bytes]

    @property
    def facts(self) -> dict[str, Any]:
        """The sample's JSON."""
        facts: dict[str, Any] = json.loads(self.files["json"])
        return facts


def as_json(facts: Mapping[str, Any]) -> bytes:
    """Equal facts, equal bytes."""
    return json.dumps(facts, sort_keys=True, ensure_ascii=False, allow_nan=False, indent=1).encode()


@dataclass(frozen=True, kw_only=True)
class Written:
    """What stands on disk."""

    sha256: str
    size: int
    samples: int


def write_shard(path: Path, samples: Iterable[Sample]) -> Written:
    """Write the samples in their order, and through to the disk.

    Raises:
        OSError: the disk does not take it.
    """
    count = 0
    with path.open("wb") as file:
        hashing = _Hashing(file)
        with tarfile.open(fileobj=hashing, mode="w|", format=tarfile.USTAR_FORMAT) as tar:
            for sample in samples:
                count += 1
                for ending, data in sorted(sample.files.items()):
                    tar.addfile(_header(sample.key, ending, len(data)), io.BytesIO(data))
        file.flush()
        os.fsync(file.fileno())
    return Written(sha256=hashing.state.hexdigest(), size=hashing.size, samples=count)


class _Hashing(io.RawIOBase):
    """A file for writing that digests what goes through it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.state = hashlib.sha256()
        self.size = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.state.update(data)
        self.size += len(data)
        return self._file.write(data)


def _header(key: str, ending: str, size: int) -> tarfile.TarInfo:
    name = f"{key}.{ending}"
    if not key or not set(key) <= _KEY or len(name) > _LONGEST_NAME:
        raise ValueError(f"{name!r} is no name of a sample's file")
    header = tarfile.TarInfo(name)
    header.size, header.mode, header.mtime = size, 0o644, 0
    return header


def check_shard(path: Path, sha256: str) -> None:
    """Read all of a shard and compare.

    Raises:
        DamagedShard: it is gone, or its bytes are others.
    """
    try:
        with path.open("rb") as file:
            found = sha256_stream(file)
    except OSError as error:
        raise DamagedShard(f"shard {path.name} cannot be read: {error.strerror}", fix=_AGAIN) from error
    if found != sha256:
        raise DamagedShard(
            f"shard {path.name} is damaged: SHA-256 {found[:16]}..., expected {sha256[:16]}...", fix=_AGAIN
        )


_AGAIN = "build the dataset again: what is damaged is made again from its input, and nothing else is"


def read_shard(path: Path, sha256: str) -> Iterator[Sample]:
    """The samples of a shard, which is checked as a whole before the first.

    Raises:
        DamagedShard: see `check_shard`.
    """
    check_shard(path, sha256)
    yield from samples_of(path)


Where = Mapping[str, tuple[int, int]]
"""Of a sample's files: (offset, size) in the shard."""


def index_of(path: Path) -> dict[str, Where]:
    """Where the files of each sample of a shard lie, by key."""
    found: dict[str, dict[str, tuple[int, int]]] = {}
    with tarfile.open(path, mode="r:") as tar:
        for member in tar:
            key, _, ending = member.name.partition(".")
            found.setdefault(key, {})[ending] = (member.offset_data, member.size)
    return dict(found)


def read_at(path: Path, where: Where) -> dict[str, bytes]:
    """Those files of a shard that has been checked."""
    found = {}
    with path.open("rb") as raw:
        for ending, (offset, size) in where.items():
            raw.seek(offset)
            found[ending] = raw.read(size)
    return found


def samples_of(path: Path) -> Iterator[Sample]:
    """The samples of a shard that has been checked."""
    key, files = "", dict[str, bytes]()
    with tarfile.open(path, mode="r|") as tar:
        for member in tar:
            found, _, ending = member.name.partition(".")
            if found != key and files:
                yield Sample(key=key, files=files)
                files = {}
            key = found
            content = tar.extractfile(member)
            if content is not None:
                files[ending] = content.read()
    if files:
        yield Sample(key=key, files=files)
