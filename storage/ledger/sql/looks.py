"""What those who look see: counts, reasons, workers. Each is one indexed aggregate over a consistent snapshot."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import BindParameter

from schemas.states import CampaignState, Ending, JobState, VideoState, WaitingReason
from schemas.status import Counts, WorkerStatus
from storage.ledger import rules
from storage.ledger.sql.database import Tx
from storage.ledger.tables import LEASED_JOB, LIVE_ATTEMPT, attempt, campaign, job, live, video

_MINE: BindParameter[str] = sa.bindparam("campaign")
_VIDEO_COUNTS = (
    sa.select(video.c.state, sa.func.count().label("n"), sa.func.sum(video.c.rows).label("rows"))
    .where(video.c.campaign_id == _MINE, live(video))
    .group_by(video.c.state)
)
_JOB_COUNTS = (
    sa.select(job.c.state, job.c.reused, sa.func.count().label("n"), sa.func.sum(job.c.frames).label("frames"))
    .where(job.c.campaign_id == _MINE, live(job))
    .group_by(job.c.state, job.c.reused)
)
_COST = (
    sa.select(attempt.c.ending, sa.func.sum(attempt.c.device_s).label("device_s"))
    .where(attempt.c.campaign_id == _MINE)
    .group_by(attempt.c.ending)
)


def counts(tx: Tx, campaign_id: str) -> Counts:
    videos: dict[VideoState, int] = {}
    rows: dict[VideoState, int] = {}
    for record in tx.rows(_VIDEO_COUNTS, campaign=campaign_id):
        videos[VideoState(record["state"])] = record["n"]
        rows[VideoState(record["state"])] = record["rows"]
    jobs: dict[JobState, int] = {}
    frames_done = frames_total = reused = 0
    for record in tx.rows(_JOB_COUNTS, campaign=campaign_id):
        state = JobState(record["state"])
        jobs[state] = jobs.get(state, 0) + record["n"]
        frames_total += record["frames"]
        if state is JobState.RENDERED:
            frames_done += record["frames"]
            reused += record["n"] if record["reused"] else 0
    device_s = wasted = 0.0
    for record in tx.rows(_COST, campaign=campaign_id):
        device_s += record["device_s"]
        wasted += record["device_s"] if record["ending"] not in (None, Ending.OK.value) else 0.0
    return Counts(
        rows=sum(rows.values()),
        videos=videos,
        rows_by_video_state=rows,
        jobs=jobs,
        clip_frames_done=frames_done,
        clip_frames_total=frames_total,
        reused=reused,
        device_s=device_s,
        wasted_device_s=wasted,
    )


def waiting(tx: Tx, campaign_id: str) -> dict[WaitingReason, int]:
    """How many queued jobs wait for what; the sum is the number of queued jobs."""
    state = tx.scalar(sa.select(campaign.c.state).where(campaign.c.campaign_id == campaign_id))
    held = rules.held_because(CampaignState(state)) if state else None
    # Leased keys are few and queued jobs many: asked this way round, the few are looked up once.
    twin = job.alias("twin")
    leased = sa.select(twin.c.render_key).where(sa.text("twin.state = 'leased'"))
    obstacle = sa.case(
        (sa.and_(job.c.due_at > tx.now, job.c.due_at > job.c.not_before), WaitingReason.BACKOFF.value),
        (job.c.due_at > tx.now, WaitingReason.NOT_BEFORE.value),
        (job.c.render_key.in_(leased), WaitingReason.DEPENDENCY.value),
        else_=WaitingReason.CAPACITY.value,
    )
    reason = obstacle if held is None else sa.literal(held.value)
    inner = (
        sa.select(reason.label("reason"))
        .where(job.c.campaign_id == campaign_id, job.c.state == JobState.QUEUED.value, live(job))
        .subquery()
    )
    found = tx.rows(sa.select(inner.c.reason, sa.func.count().label("n")).group_by(inner.c.reason))
    return {WaitingReason(record["reason"]): record["n"] for record in found}


def workers(tx: Tx, campaign_id: str | None) -> list[WorkerStatus]:
    """Those that hold a lease now, by name."""
    found = sa.select(
        attempt.c.worker,
        attempt.c.pool,
        attempt.c.subject.label("lease_subject"),
        attempt.c.campaign_id,
        attempt.c.row_id,
        attempt.c.phase,
        attempt.c.done,
        attempt.c.total,
        attempt.c.seen_at,
        attempt.c.expires_at,
    ).where(sa.text(LIVE_ATTEMPT))
    if campaign_id is not None:
        found = found.where(attempt.c.campaign_id == campaign_id)
    order = (attempt.c.worker, attempt.c.started_at)
    return [WorkerStatus(**record) for record in tx.rows(found.order_by(*order))]


def twin_is_leased(tx: Tx, render_key: str) -> bool:
    leased = sa.select(job.c.job_id).where(job.c.render_key == render_key, sa.text(LEASED_JOB))
    return tx.first(leased) is not None
