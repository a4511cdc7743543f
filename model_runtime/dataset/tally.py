"""How many came, how many stayed, and what became of the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(kw_only=True)
class Tally:
    """Counts of one shard; `came` equals what was kept plus what was dropped, unless one that came became many."""

    came: int = 0
    kept: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    """By reason."""
    looked: Counter[str] = field(default_factory=Counter)
    """What happened inside samples that were kept or dropped: references by verdict, seconds, people."""

    def add(self, other: Tally) -> None:
        self.came += other.came
        self.kept += other.kept
        self.dropped.update(other.dropped)
        self.looked.update(other.looked)

    def as_dict(self) -> dict[str, object]:
        return {
            "came": self.came,
            "kept": self.kept,
            "dropped": dict(sorted(self.dropped.items())),
            "looked": dict(sorted(self.looked.items())),
        }

    @classmethod
    def of(cls, said: Mapping[str, object]) -> Tally:
        return cls(**{**said, "dropped": Counter(said["dropped"]), "looked": Counter(said["looked"])})  # type: ignore[call-overload]
