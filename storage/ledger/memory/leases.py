"""Choosing, leasing, and how attempts end in a MemoryLedger."""

from __future__ import annotations

from schemas.attempt import Failure
from schemas.errors import LeaseLost
from schemas.lease import Lease, LeaseKind, WorkerIdentity
from schemas.retry import Decision, Verdict, decide
from schemas.states import JobState, VideoState
from schemas.status import ReapReport
from storage.ledger import gate, rules
from storage.ledger.memory.desk import Desk
from storage.ledger.memory.state import AttemptEntry, JobEntry, VideoEntry

_JOB_ENDS = {
    Verdict.RETRY: JobState.QUEUED,
    Verdict.FAIL: JobState.FAILED,
    Verdict.QUARANTINE: JobState.QUARANTINED,
}


# -- choosing ----------------------------------------------------------------------------------------------------------


def next_job(desk: Desk, worker: WorkerIdentity) -> JobEntry | None:
    """The best job of the worker's warm bucket while it is within the head start, else the best of all."""
    state = desk.state
    candidates = [
        job
        for job in state.live_jobs()
        if job.state is JobState.QUEUED
        and not rules.is_held(state.campaigns[job.campaign_id].state)
        and job.pool == worker.pool
        and worker.campaign_id in ("", job.campaign_id)
        and job.due_at <= desk.now
        and not state.twin_is_leased(job)
    ]
    candidates.sort(key=lambda job: (job.order_key, job.job_id))
    if not candidates:
        return None
    warm = next((job for job in candidates if job.job.request.bucket == worker.warm_bucket), None)
    best = candidates[0]
    return warm if warm and warm.order_key <= best.order_key + desk.options.head_start_s else best


def next_video(desk: Desk, worker: WorkerIdentity) -> VideoEntry | None:
    candidates = [
        video
        for video in desk.state.videos.values()
        if video.state is VideoState.STITCHING
        and video.attempt_id is None
        and not rules.is_held(desk.state.campaigns[video.campaign_id].state)
        and worker.campaign_id in ("", video.campaign_id)
        and video.due_at <= desk.now
    ]
    return min(candidates, key=lambda video: (video.order_key, video.video_id), default=None)


# -- leasing -----------------------------------------------------------------------------------------------------------


def lease_job(desk: Desk, job: JobEntry, worker: WorkerIdentity, *, ttl: float, attempt_id: str) -> Lease:
    job.state = gate.job_step(job.state, JobState.LEASED)
    video = desk.state.videos[job.video_id]
    if video.state is VideoState.WAITING:
        desk.move_video(video, VideoState.RENDERING)
    lease = _lease(desk, job, worker, ttl=ttl, attempt_id=attempt_id)
    return lease.model_copy(update={"job": job.job})


def lease_video(desk: Desk, video: VideoEntry, worker: WorkerIdentity, *, ttl: float, attempt_id: str) -> Lease:
    return _lease(desk, video, worker, ttl=ttl, attempt_id=attempt_id)


def _lease(desk: Desk, work: JobEntry | VideoEntry, worker: WorkerIdentity, *, ttl: float, attempt_id: str) -> Lease:
    work.epoch += 1
    work.attempt_id = attempt_id
    attempt = AttemptEntry(
        attempt_id=attempt_id,
        kind=LeaseKind.RENDER if isinstance(work, JobEntry) else LeaseKind.JOIN,
        subject=str(work.job_id) if isinstance(work, JobEntry) else work.video_id,
        campaign_id=work.campaign_id,
        video_id=work.video_id,
        row_id=work.job.row_id if isinstance(work, JobEntry) else "",
        worker=worker.worker,
        pool=work.pool if isinstance(work, JobEntry) else "",
        epoch=work.epoch,
        round=work.round,
        started_at=desk.now,
        expires_at=desk.now + ttl,
        seen_at=desk.now,
        ttl=ttl,
    )
    desk.state.attempts[attempt_id] = attempt
    return attempt.to_lease()


def held(desk: Desk, lease: Lease) -> AttemptEntry | None:
    """The attempt of a lease that is in force."""
    attempt = desk.state.attempts.get(lease.attempt_id)
    if attempt is None or attempt.ended_at is not None:
        return None
    if (attempt.kind, attempt.subject, attempt.epoch) != (lease.kind, lease.subject, lease.epoch):
        return None
    work = work_of(desk, attempt)
    return attempt if (work.epoch, work.attempt_id) == (lease.epoch, lease.attempt_id) else None


def require_held(desk: Desk, lease: Lease) -> AttemptEntry:
    attempt = held(desk, lease)
    if attempt is None:
        raise lost(lease)
    return attempt


def answered(desk: Desk, lease: Lease, verb: str) -> AttemptEntry:
    """The attempt of a lease that this very verb has ended. Raises LeaseLost."""
    attempt = desk.state.attempts.get(lease.attempt_id)
    if attempt is None or (attempt.epoch, attempt.ended_by) != (lease.epoch, verb):
        raise lost(lease)
    return attempt


def work_of(desk: Desk, attempt: AttemptEntry) -> JobEntry | VideoEntry:
    if attempt.kind is LeaseKind.RENDER:
        return desk.state.jobs[int(attempt.subject)]
    return desk.state.videos[attempt.subject]


def lost(lease: Lease) -> LeaseLost:
    return LeaseLost(
        f"the lease of {lease.kind} {lease.subject} (worker {lease.worker}, epoch {lease.epoch}) is over",
        fix="drop the work; it belongs to somebody else, or to nobody",
    )


# -- ending ------------------------------------------------------------------------------------------------------------


def end_badly(desk: Desk, attempt: AttemptEntry, failure: Failure, *, verb: str, device_s: float = 0.0) -> Decision:
    """End an attempt, decide over those of its round, and do what was decided."""
    desk.end(attempt, verb, failure.ending, failure=failure, device_s=device_s)
    same = [
        one
        for one in desk.state.attempts.values()
        if (one.kind, one.subject, one.round) == (attempt.kind, attempt.subject, attempt.round)
        and one.ended_at is not None
    ]
    same.sort(key=lambda one: one.epoch)
    policy = desk.state.campaigns[attempt.campaign_id].settings.retry_policy
    decision = attempt.decision = decide([one.to_attempt() for one in same], policy)
    video = desk.state.videos[attempt.video_id]
    if decision.verdict is not Verdict.RETRY:
        video.error_code, video.error = rules.failure_code(failure), failure.message
    if attempt.kind is LeaseKind.RENDER:
        _end_job(desk, desk.state.jobs[int(attempt.subject)], decision)
    elif decision.verdict is Verdict.RETRY:
        desk.free_video(video, due_at=desk.now + decision.wait_s)
    else:
        desk.move_video(video, VideoState.FAILED)
        video.attempt_id = None
    return decision


def _end_job(desk: Desk, job: JobEntry, decision: Decision) -> None:
    desk.move_job(job, _JOB_ENDS[decision.verdict])
    if decision.verdict is Verdict.RETRY:
        job.due_at = max(desk.now + decision.wait_s, job.not_before)
    desk.settle(job.video_id)


def reap(desk: Desk, campaign_id: str | None) -> ReapReport:
    """End every attempt whose time is over as `lost`; those of one campaign when it is named."""
    ends: list[JobState] = []
    joins = 0
    late = [a for a in desk.state.under_way() if a.expires_at <= desk.now and campaign_id in (None, a.campaign_id)]
    for attempt in sorted(late, key=lambda a: a.expires_at):
        silent_s = desk.now - attempt.seen_at
        failure = rules.lost(worker=attempt.worker, silent_s=silent_s, ttl=attempt.ttl, phase=attempt.phase)
        end_badly(desk, attempt, failure, verb="reap")
        work = work_of(desk, attempt)
        work.epoch += 1
        if isinstance(work, JobEntry):
            ends.append(work.state)
        else:
            joins += 1
    return ReapReport(requeued=ends.count(JobState.QUEUED), quarantined=ends.count(JobState.QUARANTINED), joins=joins)
