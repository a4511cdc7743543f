"""Submit for MemoryLedger: the difference, applied to a draft of the state."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import count

from schemas.errors import InvalidManifest, Refused
from schemas.job import pool_name
from schemas.states import (
    CAMPAIGN_ENDED,
    CAMPAIGN_TRANSITIONS,
    VIDEO_TERMINAL,
    CampaignState,
    JobState,
    VideoState,
)
from schemas.submission import PlannedRow, Submission, SubmitReport
from storage.ledger import difference, rules
from storage.ledger.difference import KnownRow, Tally
from storage.ledger.identity import campaign_id_of, video_id_of
from storage.ledger.memory.desk import Desk
from storage.ledger.memory.state import CampaignEntry, JobEntry, RowEntry, VideoEntry


def submit(desk: Desk, submission: Submission) -> SubmitReport:
    """Make the campaign what the submission says; on an error the desk's state is of no use any more."""
    return _Submit(desk, submission).run()


_RESUBMITTED = "the sheet was submitted again with a change to it"


class _Submit:
    def __init__(self, desk: Desk, submission: Submission) -> None:
        self.desk, self.state, self.submission = desk, desk.state, submission
        state, now, settings = desk.state, desk.now, submission.settings
        campaign_id = campaign_id_of(settings.team, submission.name)
        self.created = campaign_id not in state.campaigns
        self.campaign = state.campaigns.setdefault(
            campaign_id,
            CampaignEntry(
                campaign_id=campaign_id,
                name=submission.name,
                team=settings.team,
                settings=settings,
                created_at=now,
                updated_at=now,
            ),
        )
        if self.campaign.state is CampaignState.CANCELLING:
            raise Refused(f"campaign {submission.name} is being cancelled", fix="wait, then submit again")
        self.tally = Tally()
        self.ids = count(max(state.jobs, default=0) + 1)
        self.affected: dict[str, set[int]] = defaultdict(set)
        """Videos that differ, each with the jobs that this submit made for it."""
        self.fresh: set[str] = set()

    def run(self) -> SubmitReport:
        planned = list(self.submission.rows)
        by_video: dict[str, list[PlannedRow]] = defaultdict(list)
        twice = [row_id for row_id, n in Counter(row.row_id for row in planned).items() if n > 1]
        if twice:
            raise InvalidManifest(f"row_id {twice[0]} comes twice", fix="give every row an id of its own")
        for row in planned:
            by_video[row.video].append(row)
        bad = {name for name, rows in by_video.items() if not all(row.is_valid for row in rows)}
        for row in planned:
            self._take(row, keep_out=row.video in bad)
        self._remove({row.row_id for row in planned})
        states = {video_id: self._place(video_id, jobs) for video_id, jobs in self.affected.items()}
        return self._finish(states)

    def _take(self, row: PlannedRow, *, keep_out: bool) -> None:
        campaign_id = self.campaign.campaign_id
        video_id = video_id_of(campaign_id, row.video)
        video = self.state.videos.get(video_id)
        before = self.state.row(campaign_id, row.row_id)
        content = difference.content_of(row, difference.look_of(self.submission.settings))
        has_jobs = video is not None and not video.retired and video.state is not VideoState.INVALID
        diff = difference.compare(
            row, before.known if before else None, content=content, video_id=video_id, has_jobs=has_jobs
        )
        self.tally.row(row.row_id, diff.change)
        self.tally.invalid += bool(row.problems) and diff.differs
        if video is None:
            self.fresh.add(video_id)
            self.state.videos[video_id] = VideoEntry(video_id=video_id, campaign_id=campaign_id, name=row.video)
        if diff.differs or self.state.videos[video_id].retired:
            self.affected[video_id] |= set()
        if before and before.video_id != video_id:
            self.affected[before.video_id] |= set()
        if before and not diff.keeps_jobs:
            self._retire_jobs(before.video_id, row.row_id)
        self.state.rows[campaign_id, row.row_id] = self._row(row, video_id, content)
        if diff.keeps_jobs:
            self._new_terms(video_id, row)
        elif row.is_valid and not keep_out:
            self.affected[video_id] |= {self._start(video_id, row, index) for index in range(len(row.jobs))}

    def _row(self, row: PlannedRow, video_id: str, content: str) -> RowEntry:
        return RowEntry(
            row_id=row.row_id,
            video_id=video_id,
            known=KnownRow(
                content=content,
                said="",
                video_id=video_id,
                place=difference.place_of(row),
                priority=row.shot.priority if row.shot else 0,
                not_before=difference.not_before_of(row),
            ),
            line=row.line,
            position=row.position,
            byte_start=row.byte_start,
            byte_end=row.byte_end,
            shot=row.shot if row.is_valid else None,
            problems=row.problems,
        )

    def _start(self, video_id: str, row: PlannedRow, index: int) -> int:
        assert row.shot is not None
        job, settings, not_before = row.jobs[index], self.submission.settings, difference.not_before_of(row)
        request, priority = job.request, row.shot.priority
        rendered = job.render_key in self.state.clips
        entry = JobEntry(
            job_id=next(self.ids),
            campaign_id=self.campaign.campaign_id,
            video_id=video_id,
            job=job,
            render_key=job.render_key,
            pool=pool_name(engine=request.engine, model=request.model, ranks=settings.ranks),
            priority=priority,
            enqueued_at=self.desk.now,
            not_before=not_before,
            due_at=not_before,
            order_key=self.desk.order_key(enqueued_at=self.desk.now, not_before=not_before, priority=priority),
            state=JobState.RENDERED if rendered else JobState.QUEUED,
            reused=rendered,
        )
        self.state.jobs[entry.job_id] = entry
        return entry.job_id

    def _new_terms(self, video_id: str, row: PlannedRow) -> None:
        assert row.shot is not None
        not_before, priority = difference.not_before_of(row), row.shot.priority
        for job in self.state.jobs_of(video_id):
            if job.job.row_id == row.row_id and (job.priority, job.not_before) != (priority, not_before):
                job.due_at = not_before if job.due_at == job.not_before else job.due_at
                job.priority, job.not_before = priority, not_before
                job.order_key = self.desk.order_key(
                    enqueued_at=job.enqueued_at, not_before=not_before, priority=priority
                )

    def _remove(self, kept: set[str]) -> None:
        campaign_id = self.campaign.campaign_id
        for row in self.state.campaign_rows(campaign_id):
            if row.row_id not in kept:
                self.tally.remove(row.row_id)
                self._retire_jobs(row.video_id, row.row_id)
                self.affected[row.video_id] |= set()
                row.retired = True

    def _retire_jobs(self, video_id: str, row_id: str | None = None) -> None:
        made = self.affected.get(video_id, set())
        for job in self.state.jobs_of(video_id):
            if job.job_id in made or row_id not in (None, job.job.row_id):
                continue
            self.desk.withdraw(job.attempt_id, _RESUBMITTED)
            if job.state in (JobState.QUEUED, JobState.LEASED):
                self.desk.move_job(job, JobState.CANCELLED)
            job.retired, job.epoch = True, job.epoch + 1

    def _place(self, video_id: str, made: set[int]) -> VideoState:
        """Bring an affected video where its rows and jobs say; the counts of the report follow from it."""
        video, rows = self.state.videos[video_id], self.state.rows_of(video_id)
        self.desk.withdraw(video.attempt_id, _RESUBMITTED)
        if not rows:
            return self._retire(video)
        if video_id not in self.fresh:
            self.desk.begin_again(video)
        video.retired = False
        video.priority = max((row.known.priority for row in rows), default=0)
        video.order_key = self.desk.order_key(enqueued_at=self.desk.now, not_before=0.0, priority=video.priority)
        bad = sorted((row for row in rows if row.problems or row.shot is None), key=lambda row: row.position)
        if bad:
            self._retire_jobs(video_id)
            if video.state is not VideoState.INVALID:
                self.desk.move_video(video, VideoState.INVALID)
            video.error_code, video.error = rules.invalid_text(bad[0].row_id, bad[0].problems)
            return video.state
        jobs = self.state.jobs_of(video_id)
        if not any(job.state in (JobState.FAILED, JobState.QUARANTINED) for job in jobs):
            before = {job.job_id: job.state for job in jobs}
            for job in jobs:
                if job.state is JobState.CANCELLED:
                    self.desk.queue_again(job)
            self.desk.agree_with_clips(video_id)
            made |= {job.job_id for job in jobs if job.state is not before[job.job_id]}
        settled = self.desk.settle(video_id, campaign_state=self._state_to_be())
        if settled not in VIDEO_TERMINAL:
            states = Counter(self.state.jobs[job_id].state for job_id in made)
            self.tally.jobs_new += states[JobState.QUEUED]
            self.tally.jobs_reused += states[JobState.RENDERED]
        return settled

    def _retire(self, video: VideoEntry) -> VideoState:
        video.retired, video.attempt_id, video.epoch = True, None, video.epoch + 1
        if video.state not in VIDEO_TERMINAL:
            self.desk.move_video(video, VideoState.CANCELLED)
        return video.state

    def _state_to_be(self) -> CampaignState:
        return CampaignState.PLANNED if self.campaign.state in CAMPAIGN_ENDED else self.campaign.state

    def _finish(self, states: dict[str, VideoState]) -> SubmitReport:
        campaign = self.campaign
        campaign.settings, campaign.manifest = self.submission.settings, self.submission.manifest
        if self.created or self.tally.differs:
            campaign.revision += 1
            campaign.updated_at = self.desk.now
        new_work = any(state not in VIDEO_TERMINAL for state in states.values())
        target = CampaignState.PLANNED
        if new_work and campaign.state in CAMPAIGN_ENDED and target in CAMPAIGN_TRANSITIONS[campaign.state]:
            self.desk.move_campaign(campaign, target)
        return self.tally.report(campaign.campaign_id, created=self.created, revision=campaign.revision)
