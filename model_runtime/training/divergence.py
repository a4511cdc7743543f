"""When to stop: numbers that are none, and losses that have left their range."""

from __future__ import annotations

import math
from collections import deque
from typing import Any

from schemas.errors import Permanent

_WINDOW = 20
_FACTOR = 5.0


class Diverged(Permanent):
    """Training went wrong at a step; nothing of that step is in any weight."""


class Watch:
    """Looks at every loss and gradient before the weights are touched."""

    def __init__(self) -> None:
        self._recent: deque[float] = deque(maxlen=_WINDOW)
        self._best = math.inf

    def loss(self, step: int, value: float) -> None:
        """Take in a step's loss.

        Raises:
            Diverged: it is not a finite number, or the mean of 20 is five times the best such mean so far.
        """
        if not math.isfinite(value):
            raise Diverged(f"the loss of step {step} is {value}, expected a finite number")
        self._recent.append(value)
        if len(self._recent) < _WINDOW:
            return
        mean = sum(self._recent) / _WINDOW
        self._best = min(self._best, mean)
        if mean > _FACTOR * self._best:
            raise Diverged(
                f"the loss was {mean:.4g} over the {_WINDOW} steps up to {step}, "
                f"{mean / self._best:.1f} times its best of {self._best:.4g}"
            )

    def gradient(self, step: int, norm: float) -> None:
        """Raises Diverged where the norm of all gradients is not a finite number."""
        if not math.isfinite(norm):
            raise Diverged(f"the gradient of step {step} has norm {norm}, expected a finite number")

    def state(self) -> dict[str, Any]:
        return {"recent": list(self._recent), "best": None if math.isinf(self._best) else self._best}

    def restore(self, state: dict[str, Any]) -> None:
        self._recent = deque(state["recent"], maxlen=_WINDOW)
        self._best = math.inf if state["best"] is None else state["best"]
