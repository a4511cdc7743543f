"""Rows as they stand now, page by page, and the whole story of one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Select

from schemas.attempt import Attempt
from schemas.clip import Publication
from schemas.errors import NotFound
from schemas.lease import LeaseKind
from schemas.shot import Shot
from schemas.states import CampaignState, JobState, VideoState, WaitingReason
from schemas.status import Explanation, JobStatus, RowStatus
from storage.ledger import rules
from storage.ledger.sql import campaigns, looks
from storage.ledger.sql.database import CHUNK, Tx
from storage.ledger.sql.prepared import Record
from storage.ledger.sql.records import to_attempt, to_clip, to_job, to_problems
from storage.ledger.tables import CLAIMABLE_JOB, LIVE_ATTEMPT, attempt, clip, job, live, row, video

Read = Callable[[Callable[[Tx], list[RowStatus]]], list[RowStatus]]


def pages(
    read: Read, campaign_id: str, *, states: Sequence[VideoState], after: int, limit: int | None
) -> Iterator[RowStatus]:
    """Rows in manifest order; each page is a transaction of its own, so a slow reader holds nothing."""
    left = limit
    while left is None or left > 0:
        size = CHUNK if left is None else min(CHUNK, left)
        page = read(partial(_page, campaign_id=campaign_id, states=states, after=after, size=size))
        yield from page
        if len(page) < size:
            return
        after = page[-1].position
        left = None if left is None else left - size


def _page(tx: Tx, *, campaign_id: str, states: Sequence[VideoState], after: int, size: int) -> list[RowStatus]:
    wanted = sa.select(row.c.row_id).where(row.c.campaign_id == campaign_id, live(row), row.c.position > after)
    if states:
        of_states = video.c.state.in_([state.value for state in states])
        wanted = wanted.join(video, video.c.video_id == row.c.video_id).where(of_states)
    # Chosen before anything is joined: a database without fresh statistics would join the whole campaign for each page.
    ids = list(tx.conn.scalars(wanted.order_by(row.c.position, row.c.row_id).limit(size)))
    found = _rows().where(row.c.campaign_id == campaign_id, row.c.row_id.in_(ids))
    return to_row_statuses(tx, tx.rows(found.order_by(row.c.position, row.c.row_id)))


def _rows() -> Select[Any]:
    return sa.select(
        row.c.campaign_id,
        row.c.row_id,
        row.c.line,
        row.c.position,
        row.c.byte_start,
        row.c.byte_end,
        row.c.shot,
        row.c.problems,
        video.c.video_id,
        video.c.name.label("video"),
        video.c.state,
        video.c.publication,
        video.c.error_code,
        video.c.error,
        video.c.ended_at,
    ).join(video, video.c.video_id == row.c.video_id)


def to_row_statuses(tx: Tx, records: Sequence[Record]) -> list[RowStatus]:
    """The records with what their attempts cost: one more query for the whole page."""
    began: dict[str, float] = {}
    tries: dict[tuple[str, str], tuple[int, float]] = defaultdict(lambda: (0, 0.0))
    for record in tx.rows(
        sa.select(
            attempt.c.video_id,
            attempt.c.row_id,
            sa.func.count().label("n"),
            sa.func.sum(attempt.c.device_s).label("device_s"),
            sa.func.min(attempt.c.started_at).label("started_at"),
        )
        .where(attempt.c.video_id.in_({record["video_id"] for record in records}))
        .group_by(attempt.c.video_id, attempt.c.row_id)
    ):
        video_id = record["video_id"]
        began[video_id] = min(record["started_at"], began.get(video_id, record["started_at"]))
        tries[video_id, record["row_id"]] = (record["n"], record["device_s"])
    return [_to_row_status(r, tries[r["video_id"], r["row_id"]], began.get(r["video_id"])) for r in records]


def _to_row_status(record: Record, cost: tuple[int, float], started_at: float | None) -> RowStatus:
    problems = to_problems(record["problems"])
    shot = Shot.model_validate_json(record["shot"]) if record["shot"] else None
    code, error = record["error_code"], record["error"]
    if problems:
        code, error = problems[0].code.value, problems[0].message
    return RowStatus(
        row_id=record["row_id"],
        line=record["line"],
        position=record["position"],
        byte_start=record["byte_start"],
        byte_end=record["byte_end"],
        video_id=record["video_id"],
        video=record["video"],
        state=VideoState(record["state"]),
        seed=shot.seed if shot else None,
        shot=shot,
        problems=problems,
        publication=Publication.model_validate_json(record["publication"]) if record["publication"] else None,
        attempts=cost[0],
        device_s=cost[1],
        error_code=code,
        error=error,
        started_at=started_at,
        ended_at=record["ended_at"],
    )


# -- one row -----------------------------------------------------------------------------------------------------------


def explain(tx: Tx, campaign_id: str, row_id: str) -> Explanation:
    """Why a row is where it is. Raises NotFound."""
    owner = campaigns.find(tx, campaign_id)
    found = tx.rows(_rows().where(row.c.campaign_id == owner.campaign_id, row.c.row_id == row_id, live(row)))
    if not found:
        raise NotFound(f"campaign {owner.name} has no row {row_id!r}", fix="`callsheet rows` lists them")
    status = to_row_statuses(tx, found)[0]
    mine = sa.and_(job.c.video_id == status.video_id, job.c.row_id == row_id, live(job))
    reason, until, ahead = _obstacle(tx, owner.state, status)
    return Explanation(
        campaign=owner,
        row=status,
        jobs=tuple(_to_job_status(record) for record in tx.rows(_jobs().where(mine).order_by(job.c.clip_index))),
        attempts=_attempts(tx, status),
        reason=reason,
        until=until,
        ahead=ahead,
    )


def _jobs() -> Select[Any]:
    at_work = sa.and_(attempt.c.attempt_id == job.c.attempt_id, attempt.c.ended_at.is_(None))
    return (
        sa.select(
            job.c.job_id,
            job.c.state,
            job.c.epoch,
            job.c.job,
            job.c.due_at,
            job.c.reused,
            attempt.c.worker,
            attempt.c.phase,
            attempt.c.done,
            attempt.c.total,
            clip.c.clip,
        )
        .join(attempt, at_work, isouter=True)
        .join(clip, clip.c.render_key == job.c.render_key, isouter=True)
    )


def _to_job_status(record: Record) -> JobStatus:
    state = JobState(record["state"])
    done = state is JobState.RENDERED and record["clip"]
    return JobStatus(
        job_id=str(record["job_id"]),
        state=state,
        epoch=record["epoch"],
        job=to_job(record["job"]),
        worker=record["worker"] or "",
        phase=record["phase"] or "",
        done=record["done"] or 0,
        total=record["total"] or 0,
        not_before=record["due_at"],
        reused=bool(record["reused"]),
        clip_key=to_clip(record["clip"]).object.key if done else "",
    )


def _attempts(tx: Tx, status: RowStatus) -> tuple[Attempt, ...]:
    """Tries at the row's clips and at the joins of its video, in the order they began; earlier rounds too."""
    found = tx.rows(
        sa.select(attempt)
        .where(attempt.c.video_id == status.video_id, attempt.c.row_id.in_([status.row_id, ""]))
        .order_by(attempt.c.started_at, attempt.c.epoch, attempt.c.attempt_id)
    )
    return tuple(to_attempt(record) for record in found)


def _obstacle(
    tx: Tx, campaign_state: CampaignState, status: RowStatus
) -> tuple[WaitingReason | None, float | None, int]:
    """What the row's next piece of work waits for, until when, and how many jobs go before it."""
    queued = tx.first(
        sa.select(job.c.job_id, job.c.pool, job.c.order_key, job.c.not_before, job.c.due_at, job.c.render_key)
        .where(
            job.c.video_id == status.video_id,
            job.c.row_id == status.row_id,
            job.c.state == JobState.QUEUED.value,
            live(job),
        )
        .order_by(job.c.order_key, job.c.job_id)
        .limit(1)
    )
    if queued is None:
        return _obstacle_of_join(tx, campaign_state, status)
    reason = rules.waiting_reason(
        campaign_state,
        now=tx.now,
        not_before=queued["not_before"],
        due_at=queued["due_at"],
        twin_leased=looks.twin_is_leased(tx, queued["render_key"]),
    )
    before = sa.or_(
        job.c.order_key < queued["order_key"],
        sa.and_(job.c.order_key == queued["order_key"], job.c.job_id < queued["job_id"]),
    )
    ahead = tx.scalar(
        sa.select(sa.func.count()).where(
            sa.text(CLAIMABLE_JOB), job.c.pool == queued["pool"], job.c.due_at <= tx.now, before
        )
    )
    return reason, _until(reason, queued["due_at"]), ahead


def _obstacle_of_join(
    tx: Tx, campaign_state: CampaignState, status: RowStatus
) -> tuple[WaitingReason | None, float | None, int]:
    if status.state in (VideoState.WAITING, VideoState.RENDERING):
        own = tx.first(
            sa.select(job.c.job_id).where(
                job.c.video_id == status.video_id,
                job.c.row_id == status.row_id,
                job.c.state == JobState.LEASED.value,
                live(job),
            )
        )
        return (None if own else WaitingReason.DEPENDENCY), None, 0
    if status.state is not VideoState.STITCHING:
        return None, None, 0
    joining = tx.first(
        sa.select(attempt.c.attempt_id).where(
            attempt.c.subject == status.video_id, attempt.c.kind == LeaseKind.JOIN.value, sa.text(LIVE_ATTEMPT)
        )
    )
    if joining is not None:
        return None, None, 0
    due_at = tx.scalar(sa.select(video.c.due_at).where(video.c.video_id == status.video_id))
    reason = rules.waiting_reason(campaign_state, now=tx.now, not_before=0.0, due_at=due_at)
    return reason, _until(reason, due_at), 0


def _until(reason: WaitingReason, due_at: float) -> float | None:
    return due_at if reason in (WaitingReason.BACKOFF, WaitingReason.NOT_BEFORE) else None
