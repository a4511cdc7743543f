"""What the reader reads: every closed attribute of the world by name, with its values in the world's order."""

from __future__ import annotations

from enum import StrEnum

from model_runtime.training.world.vocabulary import (
    ALIKE_UNDER_A_HAT,
    COVERING_HATS,
    IDENTITY,
    ROLE,
    SCENE,
    Hair,
    Hat,
)

_IN_TIME = ("motion", "camera")

SEEN_IN_TIME: dict[str, type[StrEnum]] = {name: kind for name, kind in (SCENE | ROLE).items() if name in _IN_TIME}
"""No single frame tells them."""

SEEN_AT_ONCE: dict[str, type[StrEnum]] = {
    name: kind for name, kind in (SCENE | ROLE | IDENTITY).items() if name not in _IN_TIME
}
"""Every frame tells them."""

PROMPTED: dict[str, type[StrEnum]] = SCENE | ROLE
"""Decided by the prompt."""

EVERY: dict[str, type[StrEnum]] = PROMPTED | IDENTITY

OF_THE_SCENE = frozenset(SCENE)
"""Once per clip; all else once per person."""


def index_of(name: str, value: StrEnum) -> int:
    """The place of a value in its list."""
    return list(EVERY[name]).index(value)


def alike(hat: Hat, hair: Hair) -> tuple[int, ...]:
    """Hair styles, by index, that a picture with this hat cannot tell from this one; itself among them."""
    if hat in COVERING_HATS and hair in ALIKE_UNDER_A_HAT:
        return tuple(index for index, style in enumerate(Hair) if style in ALIKE_UNDER_A_HAT)
    return (index_of("hair", hair),)


def chance(name: str) -> float:
    """How often a guess is right: every list's values are as likely in the world."""
    return 1 / len(EVERY[name])
