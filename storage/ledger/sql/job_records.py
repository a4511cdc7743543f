"""Jobs of a submit, in bulk: queued, or born rendered where a clip of their key exists; older ones retired."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
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
from storage.ledger.sql.prepared import Prepared
from storage.ledger.tables import attempt, clip, job, live

RESUBMITTED = "the sheet was submitted again with a change to it"

_VIDEO_AND_STATE = itemgetter("video_id", "state")

_WITH_CLIP = Prepared(
    sa.select(clip.c.render_key).where(clip.c.render_key.in_(sa.bindparam("render_keys", expanding=True)))
)


@dataclass(frozen=True, kw_only=True)
class JobRecords:
    """Inserts and retires the jobs of one submit."""

    tx: Tx
    campaign_id: str
    revision: int
    ranks: int
    held: bool

    def of(self, planned: PlannedRow, video_id: str) -> Iterator[dict[str, Any]]:
        """The jobs of a valid row, as if none were rendered. Nothing is asked of the database."""
        terms = self._terms(planned, video_id)
        for planned_job in planned.jobs:
            yield self._record(planned_job, terms)

    def insert(self, records: Sequence[dict[str, Any]]) -> Mapping[tuple[str, str], int]:
        """Insert jobs, in the order of the manifest: claims go by it; how many of which video are in which state."""
        if rendered := self._rendered([record["render_key"] for record in records]):
            for record in records:
                if record["render_key"] in rendered:
                    record |= {"state": JobState.RENDERED.value, "reused": True}
        self.tx.insert(
            job,
            records,
            campaign_id=self.campaign_id,
            revision=self.revision,
            epoch=0,
            round=0,
            held=self.held,
            retired=False,
            enqueued_at=self.tx.now,
        )
        return Counter(map(_VIDEO_AND_STATE, records))

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
            found.update(record["render_key"] for record in self.tx.rows(_WITH_CLIP, render_keys=some))
        return found

    def _terms(self, planned: PlannedRow, video_id: str) -> dict[str, Any]:
        """What the jobs of a row have in common: when they may be leased, and before whom."""
        assert planned.shot is not None
        now, priority, not_before = self.tx.now, planned.shot.priority, not_before_of(planned)
        bonus_s = self.tx.options.priority_bonus_s
        return {
            "video_id": video_id,
            "row_id": planned.row_id,
            "state": JobState.QUEUED.value,
            "reused": False,
            "priority": priority,
            "not_before": not_before,
            "due_at": not_before,
            "order_key": rules.order_key(enqueued_at=now, not_before=not_before, priority=priority, bonus_s=bonus_s),
        }

    def _record(self, one: RenderJob, terms: dict[str, Any]) -> dict[str, Any]:
        request = one.request
        return terms | {
            "clip_index": one.index,
            "render_key": request.render_key,
            "pool": pool_name(engine=request.engine, model=request.model, ranks=self.ranks),
            "bucket": request.bucket,
            "frames": request.keep_frames,
            "estimated_s": one.estimated_s,
            "job": one.json_bytes(),
        }
