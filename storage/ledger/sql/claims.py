"""Leasing: the next piece of work for a worker, in one `UPDATE ... RETURNING`."""

from __future__ import annotations

from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy import CTE, Select

from schemas.errors import LeaseLost
from schemas.job import RenderJob
from schemas.lease import Lease, LeaseKind, Progress, Signal, WorkerIdentity
from schemas.states import CampaignState, JobState, VideoState
from storage.ledger import gate
from storage.ledger.sql import fences
from storage.ledger.sql.database import Tx
from storage.ledger.sql.moves import move_jobs, settle
from storage.ledger.sql.prepared import Prepared, Record
from storage.ledger.sql.records import to_job
from storage.ledger.tables import CLAIMABLE_JOB, JOINABLE_VIDEO, LIVE_ATTEMPT, attempt, campaign, clip, job, video

_twin = job.alias("twin")
TWIN_IS_LEASED = sa.exists().where(_twin.c.render_key == job.c.render_key, sa.text("twin.state = 'leased'"))
"""A job of the same render key is under way, in any campaign."""


_MINE = Prepared(sa.select(attempt.c.attempt_id).where(attempt.c.attempt_id == sa.bindparam("mine")))


def claim(
    tx: Tx, worker: WorkerIdentity, kind: LeaseKind, *, ttl: float, attempt_id: str, again: bool = False
) -> Lease | None:
    """The next piece of work under the given attempt id.

    The same id `again` answers with the same lease: a claim whose commit had an unknown outcome leaves no orphan.
    """
    if again and tx.first(_MINE, mine=attempt_id):
        return _lease_again(tx, attempt_id)
    if kind is LeaseKind.JOIN:
        return _claim_join(tx, worker, ttl, attempt_id)
    return _claim_render(tx, worker, ttl, attempt_id)


def peek(tx: Tx, worker: WorkerIdentity) -> RenderJob | None:
    """What `claim` would most likely give next; nothing is locked."""
    statement = _peek_statement(warm=bool(worker.warm_bucket), of_campaign=bool(worker.campaign_id))
    text = tx.scalar(statement, **wishes(worker, tx))
    return to_job(text) if text is not None else None


@cache
def _renewal(kind: LeaseKind) -> Prepared:
    fence = fences.JOB_FENCE if kind is LeaseKind.RENDER else fences.VIDEO_FENCE
    return Prepared(
        sa.update(attempt)
        .where(
            attempt.c.attempt_id == sa.bindparam("lease_attempt"),
            attempt.c.epoch == sa.bindparam("lease_epoch"),
            sa.text(LIVE_ATTEMPT),
            sa.exists().where(*fence),
        )
        .values(
            expires_at=sa.bindparam("new_expiry"),
            seen_at=sa.bindparam("tx_now"),
            phase=sa.bindparam("new_phase"),
            done=sa.bindparam("new_done"),
            total=sa.bindparam("new_total"),
            device_s=fences.SPENT_AT_LEAST,
        )
    )


_CAMPAIGN_STATE = Prepared(sa.select(campaign.c.state).where(campaign.c.campaign_id == sa.bindparam("campaign")))


def heartbeat(tx: Tx, lease: Lease, progress: Progress, *, device_s: float) -> tuple[Lease, Signal]:
    """Renew for the lease's own ttl; a late one is renewed too when nobody took the work meanwhile."""
    expires_at = tx.now + lease.ttl
    touched = tx.run(
        _renewal(lease.kind),
        **(fences.of_job(lease) if lease.kind is LeaseKind.RENDER else fences.of_video(lease)),
        new_expiry=expires_at,
        tx_now=tx.now,
        new_phase=progress.phase,
        new_done=progress.done,
        new_total=progress.total,
        spent=device_s,
    )
    if not touched:
        raise fences.lost(lease)
    state = tx.scalar(_CAMPAIGN_STATE, campaign=lease.campaign_id)
    stop = state in (CampaignState.CANCELLING.value, CampaignState.CANCELLED.value)
    return lease.model_copy(update={"expires_at": expires_at}), Signal.CANCEL if stop else Signal.CONTINUE


# -- render ------------------------------------------------------------------------------------------------------------

_HAS_CLIP = Prepared(sa.select(clip.c.render_key).where(clip.c.render_key == sa.bindparam("key")))

gate.video_step(VideoState.WAITING, VideoState.RENDERING)
_VIDEO_RENDERS = Prepared(
    sa.update(video)
    .where(
        video.c.video_id == sa.bindparam("its_video"),
        # One that renders already is written as it is, and so locked: a sibling that is just ending counts this job
        # as leased, or its outcome is seen here.
        video.c.state.in_([VideoState.WAITING.value, VideoState.RENDERING.value]),
    )
    .values(state=VideoState.RENDERING.value)
)


def _claim_render(tx: Tx, worker: WorkerIdentity, ttl: float, attempt_id: str) -> Lease | None:
    while True:
        taken = tx.first(claim_statement(worker), **wishes(worker, tx), new_attempt=attempt_id)
        if taken is None:
            return None
        if tx.first(_HAS_CLIP, key=taken["render_key"]) is None:
            break
        # Submitted while its twin was being committed: there is nothing left to render.
        mine = (job.c.job_id == taken["job_id"], job.c.attempt_id == attempt_id)
        move_jobs(tx, JobState.LEASED, JobState.RENDERED, *mine, reused=True)
        settle(tx, [taken["video_id"]])
    tx.run(_VIDEO_RENDERS, its_video=taken["video_id"])
    return _begin_attempt(tx, worker, LeaseKind.RENDER, taken, ttl=ttl, attempt_id=attempt_id)


def claim_statement(worker: WorkerIdentity) -> Prepared:
    """Choose and lease in one statement: of two workers that see the same job, one gets it and one goes on.

    It is bound with `wishes` and `new_attempt`. PostgreSQL locks the chosen row and skips those that others lock;
    SQLite has one writer at a time and leaves the locking clause out.
    """
    return _claim_statement(warm=bool(worker.warm_bucket), of_campaign=bool(worker.campaign_id))


def wishes(worker: WorkerIdentity, tx: Tx) -> dict[str, Any]:
    """What the statements that choose a job are to be told."""
    told: dict[str, Any] = {"wanted_pool": worker.pool, "tx_now": tx.now}
    if worker.warm_bucket:
        told |= {"warm_bucket": worker.warm_bucket, "head_start": tx.options.head_start_s}
    if worker.campaign_id:
        told |= {"wanted_campaign": worker.campaign_id}
    return told


@cache
def _claim_statement(*, warm: bool, of_campaign: bool) -> Prepared:
    chosen = _chosen_job(warm=warm, of_campaign=of_campaign, lock=True)
    return Prepared(
        sa.update(job)
        .where(job.c.job_id == sa.select(chosen.c.job_id).scalar_subquery(), job.c.state == JobState.QUEUED.value)
        .values(state=JobState.LEASED.value, epoch=job.c.epoch + 1, attempt_id=sa.bindparam("new_attempt"))
        .returning(
            job.c.job_id,
            job.c.campaign_id,
            job.c.video_id,
            job.c.row_id,
            job.c.epoch,
            job.c.round,
            job.c.render_key,
            job.c.pool,
            job.c.job,
        )
    )


@cache
def _peek_statement(*, warm: bool, of_campaign: bool) -> Prepared:
    chosen = _chosen_job(warm=warm, of_campaign=of_campaign, lock=False)
    return Prepared(sa.select(job.c.job).where(job.c.job_id == sa.select(chosen.c.job_id).scalar_subquery()))


def _chosen_job(*, warm: bool, of_campaign: bool, lock: bool) -> CTE:
    """At most one job id: of the warm bucket while it is within the head start, else the best of all."""
    candidates = _candidates(of_campaign=of_campaign)
    if not warm:
        return _first(candidates, "chosen", lock=lock)
    best = sa.select(candidates.limit(1).subquery().c.order_key).cte("best")
    limit = sa.select(best.c.order_key + sa.bindparam("head_start")).scalar_subquery()
    in_bucket = (job.c.bucket == sa.bindparam("warm_bucket"), job.c.order_key <= limit)
    first_warm = _first(candidates.where(*in_bucket), "warm", lock=lock)
    no_warm = ~sa.exists(sa.select(first_warm.c.job_id))
    cold = _first(candidates.where(no_warm), "cold", lock=lock)
    return sa.union_all(sa.select(first_warm.c.job_id), sa.select(cold.c.job_id)).cte("chosen")


def _candidates(*, of_campaign: bool) -> Select[Any]:
    """What the worker may be given now, best first."""
    found = sa.select(job.c.job_id, job.c.order_key).where(
        sa.text(CLAIMABLE_JOB),
        job.c.pool == sa.bindparam("wanted_pool"),
        job.c.due_at <= sa.bindparam("tx_now"),
        ~TWIN_IS_LEASED,
    )
    if of_campaign:
        found = found.where(job.c.campaign_id == sa.bindparam("wanted_campaign"))
    return found.order_by(job.c.order_key, job.c.job_id)


def _first(candidates: Select[Any], name: str, *, lock: bool) -> CTE:
    first = candidates.limit(1)
    if lock:
        first = first.with_for_update(skip_locked=True, of=job)
    # Inlined, PostgreSQL may run the sub-select once for each row it looks at, and lock more than one.
    return first.cte(name).prefix_with("MATERIALIZED")


# -- join --------------------------------------------------------------------------------------------------------------


def _claim_join(tx: Tx, worker: WorkerIdentity, ttl: float, attempt_id: str) -> Lease | None:
    told = {"wanted_campaign": worker.campaign_id} if worker.campaign_id else {}
    taken = tx.first(join_statement(worker), tx_now=tx.now, new_attempt=attempt_id, **told)
    if taken is None:
        return None
    return _begin_attempt(tx, worker, LeaseKind.JOIN, taken, ttl=ttl, attempt_id=attempt_id)


def join_statement(worker: WorkerIdentity) -> Prepared:
    """As `claim_statement`, for the next video whose clips are all there."""
    return _join_statement(of_campaign=bool(worker.campaign_id))


@cache
def _join_statement(*, of_campaign: bool) -> Prepared:
    ready = sa.select(video.c.video_id).where(sa.text(JOINABLE_VIDEO), video.c.due_at <= sa.bindparam("tx_now"))
    if of_campaign:
        ready = ready.where(video.c.campaign_id == sa.bindparam("wanted_campaign"))
    first = ready.order_by(video.c.order_key, video.c.video_id).limit(1).with_for_update(skip_locked=True, of=video)
    chosen = first.cte("chosen").prefix_with("MATERIALIZED")
    return Prepared(
        sa.update(video)
        .where(video.c.video_id == sa.select(chosen.c.video_id).scalar_subquery(), video.c.attempt_id.is_(None))
        .values(epoch=video.c.epoch + 1, attempt_id=sa.bindparam("new_attempt"))
        .returning(video.c.video_id, video.c.campaign_id, video.c.epoch, video.c.round)
    )


# -- both --------------------------------------------------------------------------------------------------------------


def _begin_attempt(
    tx: Tx, worker: WorkerIdentity, kind: LeaseKind, taken: Record, *, ttl: float, attempt_id: str
) -> Lease:
    render = kind is LeaseKind.RENDER
    lease = Lease(
        kind=kind,
        subject=str(taken["job_id"]) if render else taken["video_id"],
        campaign_id=taken["campaign_id"],
        video_id=taken["video_id"],
        epoch=taken["epoch"],
        attempt_id=attempt_id,
        worker=worker.worker,
        expires_at=tx.now + ttl,
        ttl=ttl,
        job=to_job(taken["job"]) if render else None,
    )
    tx.insert(
        attempt,
        [
            {
                "attempt_id": attempt_id,
                "kind": kind.value,
                "subject": lease.subject,
                "campaign_id": lease.campaign_id,
                "video_id": lease.video_id,
                "row_id": taken["row_id"] if render else "",
                "worker": worker.worker,
                "pool": taken["pool"] if render else "",
                "epoch": lease.epoch,
                "round": taken["round"],
                "started_at": tx.now,
                "expires_at": lease.expires_at,
                "seen_at": tx.now,
                "ttl": ttl,
                "phase": "",
                "done": 0,
                "total": 0,
                "device_s": 0.0,
                "message": "",
                "wait_s": 0.0,
                "reason": "",
            }
        ],
    )
    return lease


def _lease_again(tx: Tx, attempt_id: str) -> Lease:
    found = tx.first(
        sa.select(
            attempt.c.kind,
            attempt.c.subject,
            attempt.c.campaign_id,
            attempt.c.video_id,
            attempt.c.epoch,
            attempt.c.worker,
            attempt.c.expires_at,
            attempt.c.ttl,
        ).where(attempt.c.attempt_id == attempt_id, sa.text(LIVE_ATTEMPT))
    )
    if found is None:
        raise LeaseLost(f"attempt {attempt_id} ended before its claim was answered", fix="claim again")
    lease = Lease(attempt_id=attempt_id, **{**found, "kind": LeaseKind(found["kind"])})
    if lease.kind is LeaseKind.JOIN:
        return lease
    text = tx.scalar(sa.select(job.c.job).where(job.c.job_id == int(lease.subject)))
    return lease.model_copy(update={"job": to_job(text)})
