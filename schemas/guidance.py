"""How the guided velocity is put together from a step's forward passes."""

from __future__ import annotations

from enum import StrEnum


class Chain(StrEnum):
    """Which differences are added up in which step: each family has its own, an experiment may ask for either."""

    CONSTANT = "constant"
    """Text, pictures and speech pull with a scale each, the same in every step: the 1.7B's."""
    TIME_ADAPTIVE = "time-adaptive"
    """Text and pictures pull together, text most at the noisy end, pictures in the rest: the 17B's."""
