"""What the holder of a join lease reads and writes, up to the one act that publishes."""

from __future__ import annotations

import sqlalchemy as sa

from schemas.attempt import Failure
from schemas.clip import Clip, Publication
from schemas.job import RenderJob
from schemas.lease import Lease
from schemas.shot import Shot
from schemas.states import VIDEO_TERMINAL, Blame, Ending, JobState, VideoState
from storage.ledger import gate
from storage.ledger.pointers import publication_keys
from storage.ledger.sql import fences
from storage.ledger.sql.database import Tx
from storage.ledger.sql.endings import free_video
from storage.ledger.sql.fences import end_attempt, end_well, hold, lost, withdraw
from storage.ledger.sql.moves import move_videos, queue_again, settle
from storage.ledger.sql.records import to_clip, to_job
from storage.ledger.sql.references import clip_holder, forget, refer, video_holder
from storage.ledger.tables import attempt, clip, job, live, row, video

_IN_FORCE = sa.select(video.c.video_id).where(*fences.VIDEO_FENCE)


def shots(tx: Tx, lease: Lease) -> tuple[Shot, ...]:
    """The shots of the video, in the video's order."""
    _require(tx, lease)
    texts = tx.conn.scalars(
        sa.select(row.c.shot).where(row.c.video_id == lease.video_id, live(row)).order_by(row.c.place, row.c.position)
    )
    return tuple(Shot.model_validate_json(text) for text in texts)


def clips(tx: Tx, lease: Lease) -> list[tuple[RenderJob, Clip]]:
    """Every job of the video with its clip, in shot and clip order."""
    _require(tx, lease)
    found = tx.rows(
        sa.select(job.c.job, clip.c.clip)
        .join(row, sa.and_(row.c.campaign_id == job.c.campaign_id, row.c.row_id == job.c.row_id))
        .join(clip, clip.c.render_key == job.c.render_key)
        .where(job.c.video_id == lease.video_id, live(job), live(row))
        .order_by(row.c.place, row.c.position, job.c.clip_index)
    )
    return [(to_job(record["job"]), to_clip(record["clip"])) for record in found]


def _require(tx: Tx, lease: Lease) -> None:
    if tx.first(_IN_FORCE, **fences.of_video(lease)) is None:
        raise lost(lease)


def checking(tx: Tx, lease: Lease) -> None:
    """Video `stitching` -> `checking`; nothing happens when it is there already."""
    held = hold(tx, lease)
    if held is None:
        raise lost(lease)
    if held.video["state"] != VideoState.CHECKING.value:
        mine = fences.of_video(lease)
        move_videos(tx, VideoState.STITCHING, VideoState.CHECKING, *fences.VIDEO_FENCE, bound=mine)


def publish(tx: Tx, lease: Lease, publication: Publication) -> bool:
    """Commit the pointer to a finished video; False when the campaign is being cancelled, and the join with it."""
    held = hold(tx, lease)
    if held is None:
        if fences.answered(tx, lease, "publish") is None:
            raise lost(lease)
        return True
    if held.cancelling:
        mine = attempt.c.attempt_id == lease.attempt_id
        withdraw(tx, mine, why="the campaign was cancelled before the video was published")
        free_video(tx, held, due_at=0.0)
        return False
    source = VideoState(held.video["state"])
    gate.video_step(source, VideoState.PUBLISHED)
    end_well(tx, lease, verb="publish")
    move_videos(
        tx,
        source,
        VideoState.PUBLISHED,
        *fences.VIDEO_FENCE,
        bound=fences.of_video(lease),
        attempt_id=None,
        publication=publication.json_bytes().decode(),
    )
    refer(tx, video_holder(lease.video_id), publication_keys(publication))
    return True


def clip_vanished(tx: Tx, lease: Lease, render_key: str) -> None:
    """Forget a clip whose object is gone; every video that still needs it renders it again."""
    held = hold(tx, lease)
    if held is None:
        if fences.answered(tx, lease, "clip_vanished") is None:
            raise lost(lease)
        return
    why = Failure.of(Ending.CANCELLED, f"clip {render_key} is gone from the store", phase="join", blame=Blame.PLATFORM)
    end_attempt(tx, attempt.c.attempt_id == lease.attempt_id, verb="clip_vanished", failure=why)
    free_video(tx, held, due_at=0.0)
    tx.run(sa.delete(clip).where(clip.c.render_key == render_key))
    forget(tx, [clip_holder(render_key)])
    affected = _videos_in_need(tx, render_key)
    _end_joins(tx, [video_id for video_id in affected if video_id != lease.video_id])
    queue_again(tx, JobState.RENDERED, job.c.render_key == render_key, job.c.video_id.in_(affected), live(job))
    settle(tx, affected)


def _videos_in_need(tx: Tx, render_key: str) -> list[str]:
    """Videos with a job of this key that have not ended; an ended one needs its clips no more, or asks by `retry`."""
    ended = [state.value for state in VIDEO_TERMINAL]
    return list(
        tx.conn.scalars(
            sa.select(video.c.video_id)
            .where(
                video.c.video_id.in_(sa.select(job.c.video_id).where(job.c.render_key == render_key, live(job))),
                video.c.state.not_in(ended),
            )
            .order_by(video.c.video_id)
            .with_for_update(key_share=True)
        )
    )


def _end_joins(tx: Tx, video_ids: list[str]) -> None:
    """Other joins under way that lack the clip now are taken back: a video being joined has all its clips."""
    under_way = (video.c.video_id.in_(video_ids), video.c.attempt_id.is_not(None))
    leases = list(tx.conn.scalars(sa.select(video.c.attempt_id).where(*under_way)))
    if not leases:
        return
    withdraw(tx, attempt.c.attempt_id.in_(leases), why="a clip of the video is gone from the store")
    tx.run(sa.update(video).where(*under_way).values(epoch=video.c.epoch + 1, attempt_id=None))
