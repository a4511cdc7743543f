"""Where the shards of one step stand, each under the digest of everything that decides it.

A shard is there once its record is: the record is written last, by a rename. So a process that is killed leaves
nothing half-made, and who comes after it makes only what is missing.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from media.full_disk import is_out_of_disk
from model_runtime.dataset.shard import DamagedShard, Sample, as_json, check_shard, read_shard, write_shard
from model_runtime.dataset.tally import Tally
from schemas.dataset import Step
from schemas.digest import digest
from schemas.errors import Retryable


class Found(StrEnum):
    """What stands where a shard belongs."""

    HERE = "here"
    MISSING = "missing"
    DAMAGED = "damaged"


@dataclass(frozen=True, kw_only=True)
class Record:
    """A finished shard."""

    name: str
    recipe: Mapping[str, Any]
    """Everything that decides its bytes; the name is its digest."""
    sha256: str
    size: int
    tally: Tally

    def as_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "recipe": dict(self.recipe),
            "sha256": self.sha256,
            "bytes": self.size,
            **self.tally.as_dict(),
        }

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> Record:
        counts = {name: said[name] for name in ("came", "kept", "dropped", "looked")}
        return cls(
            name=said["name"],
            recipe=said["recipe"],
            sha256=said["sha256"],
            size=said["bytes"],
            tally=Tally.of(counts),
        )


class Shelf:
    """The folder of a step's shards below the dataset's folder `root`."""

    def __init__(self, root: Path, step: Step) -> None:
        self.folder = root / f"{list(Step).index(step)}-{step}"

    def path(self, name: str) -> Path:
        return self.folder / f"{name}.tar"

    def _record_path(self, name: str) -> Path:
        return self.folder / f"{name}.json"

    def record(self, name: str) -> Record:
        """Raises DamagedShard when there is none, or it is not what was written."""
        path = self._record_path(name)
        try:
            record = Record.of(json.loads(path.read_text(encoding="utf-8")))
            is_whole = digest(record.recipe) == record.name == name
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DamagedShard(
                f"the record of shard {name} cannot be read: {error}", fix="build the dataset again"
            ) from error
        if not is_whole:
            raise DamagedShard(f"the record of shard {name} belongs to another shard", fix="build the dataset again")
        return record

    def find(self, name: str, *, whole: bool) -> Found:
        """Whether a shard is there; with `whole` all of it is read, otherwise only its size is compared."""
        if not self._record_path(name).exists():
            return Found.MISSING
        try:
            record = self.record(name)
            if self.path(name).stat().st_size != record.size:
                return Found.DAMAGED
            if whole:
                check_shard(self.path(name), record.sha256)
        except (DamagedShard, OSError):
            return Found.DAMAGED
        return Found.HERE

    def read(self, record: Record) -> Iterator[Sample]:
        """Raises DamagedShard before the first sample."""
        return read_shard(self.path(record.name), record.sha256)

    def make(self, recipe: Mapping[str, Any], samples: Callable[[Tally], Iterator[Sample]], scratch: Path) -> Record:
        """Write a shard and its record; `scratch` is a folder on the same disk.

        Raises:
            Retryable: the disk does not take it; nothing of it is left.
        """
        name = digest(recipe)
        part, tally = scratch / f"{name}.tar", Tally()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            written = write_shard(part, samples(tally))
            tally.kept = written.samples
            record = Record(name=name, recipe=recipe, sha256=written.sha256, size=written.size, tally=tally)
            # A record that outlived its shard must not vouch for the new one until that stands.
            self._record_path(name).unlink(missing_ok=True)
            part.replace(self.path(name))
            write_whole(self._record_path(name), as_json(record.as_dict()), scratch)
        except OSError as error:
            raise unwritable(self.folder, error) from error
        except Retryable as error:
            # As an encoder or the decoding child met it.
            if is_out_of_disk(error):
                raise unwritable(self.folder, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))) from error
            raise
        finally:
            part.unlink(missing_ok=True)
        return record


def write_whole(path: Path, data: bytes, scratch: Path) -> None:
    """A small file that appears whole or not at all."""
    part = scratch / f"{path.name}.part"
    try:
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def unwritable(folder: Path, error: OSError) -> Retryable:
    return Retryable(
        f"{folder} cannot be written: {error.strerror or error}",
        fix="make room or give permission, then run the same command again: finished shards are kept",
    )
