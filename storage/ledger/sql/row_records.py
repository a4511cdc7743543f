"""Rows of the manifest, in bulk: inserted, brought up to date, and what they point to."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import BindParameter

from schemas.shot import Shot
from schemas.submission import PlannedRow
from storage.ledger.difference import KnownRow, content_of, not_before_of, place_of, said_of
from storage.ledger.pointers import shot_keys
from storage.ledger.sql.database import Tx
from storage.ledger.sql.records import problems_text
from storage.ledger.sql.references import inputs_holder, keys_of, leave
from storage.ledger.tables import job, live, reference, row


@dataclass(kw_only=True, slots=True)
class RowNow:
    """One row as the manifest says it now: as texts, and with the digests that the next comparison reads."""

    planned: PlannedRow
    shot: bytes
    """Empty for a row that is not valid."""
    problems: str
    video_id: str
    content: str
    said: str

    @classmethod
    def of(cls, planned: PlannedRow, *, video_id: str, look: str) -> RowNow:
        shot = planned.shot.json_bytes() if planned.shot and planned.is_valid else b""
        problems = problems_text(planned.problems)
        return cls(
            planned=planned,
            shot=shot,
            problems=problems,
            video_id=video_id,
            content=content_of(planned, look),
            said=said_of(planned, shot=shot, problems=problems),
        )

    def is_known_as(self, known: KnownRow) -> bool:
        """Whether the ledger keeps the row as it is already."""
        return (known.said, known.content, known.video_id) == (self.said, self.content, self.video_id)


@dataclass(frozen=True, kw_only=True)
class RowRecords:
    """Writes the rows of one submit."""

    tx: Tx
    campaign_id: str

    def write(self, new: Sequence[dict[str, Any]], changed: Sequence[dict[str, Any]]) -> None:
        """Insert and update rows."""
        self.tx.insert(row, new, campaign_id=self.campaign_id, retired=False)
        self._update(changed)

    def point_to(self, inputs: AbstractSet[str]) -> None:
        """Let the campaign point to its rows' inputs, those of removed rows included, and to no other."""
        holder = inputs_holder(self.campaign_id)
        known = keys_of(self.tx, holder)
        gone = known - inputs
        if gone:
            leave(self.tx, holder, gone - self._inputs_of_removed())
        self.tx.insert(reference, [{"holder": holder, "key": key} for key in sorted(inputs - known)])

    def _inputs_of_removed(self) -> set[str]:
        mine = (row.c.campaign_id == self.campaign_id, row.c.retired, row.c.shot.is_not(None))
        texts = self.tx.conn.scalars(sa.select(row.c.shot).where(*mine))
        return {key for text in texts for key in shot_keys(Shot.model_validate_json(text))}

    def new_terms(self, unchanged: Sequence[tuple[PlannedRow, KnownRow]]) -> None:
        """Unchanged rows may have got another priority or another date; their queued jobs move accordingly."""
        moved = [
            {
                "its_video": known.video_id,
                "its_row": planned.row_id,
                "its_priority": planned.shot.priority,
                "its_date": not_before_of(planned),
                "its_bonus": planned.shot.priority * self.tx.options.priority_bonus_s,
            }
            for planned, known in unchanged
            if planned.shot is not None
            and (planned.shot.priority, not_before_of(planned)) != (known.priority, known.not_before)
        ]
        if moved:
            self.tx.conn.execute(_NEW_TERMS, moved)

    def remove(self, row_ids: Sequence[str]) -> None:
        """Rows that left the manifest are kept and count no more."""
        mine = (row.c.campaign_id == self.campaign_id, row.c.row_id.in_(row_ids))
        self.tx.run(sa.update(row).where(*mine).values(retired=True))

    def _update(self, records: Sequence[dict[str, Any]]) -> None:
        if not records:
            return
        statement = (
            sa.update(row)
            .where(row.c.campaign_id == self.campaign_id, row.c.row_id == sa.bindparam("its_id"))
            .values({name: sa.bindparam(name) for name in records[0] if name != "row_id"})
            .values(retired=False)
        )
        self.tx.conn.execute(
            statement, [{"its_id" if k == "row_id" else k: v for k, v in values.items()} for values in records]
        )

    def record(self, change: RowNow) -> dict[str, Any]:
        planned = change.planned
        shot = planned.shot if planned.is_valid else None
        return {
            "row_id": planned.row_id,
            "video_id": change.video_id,
            "line": planned.line,
            "position": planned.position,
            "byte_start": planned.byte_start,
            "byte_end": planned.byte_end,
            "place": place_of(planned),
            "priority": shot.priority if shot else 0,
            "not_before": not_before_of(planned),
            "content": change.content,
            "said": change.said,
            "shot": change.shot or None,
            "problems": change.problems,
        }


_DATE: BindParameter[float] = sa.bindparam("its_date", type_=sa.Double())
_NEW_TERMS = (
    sa.update(job)
    .where(job.c.video_id == sa.bindparam("its_video"), job.c.row_id == sa.bindparam("its_row"), live(job))
    .values(
        priority=sa.bindparam("its_priority"),
        not_before=_DATE,
        due_at=sa.case((job.c.due_at == job.c.not_before, _DATE), else_=job.c.due_at),
        order_key=sa.case((job.c.enqueued_at > _DATE, job.c.enqueued_at), else_=_DATE)
        - sa.bindparam("its_bonus", type_=sa.Double()),
    )
)
