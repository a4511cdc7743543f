"""What the steps share: the order, the folders, who does the seeing and hearing, and whom to tell how far one is."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from model_runtime.dataset.registry import team_of
from model_runtime.dataset.seams import Team
from model_runtime.dataset.shard import DamagedShard, Sample
from model_runtime.dataset.shelf import Record, Shelf
from model_runtime.dataset.tally import Tally
from schemas.dataset import DatasetOrder, Step
from schemas.digest import digest

Tick = Callable[[int, int], None]
"""(done, of)."""


@dataclass(frozen=True, kw_only=True)
class Unit:
    """One shard to be made."""

    recipe: Mapping[str, Any]
    samples: Callable[[Tally, Tick], Iterator[Sample]]

    @property
    def name(self) -> str:
        return digest(self.recipe)


@dataclass(kw_only=True)
class Workshop:
    """One process at work on one dataset."""

    order: DatasetOrder
    root: Path
    scratch: Path
    """A folder of this process alone, on the dataset's disk."""
    tick: Tick = field(default=lambda _done, _of: None)

    @cached_property
    def team(self) -> Team:
        return team_of(self.order)

    def shelf(self, step: Step) -> Shelf:
        return Shelf(self.root, step)

    def manifest_path(self, step: Step) -> Path:
        return self.shelf(step).folder / "manifest.json"

    def records(self, step: Step) -> list[Record]:
        """The shards of a finished step, in its order.

        Raises:
            DamagedShard: the step's manifest or a record is gone or damaged.
        """
        try:
            said = json.loads(self.manifest_path(step).read_text(encoding="utf-8"))
            names = [str(one["name"]) for one in said["shards"]]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DamagedShard(
                f"the manifest of step {step} cannot be read: {error}", fix="build the dataset again"
            ) from error
        return [self.shelf(step).record(name) for name in names]
