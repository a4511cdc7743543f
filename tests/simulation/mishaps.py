"""What may go wrong in one schedule, and how often: drawn from the seed, a few kinds at a time.

Few kinds with some weight find more than all kinds at once: a world in which everything fails does nothing.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, fields

_CHOICES: dict[str, tuple[float, ...]] = {
    "kill": (0.005, 0.02, 0.05),
    "stop": (0.005, 0.02, 0.05),
    "cut_off": (0.002, 0.01),
    "refused": (0.02, 0.2),
    "unanswered": (0.05, 0.2),
    "heartbeat_lost": (0.2, 0.6),
    "sigterm": (0.01, 0.03),
    "dawdle": (0.05, 0.2),
    "hang": (0.01, 0.05),
    "store_busy": (0.05, 0.2),
    "store_loses": (0.05, 0.2),
    "store_truncates": (0.05, 0.2),
    "store_garbles": (0.05, 0.2),
    "store_late": (0.1, 0.3),
    "store_slow": (0.05, 0.2),
    "store_unsure": (0.05, 0.2),
    "reads_garbled": (0.1, 0.3),
    "clip_vanishes": (0.2, 0.5),
    "gang_dies": (0.1, 0.3),
    "gang_hangs": (0.1, 0.2),
    "bad_frames": (0.1, 0.3, 0.9),
    "join_dies": (0.05, 0.2),
    "second_thoughts": (0.3, 1.0),
}

_OFTEN = ("kill", "stop", "cut_off", "refused", "unanswered", "heartbeat_lost")
"""What meets every process: one of these is in most schedules, and two together are in many."""


@dataclass(frozen=True, kw_only=True)
class Mishaps:
    """Each the chance per occasion, 0 where a schedule knows no such thing."""

    kill: float = 0.0
    """SIGKILL of whoever stands at a step, a call or an answer."""
    stop: float = 0.0
    """SIGSTOP, often past the lease, then SIGCONT: a zombie."""
    cut_off: float = 0.0
    """No way to the ledger and the store for a while."""
    refused: float = 0.0
    """A transaction fails before it commits."""
    unanswered: float = 0.0
    """A transaction commits and its answer is lost."""
    heartbeat_lost: float = 0.0
    sigterm: float = 0.0
    dawdle: float = 0.0
    """The way to the ledger, or back, takes many seconds."""
    hang: float = 0.0
    """A call to the store never returns."""
    store_busy: float = 0.0
    store_loses: float = 0.0
    """An acknowledged write that is not there."""
    store_truncates: float = 0.0
    store_garbles: float = 0.0
    store_late: float = 0.0
    """Written, but seen by nobody for a while."""
    store_slow: float = 0.0
    store_unsure: float = 0.0
    """Written, and answered with an error."""
    reads_garbled: float = 0.0
    clip_vanishes: float = 0.0
    """A committed clip is gone."""
    gang_dies: float = 0.0
    gang_hangs: float = 0.0
    bad_frames: float = 0.0
    """The engine says that the picture is not a number."""
    join_dies: float = 0.0
    """The process of a join dies under it."""
    second_thoughts: float = 0.0
    """Somebody cancels while a video is about to be published."""


CALM = Mishaps()


def draw(chance: random.Random) -> Mishaps:
    """Some kinds, with some weights. One schedule in sixteen is calm: then nothing at all may go wrong."""
    if chance.random() < 1 / 16:
        return CALM
    kinds = [field.name for field in fields(Mishaps)]
    some = {*chance.sample(_OFTEN, chance.randint(0, 3)), *chance.sample(kinds, chance.randint(1, 4))}
    return Mishaps(**{kind: chance.choice(_CHOICES[kind]) for kind in sorted(some)})
