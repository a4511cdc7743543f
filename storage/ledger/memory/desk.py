"""One transaction on the state of a MemoryLedger: its clock, and the changes that several verbs share."""

from __future__ import annotations

from dataclasses import dataclass

from schemas.attempt import Failure
from schemas.states import VIDEO_TERMINAL, Blame, CampaignState, Ending, JobState, VideoState
from storage.ledger import gate, rules
from storage.ledger.memory.state import AttemptEntry, CampaignEntry, JobEntry, State, VideoEntry
from storage.ledger.options import LedgerOptions


@dataclass(frozen=True, kw_only=True)
class Desk:
    """What a verb works on. `now` stands still while it works."""

    state: State
    now: float
    options: LedgerOptions

    def order_key(self, *, enqueued_at: float, not_before: float, priority: int) -> float:
        bonus_s = self.options.priority_bonus_s
        return rules.order_key(enqueued_at=enqueued_at, not_before=not_before, priority=priority, bonus_s=bonus_s)

    # -- states --------------------------------------------------------------------------------------------------------

    def move_campaign(self, campaign: CampaignEntry, target: CampaignState) -> None:
        gate.campaign_step(campaign.state, target)
        videos = self.state.campaign_videos(campaign.campaign_id)
        gate.campaign_end(target, sum(video.state not in VIDEO_TERMINAL for video in videos))
        campaign.state = target
        campaign.updated_at = self.now

    def move_job(self, job: JobEntry, target: JobState) -> None:
        """The lease of a moved job is gone."""
        job.state = gate.job_step(job.state, target)
        job.attempt_id = None

    def move_video(self, video: VideoEntry, target: VideoState) -> None:
        video.state = gate.video_step(video.state, target)
        video.ended_at = self.now if target in VIDEO_TERMINAL else None
        if target is VideoState.STITCHING:
            video.due_at = 0.0
            video.order_key = self.order_key(enqueued_at=self.now, not_before=0.0, priority=video.priority)

    def queue_again(self, job: JobEntry) -> None:
        """Queue a job for a new round, as if it were enqueued now."""
        self.move_job(job, JobState.QUEUED)
        job.epoch += 1
        job.round += 1
        job.reused = False
        job.enqueued_at, job.due_at = self.now, job.not_before
        job.order_key = self.order_key(enqueued_at=self.now, not_before=job.not_before, priority=job.priority)

    def reuse_clip(self, job: JobEntry) -> None:
        """A queued job becomes rendered by a clip that another one made."""
        self.move_job(job, JobState.RENDERED)
        job.epoch += 1
        job.reused = True

    def agree_with_clips(self, video_id: str) -> None:
        """Make the jobs of a video that begins again agree with the clips that exist."""
        for job in self.state.jobs_of(video_id):
            has_clip = job.render_key in self.state.clips
            if job.state is JobState.RENDERED and not has_clip:
                self.queue_again(job)
            elif job.state is JobState.QUEUED and has_clip:
                self.reuse_clip(job)

    def begin_again(self, video: VideoEntry) -> None:
        """A new round of a video: older leases and what it ended with count no more."""
        video.epoch += 1
        video.round += 1
        video.attempt_id = None
        video.publication = None
        video.due_at = 0.0
        video.error_code = video.error = ""

    def settle(self, video_id: str, *, campaign_state: CampaignState | None = None) -> VideoState:
        """Bring a video where its jobs say. One whose join is under way stays."""
        video = self.state.videos[video_id]
        if video.attempt_id is not None:
            return video.state
        jobs = self.state.jobs_of(video_id)
        counts = {state: sum(job.state is state for job in jobs) for state in JobState}
        outcome = rules.settle(counts, campaign_state or self.state.campaigns[video.campaign_id].state)
        if outcome.cancel_queued:
            for job in jobs:
                if job.state is JobState.QUEUED:
                    self.move_job(job, JobState.CANCELLED)
                    job.epoch += 1
        if outcome.state is not video.state:
            self.move_video(video, outcome.state)
        return video.state

    # -- attempts ------------------------------------------------------------------------------------------------------

    def end(
        self,
        attempt: AttemptEntry,
        verb: str,
        ending: Ending,
        *,
        failure: Failure | None = None,
        device_s: float = 0.0,
    ) -> None:
        attempt.ended_at, attempt.ended_by, attempt.ending = self.now, verb, ending
        attempt.failure = failure
        attempt.device_s = max(attempt.device_s, device_s)
        if failure and failure.phase:
            attempt.phase = failure.phase

    def withdraw(self, attempt_id: str | None, why: str) -> None:
        """End an attempt because an operator took its work away; nobody is to blame."""
        if attempt_id is not None:
            failure = Failure.of(Ending.CANCELLED, why, blame=Blame.PLATFORM)
            self.end(self.state.attempts[attempt_id], "operator", Ending.CANCELLED, failure=failure)

    def free_video(self, video: VideoEntry, *, due_at: float = 0.0) -> None:
        """Give a join back: it is taken again, or cancelled with its campaign."""
        video.attempt_id = None
        if self.state.campaigns[video.campaign_id].cancelling:
            self.move_video(video, VideoState.CANCELLED)
            return
        if video.state is VideoState.CHECKING:
            self.move_video(video, VideoState.STITCHING)
        video.due_at = due_at
