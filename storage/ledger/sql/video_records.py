"""Videos of a submit, in bulk: new ones inserted where they stand, changed ones begun again, lost ones retired."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from schemas.lease import LeaseKind
from schemas.states import VIDEO_TERMINAL, Blame, CampaignState, JobState, VideoState
from storage.ledger import rules
from storage.ledger.difference import Tally
from storage.ledger.sql.database import Tx, chunks
from storage.ledger.sql.fences import withdraw
from storage.ledger.sql.job_records import RESUBMITTED, JobRecords
from storage.ledger.sql.moves import agree_with_clips, job_counts, move_videos, queue_again, settle
from storage.ledger.sql.references import forget, video_holder
from storage.ledger.sql.submit_known import VideoPlan
from storage.ledger.tables import attempt, job, live, video

_WRITE_PLAN = (
    sa.update(video)
    .where(video.c.video_id == sa.bindparam("its_id"))
    .values({name: sa.bindparam(f"its_{name}") for name in ("rows", "priority", "error_code", "error", "error_blame")})
    .values(retired=False)
)


@dataclass(frozen=True, kw_only=True)
class VideoRecords:
    """Writes the videos of one submit and counts what they ask for."""

    tx: Tx
    campaign_id: str
    jobs: JobRecords
    tally: Tally
    state_to_be: CampaignState
    """The campaign's state in which new work is looked at."""

    def insert(self, plans: Mapping[str, VideoPlan]) -> dict[str, VideoState]:
        """Videos that the ledger never knew; their states."""
        states = {video_id: self._state_of(plan) for video_id, plan in plans.items()}
        for plan in plans.values():
            if not plan.bad:
                self._count_jobs(plan)
        # In the order of the indexes: at each insert SQLite looks for rows and jobs that came before their video.
        for some in chunks(sorted(plans)):
            self.tx.insert(
                video,
                [self._record(video_id, plans[video_id], states[video_id]) for video_id in some],
                campaign_id=self.campaign_id,
                epoch=0,
                round=0,
                held=self.jobs.held,
                retired=False,
                due_at=0.0,
            )
        return states

    def change(self, plans: Mapping[str, VideoPlan]) -> dict[str, VideoState]:
        """Known videos that the manifest changed, or brought back; their states."""
        states: dict[str, VideoState] = {}
        for some in chunks(plans):
            self._begin_again(some)
            self.tx.conn.execute(
                _WRITE_PLAN,
                [{f"its_{k}": v for k, v in (_said(plans[one]) | {"id": one}).items()} for one in some],
            )
            states |= self._keep_out([video_id for video_id in some if plans[video_id].bad])
            states |= self._let_in({video_id: plans[video_id] for video_id in some if not plans[video_id].bad})
        return states

    def retire(self, video_ids: Sequence[str]) -> None:
        """Videos without a row are kept, with what was published, and count no more."""
        for some in chunks(video_ids):
            self._take_joins_back(some)
            for source in VideoState:
                if source not in VIDEO_TERMINAL:
                    move_videos(self.tx, source, VideoState.CANCELLED, video.c.video_id.in_(some))
            retired = sa.update(video).where(video.c.video_id.in_(some))
            self.tx.run(retired.values(retired=True, epoch=video.c.epoch + 1, attempt_id=None))

    def _take_joins_back(self, video_ids: Sequence[str]) -> None:
        joins = (attempt.c.video_id.in_(video_ids), attempt.c.kind == LeaseKind.JOIN.value)
        withdraw(self.tx, *joins, why=RESUBMITTED)

    def _begin_again(self, video_ids: Sequence[str]) -> None:
        """A new round: joins under way, and what was published, count no more."""
        self._take_joins_back(video_ids)
        again = sa.update(video).where(video.c.video_id.in_(video_ids))
        self.tx.run(
            again.values(
                epoch=video.c.epoch + 1, round=video.c.round + 1, attempt_id=None, publication=None, due_at=0.0
            )
        )
        forget(self.tx, [video_holder(video_id) for video_id in video_ids])

    def _keep_out(self, video_ids: Sequence[str]) -> dict[str, VideoState]:
        """A bad row keeps its whole video out: nothing of it is rendered or joined."""
        if video_ids:
            self.jobs.retire(job.c.video_id.in_(video_ids))
            for source in VideoState:
                if source is not VideoState.INVALID:
                    move_videos(self.tx, source, VideoState.INVALID, video.c.video_id.in_(video_ids))
        return dict.fromkeys(video_ids, VideoState.INVALID)

    def _let_in(self, plans: Mapping[str, VideoPlan]) -> dict[str, VideoState]:
        """Queue what was cancelled with a video's lost rows; a row that failed and did not change keeps it failed."""
        counts = job_counts(self.tx, list(plans))
        hopeful = [
            video_id
            for video_id in plans
            if not any(counts[video_id].get(state) for state in (JobState.FAILED, JobState.QUARANTINED))
        ]
        again = queue_again(self.tx, JobState.CANCELLED, job.c.video_id.in_(hopeful), live(job))
        gone, found = agree_with_clips(self.tx, hopeful)
        self.tally.jobs_new += again + gone - found
        self.tally.jobs_reused += found
        for video_id in hopeful:
            self._count_jobs(plans[video_id])
        return settle(self.tx, list(plans), campaign_state=self.state_to_be)

    def _count_jobs(self, plan: VideoPlan) -> None:
        """Count the jobs that this submit inserted for a video that can still be made."""
        self.tally.jobs_new += plan.jobs.get(JobState.QUEUED, 0)
        self.tally.jobs_reused += plan.jobs.get(JobState.RENDERED, 0)

    def _state_of(self, plan: VideoPlan) -> VideoState:
        return VideoState.INVALID if plan.bad else rules.settle(plan.jobs, self.state_to_be).state

    def _record(self, video_id: str, plan: VideoPlan, state: VideoState) -> dict[str, Any]:
        return _said(plan) | {
            "video_id": video_id,
            "name": plan.name,
            "state": state.value,
            "order_key": self.tx.now - plan.priority * self.tx.options.priority_bonus_s,
            "ended_at": self.tx.now if state in VIDEO_TERMINAL else None,
        }


def _said(plan: VideoPlan) -> dict[str, Any]:
    """What the manifest alone decides of a video."""
    code, message = rules.invalid_text(*plan.bad) if plan.bad else ("", "")
    return {
        "rows": plan.rows,
        "priority": plan.priority,
        "error_code": code,
        "error": message,
        "error_blame": Blame.ROW.value if plan.bad else "",
    }
