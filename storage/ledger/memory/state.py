"""What MemoryLedger remembers: the same nouns as the tables, as plain objects."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from schemas.attempt import Attempt, Failure
from schemas.campaign import CampaignSettings, ManifestRef
from schemas.clip import Clip, Publication
from schemas.job import RenderJob
from schemas.lease import Lease, LeaseKind
from schemas.problem import RowProblem
from schemas.retry import Decision
from schemas.shot import Shot
from schemas.states import CampaignState, Ending, JobState, VideoState
from storage.ledger.difference import KnownRow


@dataclass(kw_only=True)
class CampaignEntry:
    campaign_id: str
    name: str
    team: str
    settings: CampaignSettings
    created_at: float
    updated_at: float
    state: CampaignState = CampaignState.PLANNED
    manifest: ManifestRef | None = None
    revision: int = 0
    coordinator: str = ""
    coordinator_epoch: int = 0
    coordinator_expires_at: float = 0.0

    @property
    def cancelling(self) -> bool:
        return self.state in (CampaignState.CANCELLING, CampaignState.CANCELLED)


@dataclass(kw_only=True)
class RowEntry:
    row_id: str
    video_id: str
    known: KnownRow
    line: int
    position: int
    byte_start: int
    byte_end: int
    shot: Shot | None
    problems: tuple[RowProblem, ...]
    retired: bool = False


@dataclass(kw_only=True)
class VideoEntry:
    video_id: str
    campaign_id: str
    name: str
    state: VideoState = VideoState.WAITING
    epoch: int = 0
    round: int = 0
    attempt_id: str | None = None
    retired: bool = False
    priority: int = 0
    due_at: float = 0.0
    order_key: float = 0.0
    publication: Publication | None = None
    error_code: str = ""
    error: str = ""
    ended_at: float | None = None


@dataclass(kw_only=True)
class JobEntry:
    job_id: int
    campaign_id: str
    video_id: str
    job: RenderJob
    render_key: str
    pool: str
    priority: int
    enqueued_at: float
    not_before: float
    due_at: float
    order_key: float
    state: JobState = JobState.QUEUED
    epoch: int = 0
    round: int = 0
    attempt_id: str | None = None
    reused: bool = False
    retired: bool = False


@dataclass(kw_only=True)
class AttemptEntry:
    """An attempt under way is the lease."""

    attempt_id: str
    kind: LeaseKind
    subject: str
    campaign_id: str
    video_id: str
    row_id: str
    worker: str
    pool: str
    epoch: int
    round: int
    started_at: float
    expires_at: float
    seen_at: float
    ttl: float
    phase: str = ""
    done: int = 0
    total: int = 0
    device_s: float = 0.0
    ended_at: float | None = None
    ended_by: str = ""
    ending: Ending | None = None
    failure: Failure | None = None
    decision: Decision | None = None

    def to_lease(self) -> Lease:
        return Lease(
            kind=self.kind,
            subject=self.subject,
            campaign_id=self.campaign_id,
            video_id=self.video_id,
            epoch=self.epoch,
            attempt_id=self.attempt_id,
            worker=self.worker,
            expires_at=self.expires_at,
            ttl=self.ttl,
        )

    def to_attempt(self) -> Attempt:
        return Attempt(
            attempt_id=self.attempt_id,
            subject=self.subject,
            worker=self.worker,
            epoch=self.epoch,
            round=self.round,
            started_at=self.started_at,
            ended_at=self.ended_at,
            ending=self.ending,
            blame=self.failure.blame if self.failure else None,
            phase=self.phase,
            message=self.failure.message if self.failure else "",
            device_s=self.device_s,
        )


@dataclass
class State:
    """Everything that is remembered, and the questions that several verbs ask of it."""

    campaigns: dict[str, CampaignEntry] = field(default_factory=dict)
    rows: dict[tuple[str, str], RowEntry] = field(default_factory=dict)
    videos: dict[str, VideoEntry] = field(default_factory=dict)
    jobs: dict[int, JobEntry] = field(default_factory=dict)
    clips: dict[str, Clip] = field(default_factory=dict)
    attempts: dict[str, AttemptEntry] = field(default_factory=dict)

    def row(self, campaign_id: str, row_id: str) -> RowEntry | None:
        """A row that the manifest still has."""
        found = self.rows.get((campaign_id, row_id))
        return None if found is None or found.retired else found

    def rows_of(self, video_id: str) -> list[RowEntry]:
        found = [row for row in self.rows.values() if row.video_id == video_id and not row.retired]
        return sorted(found, key=lambda row: (row.known.place, row.position))

    def campaign_rows(self, campaign_id: str) -> list[RowEntry]:
        found = [row for (owner, _), row in self.rows.items() if owner == campaign_id and not row.retired]
        return sorted(found, key=lambda row: (row.position, row.row_id))

    def campaign_videos(self, campaign_id: str) -> list[VideoEntry]:
        return [v for v in self.videos.values() if v.campaign_id == campaign_id and not v.retired]

    def jobs_of(self, video_id: str) -> list[JobEntry]:
        return [job for job in self.live_jobs() if job.video_id == video_id]

    def campaign_jobs(self, campaign_id: str) -> list[JobEntry]:
        return [job for job in self.live_jobs() if job.campaign_id == campaign_id]

    def live_jobs(self) -> Iterator[JobEntry]:
        return (job for job in self.jobs.values() if not job.retired)

    def twin_is_leased(self, job: JobEntry) -> bool:
        return any(j.state is JobState.LEASED and j.render_key == job.render_key for j in self.jobs.values())

    def under_way(self) -> list[AttemptEntry]:
        return [attempt for attempt in self.attempts.values() if attempt.ended_at is None]
