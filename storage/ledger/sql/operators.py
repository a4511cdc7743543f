"""What a person or a sweep does to work: cancel, retry, reap. Each raises the epochs of what it touches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import ColumnElement

from schemas.errors import NotFound, Refused
from schemas.lease import Lease, LeaseKind
from schemas.retry import Verdict
from schemas.states import CAMPAIGN_ENDED, VIDEO_TERMINAL, CampaignState, JobState, VideoState
from schemas.status import Change
from storage.ledger import rules
from storage.ledger.difference import SHOWN
from storage.ledger.sql import campaigns
from storage.ledger.sql.database import Tx, chunks
from storage.ledger.sql.endings import end_badly
from storage.ledger.sql.fences import end_attempt, hold
from storage.ledger.sql.moves import agree_with_clips, move_jobs, move_videos, queue_again, settle
from storage.ledger.sql.prepared import Prepared, Record
from storage.ledger.sql.references import forget, video_holder
from storage.ledger.tables import LIVE_ATTEMPT, attempt, job, live, row, video

RETRIABLE = VIDEO_TERMINAL - {VideoState.INVALID}
_UNSTARTED = (VideoState.WAITING, VideoState.RENDERING, VideoState.STITCHING, VideoState.CHECKING)


# -- cancel ------------------------------------------------------------------------------------------------------------


def cancel(tx: Tx, campaign_id: str) -> Change:
    """Write the intent; what is leased goes on until its next heartbeat."""
    record = campaigns.lock(tx, campaign_id)
    if CampaignState(record["state"]) in (CampaignState.CANCELLING, CampaignState.CANCELLED):
        return Change()
    change = unfinished(tx, campaign_id)
    campaigns.move(tx, record, CampaignState.CANCELLING)
    _cancel_idle(tx, campaign_id)
    return change


def _cancel_idle(tx: Tx, campaign_id: str) -> None:
    mine = (job.c.campaign_id == campaign_id, live(job))
    move_jobs(tx, JobState.QUEUED, JobState.CANCELLED, *mine, epoch=job.c.epoch + 1)
    leased = sa.select(job.c.video_id).where(*mine, job.c.state == JobState.LEASED.value)
    for source in _UNSTARTED:
        move_videos(
            tx,
            source,
            VideoState.CANCELLED,
            video.c.campaign_id == campaign_id,
            live(video),
            video.c.attempt_id.is_(None),
            video.c.video_id.not_in(leased),
            epoch=video.c.epoch + 1,
        )


def finish_cancel(tx: Tx, campaign_id: str) -> bool:
    record = campaigns.lock(tx, campaign_id)
    state = CampaignState(record["state"])
    if state is not CampaignState.CANCELLING:
        return state is CampaignState.CANCELLED
    alive = tx.first(
        sa.select(attempt.c.attempt_id).where(attempt.c.campaign_id == campaign_id, sa.text(LIVE_ATTEMPT)).limit(1)
    )
    if alive is None:
        campaigns.move(tx, record, CampaignState.CANCELLED)
    return alive is None


def unfinished(tx: Tx, campaign_id: str) -> Change:
    """What a campaign has left to do: videos not ended, clips not rendered, their estimated device time."""
    ended = [state.value for state in VIDEO_TERMINAL]
    return _change(
        tx,
        (video.c.campaign_id == campaign_id, live(video), video.c.state.not_in(ended)),
        (JobState.QUEUED, JobState.LEASED),
    )


def _change(tx: Tx, videos: Sequence[ColumnElement[bool]], jobs: Sequence[JobState]) -> Change:
    touched = tx.first(sa.select(sa.func.count().label("n"), sa.func.sum(video.c.rows).label("rows")).where(*videos))
    ids = sa.select(video.c.video_id).where(*videos)
    work = tx.first(
        sa.select(sa.func.count().label("n"), sa.func.sum(job.c.estimated_s).label("device_s")).where(
            job.c.video_id.in_(ids), live(job), job.c.state.in_([state.value for state in jobs])
        )
    )
    shown = tx.conn.scalars(
        sa.select(row.c.row_id)
        .where(row.c.video_id.in_(ids), live(row))
        .order_by(row.c.position, row.c.row_id)
        .limit(SHOWN)
    )
    assert touched is not None
    assert work is not None
    return Change(
        rows=touched["rows"] or 0,
        videos=touched["n"],
        jobs=work["n"],
        device_s=work["device_s"] or 0.0,
        row_ids=tuple(shown),
    )


# -- retry -------------------------------------------------------------------------------------------------------------


def retry(tx: Tx, campaign_id: str, *, row_ids: Sequence[str], states: Sequence[VideoState]) -> Change:
    """Queue what was lost in a new round; rendered clips that still exist are kept."""
    record = campaigns.lock(tx, campaign_id)
    source = CampaignState(record["state"])
    if source is CampaignState.CANCELLING:
        raise Refused(f"campaign {record['name']} is being cancelled", fix="wait until it is cancelled, then retry")
    video_ids = _chosen_videos(tx, campaign_id, row_ids, states)
    if not video_ids:
        return Change()
    if source in CAMPAIGN_ENDED:
        campaigns.move(tx, record, CampaignState.RUNNING)
    for ids in chunks(video_ids):
        mine = (job.c.video_id.in_(ids), live(job))
        for lost in (JobState.FAILED, JobState.QUARANTINED, JobState.CANCELLED):
            queue_again(tx, lost, *mine)
        tx.run(
            sa.update(video)
            .where(video.c.video_id.in_(ids))
            .values(
                epoch=video.c.epoch + 1,
                round=video.c.round + 1,
                publication=None,
                error_code="",
                error="",
                error_blame="",
                due_at=0.0,
            )
        )
    forget(tx, [video_holder(video_id) for video_id in video_ids])
    agree_with_clips(tx, video_ids)
    settle(tx, video_ids)
    return _sum(_change(tx, (video.c.video_id.in_(ids),), (JobState.QUEUED,)) for ids in chunks(video_ids))


def _chosen_videos(tx: Tx, campaign_id: str, row_ids: Sequence[str], states: Sequence[VideoState]) -> list[str]:
    wanted = [state.value for state in states if state in RETRIABLE]
    mine = (video.c.campaign_id == campaign_id, live(video), video.c.state.in_(wanted))
    if not row_ids:
        return list(tx.conn.scalars(sa.select(video.c.video_id).where(*mine).order_by(video.c.video_id)))
    owners: dict[str, str] = {}
    for some in chunks(dict.fromkeys(row_ids)):
        found = tx.rows(
            sa.select(row.c.row_id, row.c.video_id).where(
                row.c.campaign_id == campaign_id, row.c.row_id.in_(some), live(row)
            )
        )
        owners |= {record["row_id"]: record["video_id"] for record in found}
    missing = [row_id for row_id in row_ids if row_id not in owners]
    if missing:
        raise NotFound(f"the campaign has no row {', '.join(missing[:20])}", fix="`callsheet rows` lists them")
    chosen: list[str] = []
    for some in chunks(sorted(set(owners.values()))):
        chosen += tx.conn.scalars(sa.select(video.c.video_id).where(*mine, video.c.video_id.in_(some)))
    return sorted(chosen)


def _sum(parts: Any) -> Change:
    total = Change()
    for part in parts:
        total = Change(
            rows=total.rows + part.rows,
            videos=total.videos + part.videos,
            jobs=total.jobs + part.jobs,
            device_s=total.device_s + part.device_s,
            row_ids=(*total.row_ids, *part.row_ids)[:SHOWN],
        )
    return total


# -- reap --------------------------------------------------------------------------------------------------------------


_EXPIRED = Prepared(
    sa.select(
        attempt.c.attempt_id,
        attempt.c.kind,
        attempt.c.subject,
        attempt.c.campaign_id,
        attempt.c.video_id,
        attempt.c.epoch,
        attempt.c.worker,
        attempt.c.expires_at,
        attempt.c.ttl,
        attempt.c.phase,
        attempt.c.seen_at,
    )
    .where(sa.text(LIVE_ATTEMPT), attempt.c.expires_at <= sa.bindparam("tx_now"))
    .order_by(attempt.c.expires_at)
)


def expired(tx: Tx) -> Sequence[Record]:
    """Attempts under way whose time is over, longest overdue first."""
    return tx.rows(_EXPIRED, tx_now=tx.now)


def end_lost(tx: Tx, found: Record) -> JobState | VideoState | None:
    """End one expired attempt as `lost` and raise the epoch of its work; what the work is then.

    None: somebody was quicker, or its worker renewed it meanwhile.
    """
    lease = Lease(
        kind=LeaseKind(found["kind"]),
        **{name: found[name] for name in ("subject", "campaign_id", "video_id", "epoch", "attempt_id", "worker")},
        expires_at=found["expires_at"],
        ttl=found["ttl"],
    )
    held = hold(tx, lease)
    late = tx.scalar(
        sa.select(attempt.c.expires_at).where(attempt.c.attempt_id == lease.attempt_id, sa.text(LIVE_ATTEMPT))
    )
    if late is None or late > tx.now:
        return None
    silent_s = tx.now - found["seen_at"]
    failure = rules.lost(worker=lease.worker, silent_s=silent_s, ttl=lease.ttl, phase=found["phase"])
    if held is None:
        # A restored database may know of a try at work that it does not know to be leased: it is over all the same.
        end_attempt(tx, attempt.c.attempt_id == lease.attempt_id, verb="reap", failure=failure)
        return None
    decision = end_badly(tx, held, failure, verb="reap")
    if lease.kind is LeaseKind.JOIN:
        tx.run(sa.update(video).where(video.c.video_id == lease.video_id).values(epoch=video.c.epoch + 1))
        return VideoState.STITCHING if decision.verdict is Verdict.RETRY else VideoState.FAILED
    tx.run(sa.update(job).where(job.c.job_id == held.subject["job_id"]).values(epoch=job.c.epoch + 1))
    return JobState(tx.scalar(sa.select(job.c.state).where(job.c.job_id == held.subject["job_id"])))
