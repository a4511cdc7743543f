"""What a submit starts from: the rows and videos that the ledger has, and what the manifest says of each video."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa

from schemas.problem import RowProblem
from schemas.states import JobState, VideoState
from schemas.submission import PlannedRow
from storage.ledger.difference import KnownRow
from storage.ledger.sql.database import Tx
from storage.ledger.tables import row, video


@dataclass(kw_only=True, slots=True)
class VideoPlan:
    """What the manifest says of one video, gathered while its rows stream by."""

    name: str
    rows: int = 0
    priority: int = 0
    affected: bool = False
    bad: tuple[str, Sequence[RowProblem]] | None = None
    """The first bad row and its problems."""
    jobs: dict[JobState, int] = field(default_factory=dict)
    """Jobs that this submit inserted."""

    def add(self, planned: PlannedRow) -> None:
        self.rows += 1
        if planned.shot is not None:
            self.priority = max(self.priority, planned.shot.priority)
        if not planned.is_valid and self.bad is None:
            self.bad = (planned.row_id, planned.problems)

    def count(self, state: JobState, inserted: int) -> None:
        self.jobs[state] = self.jobs.get(state, 0) + inserted


@dataclass(frozen=True, kw_only=True, slots=True)
class KnownVideo:
    state: VideoState
    retired: bool

    @property
    def has_jobs(self) -> bool:
        """False where a bad row, or its absence from the manifest, keeps the jobs of good rows away."""
        return not self.retired and self.state is not VideoState.INVALID


def known_rows(tx: Tx, campaign_id: str) -> tuple[dict[str, KnownRow], set[str]]:
    """The rows of the campaign in manifest order, and the ids of those that were removed earlier."""
    names = ("content", "said", "video_id", "place", "priority", "not_before")
    alive: dict[str, KnownRow] = {}
    retired: set[str] = set()
    found = tx.conn.execute(
        sa.select(row.c.row_id, row.c.retired, *(row.c[name] for name in names))
        .where(row.c.campaign_id == campaign_id)
        .order_by(row.c.position, row.c.row_id)
    )
    for row_id, is_retired, *facts in found:
        if is_retired:
            retired.add(row_id)
        else:
            alive[row_id] = KnownRow(**dict(zip(names, facts, strict=True)))
    return alive, retired


def known_videos(tx: Tx, campaign_id: str) -> dict[str, KnownVideo]:
    found = tx.conn.execute(
        sa.select(video.c.video_id, video.c.state, video.c.retired).where(video.c.campaign_id == campaign_id)
    )
    return {video_id: KnownVideo(state=VideoState(state), retired=retired) for video_id, state, retired in found}
