"""How much is done of what: the small model's whole training as numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from model_runtime.training.cache.shards import SHARD
from model_runtime.training.small.course import Course
from model_runtime.training.world.world import World
from schemas.errors import InvalidInput

MINUTES = 140
"""What the whole plan takes on two cores that do nothing else, reckoned from its pieces: nobody timed it in one go."""

_WHOLE = {
    "autoencoder": 10_000,
    Course.BASE: 2500,
    Course.STAGE1: 1000,
    Course.STAGE2: 4000,
    Course.FINETUNE: 4500,
}
"""Steps of each piece."""
_CLIPS, _FOOTAGE = 16_000, 1900
_LEAST_FOOTAGE = 64

ROWS: Mapping[str, tuple[World, float]] = {
    "square": (World(), 0.76),
    "long": (World(frames=33), 0.12),
    "tall": (World(height=96), 0.06),
    "wide": (World(width=96), 0.06),
}
"""What is learned from, and its share of the clips: mostly short squares, for they are the cheapest way to learn what
holds at every size and length; a few of each other kind, so that the engine's other sizes are no surprise."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Equal plans give equal weights on equal machines, in however many sittings.

    Raises:
        InvalidInput: numbers that make no sense.
    """

    steps: Mapping[str, int]
    """Of the autoencoder and of each course."""
    clips: int
    footage: int
    """Clips that the autoencoder learns from."""
    seed: int = 0
    batch: int = 32
    variants: int = 4
    """Reference pictures per person."""
    learning_rate: float = 2e-3
    kinds: tuple[str, ...] = ()
    """Of `ROWS`; none named means all."""

    def __post_init__(self) -> None:
        if self.clips < 1 or self.batch < 1 or min(self.steps.values()) < 1 or self.seed < 0:
            raise InvalidInput("clips, batch and steps are at least 1, the seed at least 0")

    @classmethod
    def within(cls, minutes: float, *, seed: int = 0, batch: int = 32, clips: int | None = None) -> Plan:
        """All pieces in proportion; steps are what counts, so a slower machine takes longer and learns the same.

        Raises:
            InvalidInput: no time at all.
        """
        if minutes <= 0:
            raise InvalidInput(f"{minutes:g} minutes of training, expected more than 0")
        share = minutes / MINUTES
        return cls(
            steps={name: max(1, round(steps * share)) for name, steps in _WHOLE.items()},
            clips=clips or max(1, round(_CLIPS * share)),
            footage=max(_LEAST_FOOTAGE, round(_FOOTAGE * min(1, share))),
            seed=seed,
            batch=batch,
        )

    @property
    def rows(self) -> tuple[tuple[World, int], ...]:
        """Worlds with their numbers of shards; a row too small for a shard is left out, all but the first."""
        chosen = [row for name, row in ROWS.items() if not self.kinds or name in self.kinds]
        whole = sum(share for _, share in chosen)
        counts = [(world, self.clips * share / whole / SHARD) for world, share in chosen]
        first, *others = counts
        rest = [(world, round(count)) for world, count in others]
        return ((first[0], max(1, round(first[1]))), *((world, count) for world, count in rest if count))

    def as_json(self) -> dict[str, Any]:
        return {
            **asdict(self),
            "steps": {str(name): steps for name, steps in self.steps.items()},
            "kinds": list(self.kinds),
        }
