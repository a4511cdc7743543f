"""What the ledger answers to those who look: counts, rows, reasons. Counts always add up to the total."""

from __future__ import annotations

from dataclasses import dataclass, field

from schemas.attempt import Attempt
from schemas.campaign import Campaign
from schemas.clip import Publication
from schemas.job import RenderJob
from schemas.problem import RowProblem
from schemas.shot import Shot
from schemas.states import VIDEO_TERMINAL, JobState, VideoState, WaitingReason


@dataclass(frozen=True, kw_only=True)
class Counts:
    """One campaign in numbers, from one aggregate query."""

    rows: int
    videos: dict[VideoState, int]
    rows_by_video_state: dict[VideoState, int]
    jobs: dict[JobState, int]
    clip_frames_done: int = 0
    clip_frames_total: int = 0
    reused: int = 0
    """Jobs served by a clip that existed already."""
    device_s: float = 0.0
    wasted_device_s: float = 0.0
    """Of attempts that did not end `ok`."""

    @property
    def total_videos(self) -> int:
        return sum(self.videos.values())

    @property
    def ended_videos(self) -> int:
        return sum(n for state, n in self.videos.items() if state in VIDEO_TERMINAL)


@dataclass(frozen=True, kw_only=True)
class RowStatus:
    """One manifest row as it stands now; a row's status is its video's."""

    row_id: str
    line: int
    position: int
    byte_start: int
    byte_end: int
    video_id: str
    video: str
    state: VideoState
    seed: int | None
    shot: Shot | None
    problems: tuple[RowProblem, ...]
    publication: Publication | None
    attempts: int
    """Tries at the row's own clips; over the rows of a campaign, each try at a clip is counted once."""
    device_s: float
    """Seconds that devices were busy with the row's own clips."""
    error_code: str
    error: str
    started_at: float | None = None
    """When the video's first attempt began."""
    ended_at: float | None = None
    """When the video reached its terminal state."""


@dataclass(frozen=True, kw_only=True)
class JobStatus:
    job_id: str
    state: JobState
    epoch: int
    job: RenderJob
    worker: str
    phase: str
    done: int
    total: int
    not_before: float
    reused: bool
    clip_key: str = ""


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """Why a row is where it is, and until when."""

    campaign: Campaign
    row: RowStatus
    jobs: tuple[JobStatus, ...]
    attempts: tuple[Attempt, ...]
    reason: WaitingReason | None
    until: float | None
    """Seconds since the epoch when the reason ends by itself, where that is known."""
    ahead: int = 0
    """Jobs of the same pool that will be leased before this row's next one."""


@dataclass(frozen=True, kw_only=True)
class WorkerStatus:
    """One worker as its last heartbeat left it."""

    worker: str
    pool: str
    lease_subject: str
    campaign_id: str
    row_id: str
    phase: str
    done: int
    total: int
    seen_at: float
    expires_at: float


@dataclass(frozen=True, kw_only=True)
class ReapReport:
    """What a sweep over expired leases found."""

    requeued: int = 0
    quarantined: int = 0
    joins: int = 0


@dataclass(frozen=True, kw_only=True)
class Change:
    """How much a verb touched (or, on a dry run, would touch)."""

    rows: int = 0
    videos: int = 0
    jobs: int = 0
    device_s: float = 0.0
    """Estimated seconds of rendering that the change asks for or saves."""
    row_ids: tuple[str, ...] = field(default=())
    """The first 100."""


@dataclass(frozen=True, kw_only=True)
class SliceCount:
    """Videos of one slice of a campaign that are in one state with one error code.

    The videos of a campaign, in the order of their first rows, are cut into slices of equal size.
    """

    slice: int
    """From 1."""
    state: VideoState
    error_code: str
    videos: int
    first: int
    last: int
    """Positions of the first and of the last row of these videos."""
    video: str
    """The name of one of them."""


@dataclass(frozen=True, kw_only=True)
class EndedVideo:
    """A video that reached its terminal state, told by its first row."""

    video: str
    row_id: str
    line: int
    state: VideoState
    error_code: str
    error: str
    ended_at: float
