"""Jobs of a submit, in bulk: queued, or born rendered where a clip of their key exists; older ones retired."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import ColumnElement

from schemas.job import RenderJob, pool_name
from schemas.states import JobState
from schemas.submission import PlannedRow
from storage.ledger import rules
from storage.ledger.difference import not_before_of
from storage.ledger.sql.database import Tx, chunks
from storage.ledger.sql.fences import withdraw
from storage.ledger.sql.moves import move_jobs
from storage.ledger.tables import attempt, clip, job, live

RESUBMITTED = "the sheet was submitted again with a change to it"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Work:
    """One job to insert; its key is a hash over the whole request, taken once."""

    video_id: str
    planned: PlannedRow
    job: RenderJob
    key: str


@dataclass(frozen=True, kw_only=True)
class JobRecords:
    """Inserts and retires the jobs of one submit."""

    tx: Tx
    campaign_id: str
    revision: int
    ranks: int
    held: bool

    def insert(self, rows: Sequence[tuple[str, PlannedRow]]) -> dict[str, dict[JobState, int]]:
        """Insert the jobs of valid rows, each with its video's id; per video, how many are in which state."""
        work = [
            _Work(video_id=video_id, planned=planned, job=planned_job, key=planned_job.render_key)
            for video_id, planned in rows
            for planned_job in planned.jobs
        ]
        rendered = self._rendered([one.key for one in work])
        counts: dict[str, dict[JobState, int]] = defaultdict(lambda: defaultdict(int))
        records: list[dict[str, Any]] = []
        for one in work:
            state = JobState.RENDERED if one.key in rendered else JobState.QUEUED
            counts[one.video_id][state] += 1
            records.append(self._record(one, state))
        self.tx.insert(job, records)
        return counts

    def retire(self, *where: ColumnElement[bool]) -> None:
        """Take jobs out of the campaign; work under way on them is refused from now on."""
        mine = (*where, live(job))
        leases = list(self.tx.conn.scalars(sa.select(job.c.attempt_id).where(*mine, job.c.attempt_id.is_not(None))))
        for source in (JobState.QUEUED, JobState.LEASED):
            move_jobs(self.tx, source, JobState.CANCELLED, *mine)
        self.tx.run(sa.update(job).where(*mine).values(retired=True, epoch=job.c.epoch + 1))
        for some in chunks(leases):
            withdraw(self.tx, attempt.c.attempt_id.in_(some), why=RESUBMITTED)

    def forget(self, video_ids: Sequence[str]) -> None:
        """Delete what this submit inserted for videos that turned out to be kept out; nobody has seen it."""
        for some in chunks(video_ids):
            self.tx.run(sa.delete(job).where(job.c.video_id.in_(some), job.c.revision == self.revision))

    def _rendered(self, keys: list[str]) -> set[str]:
        found: set[str] = set()
        for some in chunks(dict.fromkeys(keys)):
            found |= set(self.tx.conn.scalars(sa.select(clip.c.render_key).where(clip.c.render_key.in_(some))))
        return found

    def _record(self, one: _Work, state: JobState) -> dict[str, Any]:
        now, request, shot = self.tx.now, one.job.request, one.planned.shot
        assert shot is not None
        not_before = not_before_of(one.planned)
        return {
            "campaign_id": self.campaign_id,
            "video_id": one.video_id,
            "row_id": one.job.row_id,
            "clip_index": one.job.index,
            "revision": self.revision,
            "state": state.value,
            "epoch": 0,
            "round": 0,
            "render_key": one.key,
            "pool": pool_name(engine=request.engine, model=request.model, ranks=self.ranks),
            "bucket": request.bucket,
            "held": self.held,
            "retired": False,
            "reused": state is JobState.RENDERED,
            "priority": shot.priority,
            "enqueued_at": now,
            "not_before": not_before,
            "due_at": not_before,
            "order_key": rules.order_key(
                enqueued_at=now,
                not_before=not_before,
                priority=shot.priority,
                bonus_s=self.tx.options.priority_bonus_s,
            ),
            "frames": request.keep_frames,
            "estimated_s": one.job.estimated_s,
            "job": one.job.model_dump_json(),
        }
