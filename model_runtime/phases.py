"""The steps of one lease, in order and in one place, and how long each may take.

The supervisor tells a listener before and after every step; a test that ends the process there covers every
point at which a worker can die.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from schemas.edge import Edge


class Step(StrEnum):
    """What a worker does for one clip, in this order."""

    LEASE = "lease"
    FETCH = "fetch"
    RENDER = "render"
    ENCODE = "encode"
    CHECK = "check"
    UPLOAD = "upload"
    COMMIT = "commit"


Listener = Callable[[Step, Edge], None]


def silent(step: Step, edge: Edge) -> None:
    """The listener of a worker that nobody listens to."""


PATIENCE = 5.0
"""A step may take this many times what is expected of it."""

FLOORS: dict[Step, float] = {
    Step.LEASE: 60.0,
    Step.FETCH: 600.0,
    # The first clip of a shape compiles and captures graphs, which takes minutes and is in nobody's estimate.
    Step.RENDER: 900.0,
    Step.ENCODE: 120.0,
    Step.CHECK: 120.0,
    # A finished clip is worth waiting for a store or a ledger that is away.
    Step.UPLOAD: 900.0,
    Step.COMMIT: 900.0,
}
"""Seconds that a step is granted at least."""


def deadline(step: Step, expected_s: float, *, floor_s: float | None = None) -> float:
    """Seconds a step may take: five times what is expected, and never less than its floor."""
    return max(FLOORS[step] if floor_s is None else floor_s, PATIENCE * expected_s)


def stall(expected_s: float, units: int, *, floor_s: float) -> float:
    """Seconds a render may go without finishing one of its `units`: a hung collective is found by this.

    A unit (a denoising step, a frame) is expected to take an equal share of the render.
    """
    return max(floor_s, PATIENCE * expected_s / max(1, units))


@dataclass(frozen=True, kw_only=True)
class Patience:
    """Floors of the render step that an operator may set, in seconds."""

    render_s: float = FLOORS[Step.RENDER]
    stall_s: float = 600.0

    def deadline(self, step: Step, expected_s: float) -> float:
        return deadline(step, expected_s, floor_s=self.render_s if step is Step.RENDER else None)

    def stall(self, expected_s: float, units: int) -> float:
        return stall(expected_s, units, floor_s=min(self.stall_s, self.render_s))
