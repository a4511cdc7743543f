"""How a render attempt and a join attempt end, and what follows for job, video and twins."""

from __future__ import annotations

import sqlalchemy as sa

from schemas.attempt import Failure
from schemas.clip import Clip
from schemas.errors import Permanent
from schemas.lease import Lease, LeaseKind
from schemas.retry import Decision, Verdict, decide
from schemas.states import INTERRUPTIONS, JobState, VideoState
from storage.ledger import rules
from storage.ledger.sql import fences
from storage.ledger.sql.database import Tx
from storage.ledger.sql.fences import Held, end_attempt, end_well, hold, lost
from storage.ledger.sql.moves import jobs_moved, move_videos, settle, settle_locked
from storage.ledger.sql.prepared import Prepared
from storage.ledger.sql.records import to_attempt, to_clip, to_settings
from storage.ledger.sql.references import clip_holder, refer
from storage.ledger.tables import attempt, clip, job, live, video

_RENDERED = Prepared(jobs_moved(JobState.LEASED, JobState.RENDERED, *fences.JOB_FENCE))
_TWINS_RENDERED = Prepared(
    jobs_moved(
        JobState.QUEUED,
        JobState.RENDERED,
        job.c.render_key == sa.bindparam("key"),
        live(job),
        reused=True,
        epoch=job.c.epoch + 1,
    ).returning(job.c.video_id)
)
_CLIP = Prepared(sa.select(clip.c.clip).where(clip.c.render_key == sa.bindparam("key")))


def complete(tx: Tx, lease: Lease, given: Clip, *, device_s: float) -> Clip:
    """Commit a rendered clip; the clip that counts is returned: the earlier one where there was one."""
    held = hold(tx, lease)
    if held is None:
        if fences.answered(tx, lease, "complete") is None:
            raise lost(lease)
        return _counting_clip(tx, given.render_key) or given
    render_key = held.subject["render_key"]
    if given.render_key != render_key:
        raise Permanent(f"the clip is of render key {given.render_key}, the lease's job of {render_key}")
    counting = _commit_clip(tx, given)
    end_well(tx, lease, verb="complete", device_s=device_s)
    tx.run(_RENDERED, **fences.of_job(lease))
    twins = {twin["video_id"] for twin in tx.rows(_TWINS_RENDERED, key=render_key)}
    settle_locked(tx, [held.video], held.campaign_state)
    settle(tx, sorted(twins - {lease.video_id}))
    return counting


def _commit_clip(tx: Tx, given: Clip) -> Clip:
    record = {"render_key": given.render_key, "clip": given.json_bytes().decode(), "committed_at": tx.now}
    if tx.insert_new(clip, [record]):
        counting: Clip | None = given
    else:
        counting = _counting_clip(tx, given.render_key)
    assert counting is not None
    refer(tx, clip_holder(given.render_key), [counting.object.key])
    return counting


def _counting_clip(tx: Tx, render_key: str) -> Clip | None:
    text = tx.scalar(_CLIP, key=render_key)
    return to_clip(text) if text is not None else None


def fail(tx: Tx, lease: Lease, failure: Failure, *, device_s: float) -> Decision:
    """End an attempt badly; what follows is decided over the attempts of the current round."""
    held = hold(tx, lease)
    if held is None:
        before = fences.answered(tx, lease, "fail")
        if before is None:
            raise lost(lease)
        return Decision(verdict=Verdict(before["verdict"]), wait_s=before["wait_s"], reason=before["reason"])
    return end_badly(tx, held, failure, verb="fail", device_s=device_s)


def end_badly(tx: Tx, held: Held, failure: Failure, *, verb: str, device_s: float = 0.0) -> Decision:
    """End the attempt of a lease in force, decide, and do what was decided."""
    lease = held.lease
    mine = attempt.c.attempt_id == lease.attempt_id
    end_attempt(tx, mine, verb=verb, failure=failure, device_s=device_s)
    decision = _decide(tx, held)
    fences.remember(tx, lease.attempt_id, decision)
    if lease.kind is LeaseKind.RENDER:
        _end_job(tx, held, failure, decision)
    else:
        _end_join(tx, held, failure, decision)
    return decision


def _decide(tx: Tx, held: Held) -> Decision:
    tried = tx.rows(
        sa.select(attempt)
        .where(
            attempt.c.subject == held.lease.subject,
            attempt.c.kind == held.lease.kind.value,
            attempt.c.round == held.subject["round"],
            attempt.c.ended_at.is_not(None),
        )
        .order_by(attempt.c.epoch)
    )
    return decide([to_attempt(record) for record in tried], to_settings(held.settings).retry_policy)


def _end_job(tx: Tx, held: Held, failure: Failure, decision: Decision) -> None:
    mine = fences.of_job(held.lease)
    if decision.verdict is Verdict.RETRY:
        due_at = max(tx.now + decision.wait_s, held.subject["not_before"])
        tx.run(jobs_moved(JobState.LEASED, JobState.QUEUED, *fences.JOB_FENCE, due_at=due_at), **mine)
    else:
        ended = JobState.FAILED if decision.verdict is Verdict.FAIL else JobState.QUARANTINED
        tx.run(jobs_moved(JobState.LEASED, ended, *fences.JOB_FENCE), **mine)
        _blame_video(tx, held, failure)
    settle(tx, [held.lease.video_id])


def _end_join(tx: Tx, held: Held, failure: Failure, decision: Decision) -> None:
    if decision.verdict is Verdict.RETRY:
        free_video(tx, held, due_at=tx.now + decision.wait_s)
        return
    _blame_video(tx, held, failure)
    source = VideoState(held.video["state"])
    mine = fences.of_video(held.lease)
    move_videos(tx, source, VideoState.FAILED, *fences.VIDEO_FENCE, bound=mine, attempt_id=None)


def _blame_video(tx: Tx, held: Held, failure: Failure) -> None:
    tx.run(
        sa.update(video)
        .where(video.c.video_id == held.lease.video_id)
        .values(error_code=rules.failure_code(failure), error=failure.message, error_blame=failure.blame.value)
    )


def free_video(tx: Tx, held: Held, *, due_at: float) -> None:
    """Give a join back: it is taken again, or cancelled with its campaign."""
    fence, mine = fences.VIDEO_FENCE, fences.of_video(held.lease)
    source = VideoState(held.video["state"])
    if held.cancelling:
        move_videos(tx, source, VideoState.CANCELLED, *fence, bound=mine, attempt_id=None)
        return
    if source is VideoState.CHECKING:
        move_videos(tx, source, VideoState.STITCHING, *fence, bound=mine)
    tx.run(sa.update(video).where(*fence).values(attempt_id=None, due_at=due_at), **mine)


def release(tx: Tx, lease: Lease, failure: Failure, *, device_s: float) -> None:
    """Give work back unfinished: no attempt is used up."""
    if failure.ending not in INTERRUPTIONS:
        raise Permanent(
            f"release was called with the ending {failure.ending}, which uses up an attempt",
            fix=f"release with one of {', '.join(sorted(INTERRUPTIONS))}, or call fail",
        )
    held = hold(tx, lease)
    if held is None:
        if fences.answered(tx, lease, "release") is None:
            raise lost(lease)
        return
    interrupt(tx, held, failure, verb="release", device_s=device_s)


def interrupt(tx: Tx, held: Held, failure: Failure, *, verb: str, device_s: float = 0.0) -> None:
    """End an attempt that nobody failed; its work waits for the next one."""
    lease = held.lease
    mine = attempt.c.attempt_id == lease.attempt_id
    end_attempt(tx, mine, verb=verb, failure=failure, device_s=device_s)
    if lease.kind is LeaseKind.JOIN:
        free_video(tx, held, due_at=0.0)
        return
    tx.run(jobs_moved(JobState.LEASED, JobState.QUEUED, *fences.JOB_FENCE), **fences.of_job(lease))
    settle(tx, [lease.video_id])
