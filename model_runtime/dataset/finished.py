"""A finished dataset, as training reads it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_runtime.dataset.shard import DamagedShard, Sample, check_shard, samples_of
from model_runtime.dataset.workshop import Tick
from schemas.errors import InvalidInput

_FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class FinishedShard:
    """One shard of the last step."""

    path: Path
    sha256: str
    samples: int


class FinishedDataset:
    """The folder that a build left.

    Raises:
        InvalidInput: there is no finished dataset in it.
    """

    def __init__(self, folder: Path) -> None:
        path = folder / "manifest.json"
        try:
            said: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            if said["format"] != _FORMAT:
                raise InvalidInput(
                    f"{path} has format {said['format']}, this program reads {_FORMAT}", fix="build the dataset again"
                )
            self.name = str(said["name"])
            self.order: dict[str, Any] = said["order"]
            self.samples = int(said["samples"])
            self.shards = tuple(
                FinishedShard(path=folder / one["path"], sha256=one["sha256"], samples=one["samples"])
                for one in said["shards"]
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InvalidInput(
                f"{folder} holds no finished dataset: {path.name} cannot be read ({error})",
                fix="build it: callsheet dataset build --help",
            ) from error
        self.digest = "".join(shard.sha256[:8] for shard in self.shards)

    def check(self) -> None:
        """Read every shard as a whole.

        Raises:
            DamagedShard: naming the first that is gone or damaged.
        """
        for shard in self.shards:
            check_shard(shard.path, shard.sha256)

    def read(self) -> Iterator[Sample]:
        """All samples of shards that have been checked, in the manifest's order."""
        for shard in self.shards:
            yield from samples_of(shard.path)


def verify(folder: Path, tick: Tick) -> dict[str, Any]:
    """Read all shards of a finished dataset: how many there are, and what is wrong with which."""
    dataset, damaged = FinishedDataset(folder), []
    for done, shard in enumerate(dataset.shards):
        try:
            check_shard(shard.path, shard.sha256)
        except DamagedShard as error:
            damaged.append(error.message)
        tick(done + 1, len(dataset.shards))
    return {"shards": len(dataset.shards), "samples": dataset.samples, "damaged": damaged}
