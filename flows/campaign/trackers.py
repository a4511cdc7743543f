"""Trackers: the task runs that show a campaign in Prefect, at most 200 of them however many videos there are.

Up to 200 videos have one tracker each; more are followed by slices of the sheet. Everything here is decided from one
aggregate answer of the ledger.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby

from schemas.states import CAMPAIGN_ENDED, VIDEO_TERMINAL, CampaignState, VideoState
from schemas.status import SliceCount

MOST_TRACKERS = 200
"""A 5,000-task map was reported complete while half of its task runs never reached the UI; 200 always do."""

_NOT_BEGUN = frozenset({VideoState.WAITING})
_BAD = frozenset({VideoState.FAILED, VideoState.INVALID})


class TrackerState(StrEnum):
    """The names are Prefect's state types."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


@dataclass(frozen=True, kw_only=True)
class Tracker:
    """What one task run shows."""

    key: str
    name: str
    state: TrackerState
    message: str


def trackers(slices: Iterable[SliceCount], campaign: CampaignState) -> list[Tracker]:
    """One tracker per slice, in the sheet's order."""
    found = sorted(slices, key=lambda one: one.slice)
    return [_tracker(number, list(parts), campaign) for number, parts in groupby(found, key=lambda one: one.slice)]


def _tracker(number: int, parts: list[SliceCount], campaign: CampaignState) -> Tracker:
    videos = sum(part.videos for part in parts)
    counts = {state: sum(p.videos for p in parts if p.state is state) for state in VideoState}
    words = ", ".join(f"{n} {state.value}" for state, n in counts.items() if n)
    codes = ", ".join(sorted({part.error_code for part in parts if part.error_code}))
    first, last = min(p.first for p in parts) + 1, max(p.last for p in parts) + 1
    if videos == 1:
        name, message = parts[0].video, parts[0].state.value
    else:
        name, message = f"rows {first}-{last}", f"{videos} videos: {words}"
    return Tracker(
        key=str(number),
        name=name,
        state=_state({state for state, n in counts.items() if n}, campaign),
        message=f"{message}; {codes}" if codes else message,
    )


def _state(states: set[VideoState], campaign: CampaignState) -> TrackerState:
    over = campaign in CAMPAIGN_ENDED
    if states <= VIDEO_TERMINAL or over:
        if states & _BAD:
            return TrackerState.FAILED
        if VideoState.CANCELLED in states or not states <= VIDEO_TERMINAL:
            return TrackerState.CANCELLED
        return TrackerState.COMPLETED
    return TrackerState.PENDING if states <= _NOT_BEGUN else TrackerState.RUNNING
