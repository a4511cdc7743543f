"""One figure of a run: a ratio or an absolute number, what it should be, and what it was made of."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Size(StrEnum):
    """How much is measured: `full` for figures to quote, `quick` for a look, `tiny` to see that it runs."""

    FULL = "full"
    QUICK = "quick"
    TINY = "tiny"


_COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {">=": operator.ge, "<=": operator.le}


@dataclass(frozen=True, kw_only=True)
class Target:
    """What a figure should be: at least, or at most, `value`."""

    comparison: str
    value: float

    def is_met_by(self, value: float) -> bool:
        return _COMPARISONS[self.comparison](value, self.value)

    def __str__(self) -> str:
        return f"{self.comparison} {self.value:g}"


def at_least(value: float) -> Target:
    return Target(comparison=">=", value=value)


def at_most(value: float) -> Target:
    return Target(comparison="<=", value=value)


@dataclass(frozen=True, kw_only=True)
class Figure:
    """`value` in `unit`; `parts` are the numbers behind it, for those who want to know."""

    name: str
    value: float
    unit: str
    target: Target | None
    meaning: str
    parts: Mapping[str, float] = field(default_factory=dict)

    @property
    def is_met(self) -> bool | None:
        """None where there is no target."""
        return None if self.target is None else self.target.is_met_by(self.value)

    def as_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "value": _short(self.value),
            "unit": self.unit,
            "target": str(self.target) if self.target else None,
            "met": self.is_met,
            "meaning": self.meaning,
            "parts": {name: _short(value) for name, value in self.parts.items()},
        }


def _short(value: float) -> float:
    """Four significant digits: no figure here is better than that."""
    return float(f"{value:.4g}")
