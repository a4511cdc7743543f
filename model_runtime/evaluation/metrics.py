"""The metrics' names, and what a guess would reach."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import fmean

from model_runtime.evaluation.attributes import EVERY, PROMPTED, SEEN_IN_TIME, chance
from model_runtime.training.world.vocabulary import IDENTITY

CANDIDATES = 20
"""People among whom one is to be recognised."""
OF_TWENTY = "identity/of 20"
SPEAKER = "text/speaker"
TRACKS = ("opening", "width")


def family(name: str) -> str:
    """Which condition decides an attribute."""
    return "text" if name in PROMPTED else "identity"


def chances() -> dict[str, float]:
    """By metric, where it can be said: every value of a list is as likely, and no stranger's speech moves a mouth."""
    known = {f"{family(name)}/{name}": chance(name) for name in EVERY}
    known |= {
        "text/static": _mean(name for name in PROMPTED if name not in SEEN_IN_TIME),
        "text/all": _mean(PROMPTED),
        "identity/all": _mean(IDENTITY),
    }
    known |= {f"sync/{track}": 0.0 for track in TRACKS} | {f"sync/{track}, shuffled": 0.0 for track in TRACKS}
    return known | {OF_TWENTY: 1 / CANDIDATES, SPEAKER: 0.5}


def _mean(names: Iterable[str]) -> float:
    return fmean(chance(name) for name in names)
