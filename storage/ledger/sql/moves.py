"""Changes of state, each through the gate; and where a video stands after its jobs changed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from types import MappingProxyType
from typing import Any

import sqlalchemy as sa
from sqlalchemy import BindParameter, ColumnElement, Update

from schemas.states import VIDEO_TERMINAL, CampaignState, JobState, VideoState
from storage.ledger import gate, rules
from storage.ledger.sql.database import Tx, chunks
from storage.ledger.sql.prepared import Prepared, Record
from storage.ledger.tables import campaign, clip, job, live, video


def jobs_moved(source: JobState, target: JobState, *where: ColumnElement[bool], **values: Any) -> Update:
    """The statement that moves the jobs that are `source` and match `where`; the lease of a moved job is gone."""
    gate.job_step(source, target)
    return (
        sa.update(job)
        .where(job.c.state == source.value, *where)
        .values(state=target.value, **{"attempt_id": None, **values})
    )


def move_jobs(tx: Tx, source: JobState, target: JobState, *where: ColumnElement[bool], **values: Any) -> int:
    """Move the jobs that are `source` and match `where`; how many moved."""
    return tx.run(jobs_moved(source, target, *where, **values))


_TX_NOW: BindParameter[float] = sa.bindparam("tx_now")
_PRIORITY_BONUS: BindParameter[float] = sa.bindparam("priority_bonus")


def videos_moved(source: VideoState, target: VideoState, *where: ColumnElement[bool], **values: Any) -> Update:
    """The statement that moves the videos that are `source` and match `where`; bind it with `moved_at`."""
    gate.video_step(source, target)
    changes: dict[str, Any] = {"ended_at": _TX_NOW if target in VIDEO_TERMINAL else None}
    if target is VideoState.STITCHING:
        changes |= {"due_at": 0.0, "order_key": _TX_NOW - video.c.priority * _PRIORITY_BONUS}
    return (
        sa.update(video).where(video.c.state == source.value, *where).values(state=target.value, **(changes | values))
    )


def moved_at(tx: Tx, target: VideoState) -> dict[str, Any]:
    """What a statement of `videos_moved` towards `target` is to be told."""
    if target is VideoState.STITCHING:
        return {"tx_now": tx.now, "priority_bonus": tx.options.priority_bonus_s}
    return {"tx_now": tx.now} if target in VIDEO_TERMINAL else {}


def move_videos(
    tx: Tx,
    source: VideoState,
    target: VideoState,
    *where: ColumnElement[bool],
    bound: Mapping[str, Any] = MappingProxyType({}),
    **values: Any,
) -> int:
    """Move the videos that are `source` and match `where`, with the values `bound` in it; how many moved."""
    return tx.run(videos_moved(source, target, *where, **values), **moved_at(tx, target), **bound)


def queue_again(tx: Tx, source: JobState, *where: ColumnElement[bool]) -> int:
    """Queue jobs for a new round, as if they were enqueued now; epochs go on rising."""
    due = job.c.not_before
    first = sa.case((due > tx.now, due), else_=tx.now)
    return move_jobs(
        tx,
        source,
        JobState.QUEUED,
        *where,
        epoch=job.c.epoch + 1,
        round=job.c.round + 1,
        reused=False,
        enqueued_at=tx.now,
        due_at=due,
        order_key=first - job.c.priority * tx.options.priority_bonus_s,
    )


def agree_with_clips(tx: Tx, video_ids: Iterable[str]) -> tuple[int, int]:
    """Make the jobs of videos that begin again agree with the clips that exist.

    How many rendered ones were queued because their clip is gone, and how many queued ones have a clip already.
    """
    gone = found = 0
    for ids in chunks(video_ids):
        mine = (job.c.video_id.in_(ids), live(job))
        has_clip = sa.exists().where(clip.c.render_key == job.c.render_key)
        gone += queue_again(tx, JobState.RENDERED, *mine, ~has_clip)
        found += move_jobs(tx, JobState.QUEUED, JobState.RENDERED, *mine, has_clip, epoch=job.c.epoch + 1, reused=True)
    return gone, found


_SOME_VIDEOS: BindParameter[str] = sa.bindparam("video_ids", expanding=True)
_JOB_COUNTS = Prepared(
    sa.select(job.c.video_id, job.c.state, sa.func.count().label("n"))
    .where(job.c.video_id.in_(_SOME_VIDEOS), live(job))
    .group_by(job.c.video_id, job.c.state)
)
_TO_SETTLE = Prepared(
    sa.select(video.c.video_id, video.c.state, video.c.attempt_id, campaign.c.state.label("campaign_state"))
    .join(campaign, campaign.c.campaign_id == video.c.campaign_id)
    .where(video.c.video_id.in_(_SOME_VIDEOS))
    .order_by(video.c.video_id)
    .with_for_update(key_share=True, of=video)
)


@cache
def _settled(source: VideoState, target: VideoState) -> Prepared:
    return Prepared(videos_moved(source, target, video.c.video_id.in_(_SOME_VIDEOS)))


def job_counts(tx: Tx, video_ids: list[str]) -> dict[str, dict[JobState, int]]:
    """Per video, how many of its jobs are in which state."""
    counts: dict[str, dict[JobState, int]] = defaultdict(dict)
    for record in tx.rows(_JOB_COUNTS, video_ids=video_ids):
        counts[record["video_id"]][JobState(record["state"])] = record["n"]
    return counts


def settle(tx: Tx, video_ids: Iterable[str], *, campaign_state: CampaignState | None = None) -> dict[str, VideoState]:
    """Bring videos where their jobs say; their states after it. One whose join is under way stays.

    The videos are locked before their jobs are counted, so that of two siblings that end at the same moment the
    second one counts both. `campaign_state` stands in for the campaigns' own when it is about to change.
    """
    states: dict[str, VideoState] = {}
    for ids in chunks(video_ids):
        states |= settle_locked(tx, tx.rows(_TO_SETTLE, video_ids=ids), campaign_state)
    return states


def settle_locked(
    tx: Tx, videos: Sequence[Record], campaign_state: CampaignState | None = None
) -> dict[str, VideoState]:
    """As `settle`, for records of videos that this transaction has locked."""
    states: dict[str, VideoState] = {}
    counts = job_counts(tx, [record["video_id"] for record in videos])
    doomed: list[str] = []
    steps: dict[tuple[VideoState, VideoState], list[str]] = defaultdict(list)
    for record in videos:
        video_id, source = record["video_id"], VideoState(record["state"])
        if record["attempt_id"] is not None:
            states[video_id] = source
            continue
        outcome = rules.settle(counts[video_id], campaign_state or CampaignState(record["campaign_state"]))
        states[video_id] = outcome.state
        if outcome.cancel_queued:
            doomed.append(video_id)
        if outcome.state is not source:
            steps[source, outcome.state].append(video_id)
    _apply(tx, doomed, steps)
    return states


def _apply(tx: Tx, doomed: list[str], steps: Mapping[tuple[VideoState, VideoState], list[str]]) -> None:
    if doomed:
        mine = (job.c.video_id.in_(doomed), live(job))
        move_jobs(tx, JobState.QUEUED, JobState.CANCELLED, *mine, epoch=job.c.epoch + 1)
    for (source, target), ids in steps.items():
        tx.run(_settled(source, target), video_ids=ids, **moved_at(tx, target))
