"""What the ledger decides without looking anything up; every implementation asks here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from schemas.attempt import Failure
from schemas.problem import RowProblem
from schemas.states import (
    CAMPAIGN_CLAIMABLE,
    CampaignState,
    Ending,
    JobState,
    VideoState,
    WaitingReason,
    video_state_from_jobs,
)

_HELD_BECAUSE: Mapping[CampaignState, WaitingReason] = {
    CampaignState.PLANNED: WaitingReason.AWAITING_APPROVAL,
    CampaignState.AWAITING_APPROVAL: WaitingReason.AWAITING_APPROVAL,
    CampaignState.STOPPED_BUDGET: WaitingReason.BUDGET,
}

_STOPPING = frozenset({CampaignState.CANCELLING, CampaignState.CANCELLED})
_LOST = (JobState.FAILED, JobState.QUARANTINED, JobState.CANCELLED)


@dataclass(frozen=True, kw_only=True)
class Settled:
    """Where a video stands, and whether its queued jobs are worth nothing any more."""

    state: VideoState
    cancel_queued: bool


def settle(jobs: Mapping[JobState, int], campaign: CampaignState) -> Settled:
    """Where a video whose join is not under way stands, from the counts of its jobs by state.

    One lost job loses the video: its queued siblings are cancelled at once, so that no device works for nothing;
    leased ones end by themselves first. A campaign that is being cancelled joins nothing any more.
    """
    return _settle(tuple(jobs.items()), campaign)


@lru_cache(maxsize=1024)
def _settle(jobs: tuple[tuple[JobState, int], ...], campaign: CampaignState) -> Settled:
    counts = dict(jobs)
    stopping = campaign in _STOPPING
    cancel = stopping or any(counts.get(state, 0) for state in _LOST)
    if cancel:
        counts[JobState.CANCELLED] = counts.get(JobState.CANCELLED, 0) + counts.pop(JobState.QUEUED, 0)
    if cancel and counts.get(JobState.LEASED, 0):
        return Settled(state=VideoState.RENDERING, cancel_queued=True)
    state = video_state_from_jobs(counts)
    if stopping and state is VideoState.STITCHING:
        state = VideoState.CANCELLED
    return Settled(state=state, cancel_queued=cancel)


def order_key(*, enqueued_at: float, not_before: float, priority: int, bonus_s: float) -> float:
    """Smaller is leased earlier. Linear ageing never reorders two jobs, so the key is stored and indexed."""
    return max(enqueued_at, not_before) - priority * bonus_s


def is_held(campaign: CampaignState) -> bool:
    return campaign not in CAMPAIGN_CLAIMABLE


def held_because(campaign: CampaignState) -> WaitingReason | None:
    """Why nothing of a campaign in this state is leased; None when it may be."""
    return _HELD_BECAUSE.get(campaign, WaitingReason.PAUSED) if is_held(campaign) else None


def waiting_reason(
    campaign: CampaignState, *, now: float, not_before: float, due_at: float, twin_leased: bool = False
) -> WaitingReason:
    """Why a queued job is not leased now: the obstacle that stands first."""
    held = held_because(campaign)
    if held is not None:
        return held
    if due_at > now:
        return WaitingReason.BACKOFF if due_at > not_before else WaitingReason.NOT_BEFORE
    return WaitingReason.DEPENDENCY if twin_leased else WaitingReason.CAPACITY


def prefer_warm(*, best: float, warm: float | None, head_start_s: float) -> bool:
    """Whether the best job of the warm bucket goes before the best of all: a bounded head start, no monopoly."""
    return warm is not None and warm <= best + head_start_s


def lost(*, worker: str, silent_s: float, ttl: float, phase: str) -> Failure:
    """What ends an attempt whose lease ran out: nobody knows more than when its worker was last heard of."""
    doing = f" in phase {phase}" if phase else ""
    said = f"worker {worker} was last heard of {silent_s:.0f} s before{doing}; its lease ran {ttl:.0f} s"
    return Failure.of(Ending.LOST, said, phase=phase)


def failure_code(failure: Failure) -> str:
    return failure.ending.value.upper()


def invalid_text(row_id: str, problems: Sequence[RowProblem]) -> tuple[str, str]:
    """Code and message of a video that a bad row keeps out."""
    first = problems[0]
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return first.code.value, f"row {row_id}: {first.message}{more}"
