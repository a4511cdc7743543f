"""The closed lists of words for state, and which state may follow which.

docs/job_states.md draws these tables; a test compares the page with this file.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class CampaignState(StrEnum):
    PLANNED = "planned"
    PILOT = "pilot"
    AWAITING_APPROVAL = "awaiting_approval"
    RUNNING = "running"
    PAUSED = "paused"
    CANCELLING = "cancelling"
    STITCHING = "stitching"
    DONE = "done"
    DONE_WITH_ERRORS = "done_with_errors"
    STOPPED_BUDGET = "stopped_budget"
    STOPPED_FAILURES = "stopped_failures"
    CANCELLED = "cancelled"


class VideoState(StrEnum):
    WAITING = "waiting"
    RENDERING = "rendering"
    STITCHING = "stitching"
    CHECKING = "checking"
    PUBLISHED = "published"
    NEEDS_REVIEW = "needs_review"
    FAILED = "failed"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"
    INVALID = "invalid"


class JobState(StrEnum):
    QUEUED = "queued"
    LEASED = "leased"
    RENDERED = "rendered"
    FAILED = "failed"
    QUARANTINED = "quarantined"
    CANCELLED = "cancelled"


class WaitingReason(StrEnum):
    """Why something that could run does not run now."""

    CAPACITY = "capacity"
    QUOTA = "quota"
    BUDGET = "budget"
    NOT_BEFORE = "not_before"
    PAUSED = "paused"
    AWAITING_APPROVAL = "awaiting_approval"
    BACKOFF = "backoff"
    DEPENDENCY = "dependency"


class Ending(StrEnum):
    """How an attempt ended."""

    OK = "ok"
    BAD_INPUT = "bad_input"
    BAD_OUTPUT = "bad_output"
    OUT_OF_MEMORY = "out_of_memory"
    WORKER_FAULT = "worker_fault"
    LOST = "lost"
    PREEMPTED = "preempted"
    HUNG = "hung"
    TIMEOUT = "timeout"
    CANCELLED = "cancelled"
    INTERNAL = "internal"


class Blame(StrEnum):
    """Whom a failed attempt blames."""

    ROW = "row"
    WORKER = "worker"
    PLATFORM = "platform"


JOB_TRANSITIONS: Mapping[JobState, frozenset[JobState]] = {
    # queued -> rendered: a job with the same render key was rendered meanwhile
    JobState.QUEUED: frozenset({JobState.LEASED, JobState.RENDERED, JobState.CANCELLED}),
    JobState.LEASED: frozenset(
        {JobState.QUEUED, JobState.RENDERED, JobState.FAILED, JobState.QUARANTINED, JobState.CANCELLED}
    ),
    JobState.RENDERED: frozenset({JobState.QUEUED}),  # its clip vanished from the store: render again
    JobState.FAILED: frozenset({JobState.QUEUED, JobState.CANCELLED}),
    JobState.QUARANTINED: frozenset({JobState.QUEUED, JobState.CANCELLED}),
    JobState.CANCELLED: frozenset({JobState.QUEUED}),
}

_V = VideoState
VIDEO_TRANSITIONS: Mapping[VideoState, frozenset[VideoState]] = {
    _V.WAITING: frozenset({_V.RENDERING, _V.STITCHING, _V.FAILED, _V.SKIPPED, _V.CANCELLED, _V.INVALID}),
    # rendering -> waiting: its only lease was released or lost and nothing is rendered yet
    _V.RENDERING: frozenset({_V.WAITING, _V.STITCHING, _V.FAILED, _V.SKIPPED, _V.CANCELLED, _V.INVALID}),
    # stitching or checking -> waiting: the sheet was submitted again with another content for a shot
    _V.STITCHING: frozenset({_V.WAITING, _V.RENDERING, _V.CHECKING, _V.FAILED, _V.SKIPPED, _V.CANCELLED, _V.INVALID}),
    _V.CHECKING: frozenset(
        {
            _V.WAITING,
            _V.RENDERING,
            _V.STITCHING,
            _V.PUBLISHED,
            _V.NEEDS_REVIEW,
            _V.FAILED,
            _V.SKIPPED,
            _V.CANCELLED,
            _V.INVALID,
        }
    ),
    _V.PUBLISHED: frozenset({_V.WAITING, _V.RENDERING, _V.STITCHING, _V.INVALID}),
    _V.NEEDS_REVIEW: frozenset(
        {_V.PUBLISHED, _V.WAITING, _V.RENDERING, _V.STITCHING, _V.FAILED, _V.SKIPPED, _V.INVALID}
    ),
    _V.FAILED: frozenset({_V.WAITING, _V.RENDERING, _V.STITCHING, _V.SKIPPED, _V.INVALID}),
    _V.SKIPPED: frozenset({_V.WAITING, _V.RENDERING, _V.STITCHING, _V.INVALID}),
    _V.CANCELLED: frozenset({_V.WAITING, _V.RENDERING, _V.STITCHING, _V.SKIPPED, _V.INVALID}),
    _V.INVALID: frozenset({_V.WAITING, _V.RENDERING, _V.STITCHING, _V.SKIPPED}),
}

_C = CampaignState
CAMPAIGN_TRANSITIONS: Mapping[CampaignState, frozenset[CampaignState]] = {
    _C.PLANNED: frozenset({_C.PILOT, _C.AWAITING_APPROVAL, _C.RUNNING, _C.PAUSED, _C.CANCELLING}),
    _C.PILOT: frozenset({_C.AWAITING_APPROVAL, _C.RUNNING, _C.PAUSED, _C.CANCELLING}),
    _C.AWAITING_APPROVAL: frozenset({_C.PILOT, _C.RUNNING, _C.CANCELLING}),
    _C.RUNNING: frozenset(
        {
            _C.PAUSED,
            _C.CANCELLING,
            _C.STITCHING,
            _C.DONE,
            _C.DONE_WITH_ERRORS,
            _C.STOPPED_BUDGET,
            _C.STOPPED_FAILURES,
        }
    ),
    _C.PAUSED: frozenset({_C.RUNNING, _C.PILOT, _C.CANCELLING}),
    _C.CANCELLING: frozenset({_C.CANCELLED}),
    _C.STITCHING: frozenset({_C.RUNNING, _C.PAUSED, _C.CANCELLING, _C.DONE, _C.DONE_WITH_ERRORS}),
    # an ended campaign runs again when its sheet is submitted with a difference, or rows are retried
    _C.DONE: frozenset({_C.RUNNING, _C.PLANNED}),
    _C.DONE_WITH_ERRORS: frozenset({_C.RUNNING, _C.PLANNED}),
    _C.STOPPED_BUDGET: frozenset({_C.RUNNING, _C.CANCELLING}),
    _C.STOPPED_FAILURES: frozenset({_C.RUNNING, _C.CANCELLING}),
    _C.CANCELLED: frozenset({_C.RUNNING, _C.PLANNED}),
}

CAMPAIGN_CLAIMABLE = frozenset({_C.PILOT, _C.RUNNING, _C.STITCHING})
"""Work of a campaign in one of these states may be leased."""

CAMPAIGN_ENDED = frozenset({_C.DONE, _C.DONE_WITH_ERRORS, _C.STOPPED_BUDGET, _C.STOPPED_FAILURES, _C.CANCELLED})

VIDEO_TERMINAL = frozenset({_V.PUBLISHED, _V.NEEDS_REVIEW, _V.FAILED, _V.SKIPPED, _V.CANCELLED, _V.INVALID})

JOB_TERMINAL = frozenset({JobState.RENDERED, JobState.FAILED, JobState.QUARANTINED, JobState.CANCELLED})

INTERRUPTIONS = frozenset({Ending.PREEMPTED, Ending.CANCELLED})
"""Endings that never use up an attempt."""


def video_state_from_jobs(jobs: Mapping[JobState, int]) -> VideoState:
    """The state of a video whose join has not begun, from the counts of its jobs by state.

    A failed or quarantined job fails its video once no sibling is leased, a cancelled one cancels it.
    """
    total = sum(jobs.values())
    done = jobs.get(JobState.RENDERED, 0)
    leased = jobs.get(JobState.LEASED, 0)
    if total and done == total:
        return VideoState.STITCHING
    if jobs.get(JobState.FAILED, 0) or jobs.get(JobState.QUARANTINED, 0):
        return VideoState.FAILED
    if jobs.get(JobState.CANCELLED, 0):
        return VideoState.CANCELLED
    return VideoState.RENDERING if leased or done else VideoState.WAITING
