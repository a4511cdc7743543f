"""What those who look see in a MemoryLedger."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from schemas.campaign import Campaign
from schemas.errors import NotFound
from schemas.states import CampaignState, Ending, JobState, VideoState, WaitingReason
from schemas.status import Change, Counts, Explanation, JobStatus, RowStatus, WorkerStatus
from storage.ledger import rules
from storage.ledger.difference import SHOWN
from storage.ledger.memory.state import AttemptEntry, CampaignEntry, JobEntry, RowEntry, State, VideoEntry
from storage.ledger.pointers import publication_keys, shot_keys


def find(state: State, name_or_id: str) -> CampaignEntry:
    """By id, else by name. Raises NotFound, naming the campaigns that exist."""
    if name_or_id in state.campaigns:
        return state.campaigns[name_or_id]
    named = [campaign for campaign in state.campaigns.values() if campaign.name == name_or_id]
    if len(named) == 1:
        return named[0]
    known = named or list(state.campaigns.values())
    words = ", ".join(sorted(c.campaign_id if named else c.name for c in known))
    raise NotFound(f"{len(named) or 'no'} campaigns are called {name_or_id!r}", fix=f"choose from {words or 'none'}")


def to_campaign(entry: CampaignEntry) -> Campaign:
    return Campaign(
        campaign_id=entry.campaign_id,
        name=entry.name,
        team=entry.team,
        state=entry.state,
        settings=entry.settings,
        manifest=entry.manifest,
        revision=entry.revision,
        created_at=entry.created_at,
        updated_at=entry.updated_at,
        coordinator=entry.coordinator,
        coordinator_epoch=entry.coordinator_epoch,
    )


def counts(state: State, campaign_id: str) -> Counts:
    videos = state.campaign_videos(campaign_id)
    jobs = state.campaign_jobs(campaign_id)
    rows = Counter(state.videos[row.video_id].state for row in state.campaign_rows(campaign_id))
    rendered = [job for job in jobs if job.state is JobState.RENDERED]
    attempts = [a for a in state.attempts.values() if a.campaign_id == campaign_id]
    return Counts(
        rows=sum(rows.values()),
        videos=dict(Counter(video.state for video in videos)),
        rows_by_video_state=dict(rows),
        jobs=dict(Counter(job.state for job in jobs)),
        clip_frames_done=sum(job.job.request.keep_frames for job in rendered),
        clip_frames_total=sum(job.job.request.keep_frames for job in jobs),
        reused=sum(job.reused for job in rendered),
        device_s=sum(a.device_s for a in attempts),
        wasted_device_s=sum(a.device_s for a in attempts if a.ending not in (None, Ending.OK)),
    )


def row_status(state: State, row: RowEntry) -> RowStatus:
    video = state.videos[row.video_id]
    attempts = [a for a in state.attempts.values() if a.video_id == video.video_id]
    mine = [a for a in attempts if a.row_id == row.row_id]
    code, error = video.error_code, video.error
    if row.problems:
        code, error = row.problems[0].code.value, row.problems[0].message
    return RowStatus(
        row_id=row.row_id,
        line=row.line,
        position=row.position,
        byte_start=row.byte_start,
        byte_end=row.byte_end,
        video_id=video.video_id,
        video=video.name,
        state=video.state,
        seed=row.shot.seed if row.shot else None,
        shot=row.shot,
        problems=row.problems,
        publication=video.publication,
        attempts=len(mine),
        device_s=sum(a.device_s for a in mine),
        error_code=code,
        error=error,
        started_at=min((a.started_at for a in attempts), default=None),
        ended_at=video.ended_at,
    )


def reason_of(state: State, job: JobEntry, *, now: float) -> WaitingReason:
    return rules.waiting_reason(
        state.campaigns[job.campaign_id].state,
        now=now,
        not_before=job.not_before,
        due_at=job.due_at,
        twin_leased=state.twin_is_leased(job),
    )


def explain(state: State, campaign_id: str, row_id: str, *, now: float) -> Explanation:
    campaign = find(state, campaign_id)
    row = state.row(campaign.campaign_id, row_id)
    if row is None:
        raise NotFound(f"campaign {campaign.name} has no row {row_id!r}", fix="`callsheet rows` lists them")
    jobs = sorted((j for j in state.jobs_of(row.video_id) if j.job.row_id == row_id), key=lambda j: j.job.index)
    attempts = [a for a in state.attempts.values() if a.video_id == row.video_id and a.row_id in (row_id, "")]
    attempts.sort(key=lambda a: (a.started_at, a.epoch, a.attempt_id))
    reason, until, ahead = _obstacle(state, campaign.state, state.videos[row.video_id], jobs, now)
    return Explanation(
        campaign=to_campaign(campaign),
        row=row_status(state, row),
        jobs=tuple(_job_status(state, job) for job in jobs),
        attempts=tuple(a.to_attempt() for a in attempts),
        reason=reason,
        until=until,
        ahead=ahead,
    )


def _obstacle(
    state: State, campaign: CampaignState, video: VideoEntry, jobs: Sequence[JobEntry], now: float
) -> tuple[WaitingReason | None, float | None, int]:
    queued = min(
        (job for job in jobs if job.state is JobState.QUEUED), key=lambda j: (j.order_key, j.job_id), default=None
    )
    if queued is not None:
        reason = reason_of(state, queued, now=now)
        return reason, _until(reason, queued.due_at), _ahead(state, queued, now)
    if video.state in (VideoState.WAITING, VideoState.RENDERING):
        busy = any(job.state is JobState.LEASED for job in jobs)
        return (None if busy else WaitingReason.DEPENDENCY), None, 0
    if video.state is VideoState.STITCHING and video.attempt_id is None:
        reason = rules.waiting_reason(campaign, now=now, not_before=0.0, due_at=video.due_at)
        return reason, _until(reason, video.due_at), 0
    return None, None, 0


def _until(reason: WaitingReason, due_at: float) -> float | None:
    return due_at if reason in (WaitingReason.BACKOFF, WaitingReason.NOT_BEFORE) else None


def _ahead(state: State, queued: JobEntry, now: float) -> int:
    return sum(
        job.state is JobState.QUEUED
        and job.pool == queued.pool
        and job.due_at <= now
        and not rules.is_held(state.campaigns[job.campaign_id].state)
        and (job.order_key, job.job_id) < (queued.order_key, queued.job_id)
        for job in state.live_jobs()
    )


def _job_status(state: State, job: JobEntry) -> JobStatus:
    attempt = state.attempts.get(job.attempt_id or "")
    clip = state.clips.get(job.render_key) if job.state is JobState.RENDERED else None
    return JobStatus(
        job_id=str(job.job_id),
        state=job.state,
        epoch=job.epoch,
        job=job.job,
        worker=attempt.worker if attempt else "",
        phase=attempt.phase if attempt else "",
        done=attempt.done if attempt else 0,
        total=attempt.total if attempt else 0,
        not_before=job.due_at,
        reused=job.reused,
        clip_key=clip.object.key if clip else "",
    )


def worker_status(attempt: AttemptEntry) -> WorkerStatus:
    return WorkerStatus(
        worker=attempt.worker,
        pool=attempt.pool,
        lease_subject=attempt.subject,
        campaign_id=attempt.campaign_id,
        row_id=attempt.row_id,
        phase=attempt.phase,
        done=attempt.done,
        total=attempt.total,
        seen_at=attempt.seen_at,
        expires_at=attempt.expires_at,
    )


def change_of(state: State, videos: Iterable[VideoEntry], job_states: Sequence[JobState]) -> Change:
    ids = {video.video_id for video in videos}
    rows = sorted((row for video_id in ids for row in state.rows_of(video_id)), key=lambda r: (r.position, r.row_id))
    jobs = [job for job in state.live_jobs() if job.video_id in ids and job.state in job_states]
    return Change(
        rows=len(rows),
        videos=len(ids),
        jobs=len(jobs),
        device_s=sum(job.job.estimated_s for job in jobs),
        row_ids=tuple(row.row_id for row in rows[:SHOWN]),
    )


def references(state: State) -> set[str]:
    """Store keys that some row, clip, publication or manifest points to."""
    keys = {clip.object.key for clip in state.clips.values()}
    keys |= {campaign.manifest.object.key for campaign in state.campaigns.values() if campaign.manifest}
    for row in state.rows.values():
        keys |= shot_keys(row.shot) if row.shot else set()
    for video in state.videos.values():
        keys |= publication_keys(video.publication) if video.publication else set()
    return keys
