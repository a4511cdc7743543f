"""Submit: make a campaign what a manifest says, in one transaction and one pass over its rows.

Rows stream: what stays in memory is a few words per row and per video, and the store key of each input. Jobs are
inserted before it is known whether a bad row further down keeps their whole video out; those of such videos are
deleted before anybody sees them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from schemas.campaign import CampaignSettings
from schemas.errors import InvalidManifest, Refused
from schemas.states import CAMPAIGN_ENDED, CAMPAIGN_TRANSITIONS, VIDEO_TERMINAL, CampaignState, JobState, VideoState
from schemas.submission import PlannedRow, Submission, SubmitReport
from storage.ledger import difference, rules
from storage.ledger.difference import KnownRow, RowDifference, Tally
from storage.ledger.identity import campaign_id_of, video_id_of
from storage.ledger.pointers import shot_keys
from storage.ledger.sql import campaigns
from storage.ledger.sql.database import Tx, chunks
from storage.ledger.sql.job_records import JobRecords
from storage.ledger.sql.prepared import Record
from storage.ledger.sql.references import forget, manifest_holder
from storage.ledger.sql.row_records import RowNow, RowRecords
from storage.ledger.sql.submit_known import VideoPlan, known_rows, known_videos
from storage.ledger.sql.video_records import VideoRecords
from storage.ledger.tables import campaign, job, reference, row, video

_MANY_ROWS = 1_000

_JOB_STATES = {state.value: state for state in JobState}
"""Asked for every row, where `JobState(...)` takes five times as long."""


def submit(tx: Tx, submission: Submission) -> SubmitReport:
    record, created = _campaign(tx, submission)
    if CampaignState(record["state"]) is CampaignState.CANCELLING:
        raise Refused(
            f"campaign {submission.name} is being cancelled", fix="wait until it is cancelled, then submit again"
        )
    return _Submit(tx, submission.settings, record, created=created).run(submission)


def _campaign(tx: Tx, submission: Submission) -> tuple[Record, bool]:
    """The campaign's record, locked, and whether it is new. Two first submits at once meet here."""
    team = submission.settings.team
    campaign_id = campaign_id_of(team, submission.name)
    before = tx.first(sa.select(campaign.c.campaign_id).where(campaign.c.campaign_id == campaign_id))
    if before is None:
        tx.insert_new(
            campaign,
            [
                {
                    "campaign_id": campaign_id,
                    "team": team,
                    "name": submission.name,
                    "state": CampaignState.PLANNED.value,
                    "settings": submission.settings.model_dump_json(),
                    "revision": 0,
                    "created_at": tx.now,
                    "updated_at": tx.now,
                    "coordinator": "",
                    "coordinator_epoch": 0,
                    "coordinator_expires_at": 0.0,
                }
            ],
        )
    record = campaigns.lock(tx, campaign_id)
    return record, record["revision"] == 0


@dataclass(frozen=True, kw_only=True, slots=True)
class _Changes:
    """What some rows of the manifest change in the ledger."""

    new: list[dict[str, Any]] = field(default_factory=list)
    changed: list[dict[str, Any]] = field(default_factory=list)
    ending: list[str] = field(default_factory=list)
    """Rows whose jobs of earlier submits end."""
    starting: list[dict[str, Any]] = field(default_factory=list)
    """Jobs to be inserted."""
    staying: list[tuple[PlannedRow, KnownRow]] = field(default_factory=list)
    """Rows that keep the jobs they have."""


class _Submit:
    """One submit under way: the campaign, what was known of it, and what the manifest says so far."""

    def __init__(self, tx: Tx, settings: CampaignSettings, record: Record, *, created: bool) -> None:
        self.tx = tx
        self.campaign_id: str = record["campaign_id"]
        self.record = record
        self.created = created
        self.revision: int = record["revision"] + 1
        self.look = difference.look_of(settings)
        self.tally = Tally()
        self.seen: set[str] = set()
        self.inputs: set[str] = set()
        """Store keys of all that the rows are made of."""
        self.plans: dict[str, VideoPlan] = {}
        self.known_rows, self.retired_rows = known_rows(tx, self.campaign_id)
        self.known_videos = known_videos(tx, self.campaign_id)
        state = CampaignState(record["state"])
        self.rows = RowRecords(tx=tx, campaign_id=self.campaign_id)
        self.jobs = JobRecords(
            tx=tx, campaign_id=self.campaign_id, revision=self.revision, ranks=settings.ranks, held=rules.is_held(state)
        )
        self.videos = VideoRecords(
            tx=tx,
            campaign_id=self.campaign_id,
            jobs=self.jobs,
            tally=self.tally,
            # An ended campaign with new work will be planned again.
            state_to_be=CampaignState.PLANNED if state in CAMPAIGN_ENDED else state,
        )

    def run(self, submission: Submission) -> SubmitReport:
        for chunk in chunks(submission.rows):
            self._write(self._compared(chunk))
        self._remove_rows()
        self.rows.point_to(self.inputs)
        states = self._place_videos()
        differs = self.created or self.tally.differs
        self._update_campaign(submission, differs=differs, states=states)
        self._refresh_statistics()
        revision = self.revision if differs else self.revision - 1
        return self.tally.report(self.campaign_id, created=self.created, revision=revision)

    # -- rows ----------------------------------------------------------------------------------------------------------

    def _compared(self, chunk: Sequence[PlannedRow]) -> _Changes:
        """What some rows change; nothing is asked of the database."""
        changes = _Changes()
        for planned in chunk:
            video_id = video_id_of(self.campaign_id, planned.video)
            known = self._first_sight(planned)
            now = RowNow.of(planned, video_id=video_id, look=self.look)
            diff = self._compare(now, known)
            plan = self._plan_video(planned, known, video_id, diff)
            if known is not None and diff.keeps_jobs:
                changes.staying.append((planned, known))
            elif known is not None:
                changes.ending.append(planned.row_id)
            if planned.is_valid and not diff.keeps_jobs and plan.bad is None:
                changes.starting.extend(self.jobs.of(planned, video_id))
            if planned.shot is not None and planned.is_valid:
                self.inputs |= shot_keys(planned.shot)
            if known is None or not now.is_known_as(known):
                is_new = known is None and planned.row_id not in self.retired_rows
                (changes.new if is_new else changes.changed).append(self.rows.record(now))
        return changes

    def _write(self, changes: _Changes) -> None:
        self._retire_jobs(changes.ending)
        self.rows.write(changes.new, changes.changed)
        self.rows.new_terms(changes.staying)
        for (video_id, state), number in self.jobs.insert(changes.starting).items():
            self.plans[video_id].count(_JOB_STATES[state], number)

    def _first_sight(self, planned: PlannedRow) -> KnownRow | None:
        if planned.row_id in self.seen:
            raise InvalidManifest(f"row_id {planned.row_id} comes twice", fix="give every row an id of its own")
        self.seen.add(planned.row_id)
        return self.known_rows.get(planned.row_id)

    def _compare(self, now: RowNow, known: KnownRow | None) -> RowDifference:
        planned, before = now.planned, self.known_videos.get(now.video_id)
        has_jobs = before is not None and before.has_jobs
        diff = difference.compare(planned, known, content=now.content, video_id=now.video_id, has_jobs=has_jobs)
        self.tally.row(planned.row_id, diff.change)
        self.tally.invalid += bool(planned.problems) and diff.differs
        return diff

    def _plan_video(self, planned: PlannedRow, known: KnownRow | None, video_id: str, diff: RowDifference) -> VideoPlan:
        plan = self.plans.setdefault(video_id, VideoPlan(name=planned.video))
        plan.add(planned)
        plan.affected = plan.affected or diff.differs
        if known is not None and known.video_id != video_id:
            self._lose_row(known.video_id)
        return plan

    def _lose_row(self, video_id: str) -> None:
        """A row left this video; a plan that has no rows at the end means that the video is gone."""
        self.plans.setdefault(video_id, VideoPlan(name="")).affected = True

    def _remove_rows(self) -> None:
        gone = [row_id for row_id in self.known_rows if row_id not in self.seen]
        for row_id in gone:
            self.tally.remove(row_id)
            self._lose_row(self.known_rows[row_id].video_id)
        for some in chunks(gone):
            self.rows.remove(some)
            self._retire_jobs(some)

    def _retire_jobs(self, row_ids: Sequence[str]) -> None:
        """Retire the jobs that earlier submits made for these rows."""
        if row_ids:
            owners = {self.known_rows[row_id].video_id for row_id in row_ids}
            self.jobs.retire(job.c.video_id.in_(owners), job.c.row_id.in_(row_ids), job.c.revision < self.revision)

    # -- videos and campaign -------------------------------------------------------------------------------------------

    def _place_videos(self) -> dict[str, VideoState]:
        """Bring every video that is new or affected where its rows and jobs say; their states."""
        self.videos.retire([video_id for video_id, plan in self.plans.items() if not plan.rows])
        plans = {video_id: plan for video_id, plan in self.plans.items() if plan.rows}
        self.jobs.forget([video_id for video_id, plan in plans.items() if plan.bad and plan.jobs])
        new = {video_id: plan for video_id, plan in plans.items() if video_id not in self.known_videos}
        changed = {video_id: plan for video_id, plan in plans.items() if self._is_changed(video_id, plan)}
        return self.videos.insert(new) | self.videos.change(changed)

    def _is_changed(self, video_id: str, plan: VideoPlan) -> bool:
        known = self.known_videos.get(video_id)
        return known is not None and (plan.affected or known.retired)

    def _refresh_statistics(self) -> None:
        # PostgreSQL plans by what it last counted; its own daemon comes a minute late, the workers at once.
        if len(self.seen) >= _MANY_ROWS and self.tx.conn.dialect.name == "postgresql":
            self.tx.run(sa.text(f"ANALYZE {row.name}, {video.name}, {job.name}"))

    def _update_campaign(self, submission: Submission, *, differs: bool, states: dict[str, VideoState]) -> None:
        manifest = submission.manifest
        values: dict[str, Any] = {
            "settings": submission.settings.model_dump_json(),
            "manifest": manifest.model_dump_json() if manifest else None,
        }
        if differs:
            values |= {"revision": self.revision, "updated_at": self.tx.now}
        mine = campaign.c.campaign_id == self.campaign_id
        self.tx.run(sa.update(campaign).where(mine).values(**values))
        holder = manifest_holder(self.campaign_id)
        forget(self.tx, [holder])
        self.tx.insert(reference, [{"holder": holder, "key": manifest.object.key}] if manifest else [])
        source = CampaignState(self.record["state"])
        new_work = any(state not in VIDEO_TERMINAL for state in states.values())
        if new_work and source in CAMPAIGN_ENDED and CampaignState.PLANNED in CAMPAIGN_TRANSITIONS[source]:
            campaigns.move(self.tx, self.record, CampaignState.PLANNED)
