"""How far a build is: what the loop writes down, and everybody who looks on reads."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from schemas.dataset import Step


class ShardState(StrEnum):
    """What becomes of one shard in this run."""

    WAITING = "waiting"
    MAKING = "making"
    HERE = "was there"
    MADE = "made"
    FAILED = "failed"


ENDED = frozenset({ShardState.HERE, ShardState.MADE, ShardState.FAILED})


@dataclass(kw_only=True)
class StepProgress:
    """One step of one run."""

    step: Step
    shards: dict[str, ShardState] = field(default_factory=dict)
    """By name, in their order."""
    checked: tuple[int, int] = (0, 0)
    """Shards that were looked for on the disk, of."""
    damaged: int = 0
    """Found damaged, and made again."""
    at_work: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Shards that are being made: (samples done, of)."""
    counts: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    """Of shards made in this run."""
    manifest: Mapping[str, Any] | None = None
    """Once the step is finished."""
    message: str = ""
    """Why it failed."""

    @property
    def ended(self) -> int:
        return sum(state in ENDED for state in self.shards.values())

    @property
    def made(self) -> int:
        return sum(state is ShardState.MADE for state in self.shards.values())


@dataclass
class Progress:
    """All steps that have begun. Writers and readers hold `lock`."""

    steps: dict[Step, StepProgress] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)


class Onlooker(Protocol):
    """A terminal, Prefect. It decides nothing, and a fault of it stops nothing."""

    def look(self, progress: Progress) -> None: ...
