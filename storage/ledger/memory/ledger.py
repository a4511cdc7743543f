"""MemoryLedger: the whole protocol in one process and no database, for tests, examples and dry thinking.

It keeps every promise but durability, and passes the same conformance suite as the SQL ledger.
"""

from __future__ import annotations

import copy
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from schemas.attempt import Failure
from schemas.campaign import Campaign
from schemas.clip import Clip, Publication
from schemas.errors import CoordinatorLost, LeaseLost, NotFound, Permanent, Refused
from schemas.job import RenderJob
from schemas.lease import Lease, LeaseKind, Progress, Signal, WorkerIdentity
from schemas.retry import Decision
from schemas.shot import Shot
from schemas.states import (
    CAMPAIGN_ENDED,
    INTERRUPTIONS,
    VIDEO_TERMINAL,
    CampaignState,
    Ending,
    JobState,
    VideoState,
    WaitingReason,
)
from schemas.status import (
    Change,
    Counts,
    EndedVideo,
    Explanation,
    ReapReport,
    RowStatus,
    SliceCount,
    WorkerStatus,
)
from schemas.submission import Submission, SubmitReport
from storage.ledger import gate
from storage.ledger.identity import new_attempt_id
from storage.ledger.memory import leases, looks, slices
from storage.ledger.memory.desk import Desk
from storage.ledger.memory.state import State, VideoEntry
from storage.ledger.memory.submit import submit
from storage.ledger.options import LedgerOptions

_RETRIABLE = VIDEO_TERMINAL - {VideoState.INVALID}


class MemoryLedger:
    """A ledger that lives as long as the process; `clock` stands in for the database's."""

    def __init__(
        self,
        *,
        options: LedgerOptions | None = None,
        clock: Callable[[], float] = time.time,
        new_id: Callable[[], str] = new_attempt_id,
    ) -> None:
        self._options = options or LedgerOptions()
        self._new_id = new_id
        self._clock = clock
        self._state = State()
        self._lock = threading.RLock()

    @contextmanager
    def _desk(self, *, keep: bool = True) -> Iterator[Desk]:
        """One verb at a time. Verbs look before they write; with `keep=False` they write on a copy."""
        with self._lock:
            state = self._state if keep else copy.deepcopy(self._state)
            yield Desk(state=state, now=self.now(), options=self._options)

    # -- campaigns -----------------------------------------------------------------------------------------------------

    def submit(self, submission: Submission, *, dry_run: bool = False) -> SubmitReport:
        # On a copy in any case: rows may stream in, and break off.
        with self._desk(keep=False) as desk:
            report = submit(desk, submission)
            if not dry_run:
                self._state = desk.state
            return report

    def campaign(self, name_or_id: str) -> Campaign:
        with self._desk() as desk:
            return looks.to_campaign(looks.find(desk.state, name_or_id))

    def campaigns(self) -> list[Campaign]:
        with self._desk() as desk:
            found = sorted(desk.state.campaigns.values(), key=lambda c: (-c.created_at, c.campaign_id))
            return [looks.to_campaign(campaign) for campaign in found]

    def set_state(self, campaign_id: str, state: CampaignState, *, coordinator_epoch: int | None = None) -> bool:
        with self._desk() as desk:
            campaign = looks.find(desk.state, campaign_id)
            if coordinator_epoch is not None and coordinator_epoch != campaign.coordinator_epoch:
                raise CoordinatorLost(f"{campaign.coordinator or 'nobody'} coordinates {campaign.name} now")
            if campaign.state is state:
                return False
            if coordinator_epoch is not None:
                gate.coordinators_step(campaign.state)
            if state is CampaignState.CANCELLING:
                self.cancel(campaign_id)
            elif state is not CampaignState.CANCELLED:
                desk.move_campaign(campaign, state)
            elif gate.campaign_step(campaign.state, state) and not self.finish_cancel(campaign_id):
                raise Refused("leases of the campaign are alive", fix="wait for its workers, then call finish_cancel")
            return True

    def coordinate(self, campaign_id: str, owner: str, *, ttl: float) -> int | None:
        with self._desk() as desk:
            campaign = looks.find(desk.state, campaign_id)
            if campaign.coordinator not in ("", owner) and campaign.coordinator_expires_at > desk.now:
                return None
            campaign.coordinator_epoch += campaign.coordinator != owner
            campaign.coordinator, campaign.coordinator_expires_at = owner, desk.now + ttl
            return campaign.coordinator_epoch

    def resign(self, campaign_id: str, owner: str) -> None:
        with self._desk() as desk:
            campaign = desk.state.campaigns.get(campaign_id)
            if campaign is not None and campaign.coordinator == owner:
                campaign.coordinator, campaign.coordinator_expires_at = "", 0.0

    # -- work ----------------------------------------------------------------------------------------------------------

    def claim(self, worker: WorkerIdentity, kind: LeaseKind, *, ttl: float) -> Lease | None:
        with self._desk() as desk:
            attempt_id = self._new_id()
            if kind is LeaseKind.JOIN:
                video = leases.next_video(desk, worker)
                return leases.lease_video(desk, video, worker, ttl=ttl, attempt_id=attempt_id) if video else None
            job = leases.next_job(desk, worker)
            return leases.lease_job(desk, job, worker, ttl=ttl, attempt_id=attempt_id) if job else None

    def peek(self, worker: WorkerIdentity) -> RenderJob | None:
        with self._desk() as desk:
            job = leases.next_job(desk, worker)
            return job.job if job else None

    def heartbeat(self, lease: Lease, progress: Progress, *, device_s: float = 0.0) -> tuple[Lease, Signal]:
        with self._desk() as desk:
            attempt = leases.require_held(desk, lease)
            attempt.seen_at, attempt.expires_at = desk.now, desk.now + lease.ttl
            attempt.phase, attempt.done, attempt.total = progress.phase, progress.done, progress.total
            attempt.device_s = max(attempt.device_s, device_s)
            stop = desk.state.campaigns[lease.campaign_id].cancelling
            renewed = lease.model_copy(update={"expires_at": attempt.expires_at})
            return renewed, Signal.CANCEL if stop else Signal.CONTINUE

    def complete(self, lease: Lease, clip: Clip, *, device_s: float = 0.0) -> Clip:
        with self._desk() as desk:
            attempt, state = leases.held(desk, lease), desk.state
            if attempt is None:
                leases.answered(desk, lease, "complete")
                return state.clips.get(clip.render_key, clip)
            job = state.jobs[int(lease.subject)]
            if clip.render_key != job.render_key:
                raise Permanent(f"the clip is of render key {clip.render_key}, the lease's job of {job.render_key}")
            counting = state.clips.setdefault(clip.render_key, clip)
            desk.end(attempt, "complete", Ending.OK, device_s=device_s)
            desk.move_job(job, JobState.RENDERED)
            twins = [t for t in state.live_jobs() if t.state is JobState.QUEUED and t.render_key == clip.render_key]
            for twin in twins:
                desk.reuse_clip(twin)
            for video_id in sorted({lease.video_id, *(twin.video_id for twin in twins)}):
                desk.settle(video_id)
            return counting

    def shots(self, lease: Lease) -> tuple[Shot, ...]:
        with self._desk() as desk:
            leases.require_held(desk, lease)
            return tuple(row.shot for row in desk.state.rows_of(lease.video_id) if row.shot)

    def clips(self, lease: Lease) -> list[tuple[RenderJob, Clip]]:
        with self._desk() as desk:
            leases.require_held(desk, lease)
            places = {row.row_id: n for n, row in enumerate(desk.state.rows_of(lease.video_id))}
            jobs = desk.state.jobs_of(lease.video_id)
            jobs.sort(key=lambda job: (places[job.job.row_id], job.job.index))
            return [(job.job, desk.state.clips[job.render_key]) for job in jobs]

    def checking(self, lease: Lease) -> None:
        with self._desk() as desk:
            leases.require_held(desk, lease)
            video = desk.state.videos[lease.video_id]
            if video.state is not VideoState.CHECKING:
                desk.move_video(video, VideoState.CHECKING)

    def publish(self, lease: Lease, publication: Publication) -> None:
        with self._desk() as desk:
            attempt = leases.held(desk, lease)
            if attempt is None:
                leases.answered(desk, lease, "publish")
                return
            video = desk.state.videos[lease.video_id]
            if desk.state.campaigns[lease.campaign_id].cancelling:
                desk.withdraw(lease.attempt_id, "the campaign was cancelled before the video was published")
                desk.free_video(video)
                raise LeaseLost(f"the campaign of video {video.video_id} is being cancelled", fix="drop the work")
            desk.move_video(video, VideoState.PUBLISHED)
            desk.end(attempt, "publish", Ending.OK)
            video.publication, video.attempt_id = publication, None

    def fail(self, lease: Lease, failure: Failure, *, device_s: float = 0.0) -> Decision:
        with self._desk() as desk:
            attempt = leases.held(desk, lease)
            if attempt is not None:
                return leases.end_badly(desk, attempt, failure, verb="fail", device_s=device_s)
            decision = leases.answered(desk, lease, "fail").decision
            assert decision is not None
            return decision

    def release(self, lease: Lease, failure: Failure, *, device_s: float = 0.0) -> None:
        if failure.ending not in INTERRUPTIONS:
            raise Permanent(f"release was called with the ending {failure.ending}, which uses up an attempt")
        with self._desk() as desk:
            attempt = leases.held(desk, lease)
            if attempt is None:
                leases.answered(desk, lease, "release")
                return
            desk.end(attempt, "release", failure.ending, failure=failure, device_s=device_s)
            if lease.kind is LeaseKind.JOIN:
                desk.free_video(desk.state.videos[lease.video_id])
            else:
                desk.move_job(desk.state.jobs[int(lease.subject)], JobState.QUEUED)
                desk.settle(lease.video_id)

    def clip_vanished(self, lease: Lease, render_key: str) -> None:
        with self._desk() as desk:
            attempt, state = leases.held(desk, lease), desk.state
            if attempt is None:
                leases.answered(desk, lease, "clip_vanished")
                return
            why = Failure.of(Ending.CANCELLED, f"clip {render_key} is gone from the store", phase="join")
            desk.end(attempt, "clip_vanished", Ending.CANCELLED, failure=why)
            desk.free_video(state.videos[lease.video_id])
            state.clips.pop(render_key, None)
            for job in [j for j in state.live_jobs() if j.render_key == render_key]:
                video = state.videos[job.video_id]
                if video.state in VIDEO_TERMINAL or job.state is not JobState.RENDERED:
                    continue
                if video.attempt_id is not None:
                    desk.withdraw(video.attempt_id, "a clip of the video is gone from the store")
                    video.attempt_id, video.epoch = None, video.epoch + 1
                desk.queue_again(job)
                desk.settle(video.video_id)

    # -- operators -----------------------------------------------------------------------------------------------------

    def reap(self) -> ReapReport:
        with self._desk() as desk:
            return leases.reap(desk, None)

    def cancel(self, campaign_id: str, *, dry_run: bool = False) -> Change:
        with self._desk(keep=not dry_run) as desk:
            campaign = looks.find(desk.state, campaign_id)
            if campaign.cancelling:
                return Change()
            change = self.pending(campaign_id)
            desk.move_campaign(campaign, CampaignState.CANCELLING)
            for video in desk.state.campaign_videos(campaign_id):
                if video.state not in VIDEO_TERMINAL:
                    desk.settle(video.video_id)
                    video.epoch += video.state is VideoState.CANCELLED
            return change

    def finish_cancel(self, campaign_id: str) -> bool:
        with self._desk() as desk:
            campaign = looks.find(desk.state, campaign_id)
            if campaign.state is not CampaignState.CANCELLING:
                return campaign.state is CampaignState.CANCELLED
            leases.reap(desk, campaign_id)
            if any(attempt.campaign_id == campaign_id for attempt in desk.state.under_way()):
                return False
            desk.move_campaign(campaign, CampaignState.CANCELLED)
            return True

    def retry(
        self,
        campaign_id: str,
        *,
        row_ids: Sequence[str] = (),
        states: Sequence[VideoState] = (VideoState.FAILED,),
        dry_run: bool = False,
    ) -> Change:
        with self._desk(keep=not dry_run) as desk:
            campaign = looks.find(desk.state, campaign_id)
            if campaign.state is CampaignState.CANCELLING:
                raise Refused(f"campaign {campaign.name} is being cancelled", fix="wait, then retry")
            chosen = _chosen_videos(desk.state, campaign_id, row_ids, states)
            if chosen and campaign.state in CAMPAIGN_ENDED:
                desk.move_campaign(campaign, CampaignState.RUNNING)
            for video in chosen:
                for job in desk.state.jobs_of(video.video_id):
                    if job.state in (JobState.FAILED, JobState.QUARANTINED, JobState.CANCELLED):
                        desk.queue_again(job)
                desk.begin_again(video)
                desk.agree_with_clips(video.video_id)
                desk.settle(video.video_id)
            return looks.change_of(desk.state, chosen, (JobState.QUEUED,))

    # -- those who look ------------------------------------------------------------------------------------------------

    def counts(self, campaign_id: str) -> Counts:
        with self._desk() as desk:
            return looks.counts(desk.state, campaign_id)

    def waiting(self, campaign_id: str) -> dict[WaitingReason, int]:
        with self._desk() as desk:
            jobs = [job for job in desk.state.campaign_jobs(campaign_id) if job.state is JobState.QUEUED]
            return dict(Counter(looks.reason_of(desk.state, job, now=desk.now) for job in jobs))

    def rows(
        self, campaign_id: str, *, states: Sequence[VideoState] = (), after: int = -1, limit: int | None = None
    ) -> Iterator[RowStatus]:
        with self._desk() as desk:
            found = [looks.row_status(desk.state, row) for row in desk.state.campaign_rows(campaign_id)]
        wanted = [row for row in found if row.position > after and (not states or row.state in states)]
        yield from wanted[:limit]

    def slices(self, campaign_id: str, parts: int) -> list[SliceCount]:
        with self._desk() as desk:
            return slices.slices(desk.state, campaign_id, parts)

    def ended(self, campaign_id: str, *, after: float, limit: int) -> list[EndedVideo]:
        with self._desk() as desk:
            return slices.ended(desk.state, campaign_id, after=after, limit=limit)

    def explain(self, campaign_id: str, row_id: str) -> Explanation:
        with self._desk() as desk:
            return looks.explain(desk.state, campaign_id, row_id, now=desk.now)

    def pending(self, campaign_id: str) -> Change:
        with self._desk() as desk:
            videos = [v for v in desk.state.campaign_videos(campaign_id) if v.state not in VIDEO_TERMINAL]
            return looks.change_of(desk.state, videos, (JobState.QUEUED, JobState.LEASED))

    def workers(self, campaign_id: str | None = None) -> list[WorkerStatus]:
        with self._desk() as desk:
            found = [a for a in desk.state.under_way() if campaign_id in (None, a.campaign_id)]
            found.sort(key=lambda attempt: (attempt.worker, attempt.started_at))
            return [looks.worker_status(attempt) for attempt in found]

    def referenced_keys(self, *, after: str = "", limit: int = 1000) -> list[str]:
        with self._desk() as desk:
            return sorted(key for key in looks.references(desk.state) if key > after)[:limit]

    def now(self) -> float:
        return self._clock()

    def close(self) -> None:
        """Nothing to give back."""


def _chosen_videos(
    state: State, campaign_id: str, row_ids: Sequence[str], states: Sequence[VideoState]
) -> list[VideoEntry]:
    found = {row_id: state.row(campaign_id, row_id) for row_id in row_ids}
    missing = [row_id for row_id, row in found.items() if row is None]
    if missing:
        raise NotFound(f"the campaign has no row {', '.join(missing)}", fix="`callsheet rows` lists them")
    named = {row.video_id for row in found.values() if row is not None}
    wanted = set(states) & _RETRIABLE
    return [v for v in state.campaign_videos(campaign_id) if v.state in wanted and (not row_ids or v.video_id in named)]
