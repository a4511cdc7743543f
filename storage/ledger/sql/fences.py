"""The first fence: a worker's write finds its lease in force, or finds nothing to write to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import BindParameter, ColumnElement

from schemas.attempt import Failure
from schemas.errors import LeaseLost
from schemas.lease import Lease, LeaseKind
from schemas.retry import Decision
from schemas.states import Blame, CampaignState, Ending, JobState
from storage.ledger.sql.database import Tx
from storage.ledger.sql.prepared import Prepared, Record
from storage.ledger.tables import LIVE_ATTEMPT, attempt, campaign, job, video

_EPOCH: BindParameter[int] = sa.bindparam("lease_epoch")
_ATTEMPT: BindParameter[str] = sa.bindparam("lease_attempt")

JOB_FENCE: tuple[ColumnElement[bool], ...] = (
    job.c.job_id == sa.bindparam("lease_job"),
    job.c.state == JobState.LEASED.value,
    job.c.epoch == _EPOCH,
    job.c.attempt_id == _ATTEMPT,
)
"""What every write to a leased job has in its WHERE; bind it with `of_job`."""

VIDEO_FENCE: tuple[ColumnElement[bool], ...] = (
    video.c.video_id == sa.bindparam("lease_video"),
    video.c.epoch == _EPOCH,
    video.c.attempt_id == _ATTEMPT,
)
"""What every write to a video under a join lease has in its WHERE; bind it with `of_video`."""

_CAMPAIGN = Prepared(
    sa.select(campaign.c.state, campaign.c.settings)
    .where(campaign.c.campaign_id == sa.bindparam("campaign"))
    .with_for_update(read=True)
)
_VIDEO = Prepared(
    sa.select(video.c.video_id, video.c.state, video.c.epoch, video.c.round, video.c.attempt_id, video.c.priority)
    .where(video.c.video_id == sa.bindparam("lease_video"))
    .with_for_update(key_share=True)
)
_JOB = Prepared(
    sa.select(job.c.job_id, job.c.epoch, job.c.round, job.c.attempt_id, job.c.render_key, job.c.not_before)
    .where(*JOB_FENCE)
    .with_for_update(key_share=True)
)
_SPENT: BindParameter[float] = sa.bindparam("spent")
SPENT_AT_LEAST = sa.case((attempt.c.device_s < _SPENT, _SPENT), else_=attempt.c.device_s)
"""The attempt's device seconds, never fewer than were told before; bound as `spent`."""

_END_WELL = Prepared(
    sa.update(attempt)
    .where(sa.text(LIVE_ATTEMPT), attempt.c.attempt_id == _ATTEMPT)
    .values(
        ended_at=sa.bindparam("tx_now"),
        ended_by=sa.bindparam("verb"),
        ending=Ending.OK.value,
        device_s=SPENT_AT_LEAST,
    )
)


@dataclass(frozen=True, kw_only=True)
class Held:
    """A lease that is in force, with its campaign, video and work locked until the transaction ends."""

    lease: Lease
    campaign_state: CampaignState
    settings: str
    video: Record
    subject: Record
    """The job of a render lease, the video of a join lease."""

    @property
    def cancelling(self) -> bool:
        return self.campaign_state in (CampaignState.CANCELLING, CampaignState.CANCELLED)


def hold(tx: Tx, lease: Lease) -> Held | None:
    """Lock what a lease is about; None when its epoch is not the ledger's any more.

    Everybody locks in this order: campaign (shared, so that operators wait and workers do not), video, job, attempt.
    """
    owner = tx.first(_CAMPAIGN, campaign=lease.campaign_id)
    parent = tx.first(_VIDEO, lease_video=lease.video_id)
    if owner is None or parent is None:
        return None
    subject = tx.first(_JOB, **of_job(lease)) if lease.kind is LeaseKind.RENDER else parent
    if subject is None or subject["epoch"] != lease.epoch or subject["attempt_id"] != lease.attempt_id:
        return None
    return Held(
        lease=lease,
        campaign_state=CampaignState(owner["state"]),
        settings=owner["settings"],
        video=parent,
        subject=subject,
    )


def of_job(lease: Lease) -> dict[str, Any]:
    return {"lease_job": int(lease.subject), "lease_epoch": lease.epoch, "lease_attempt": lease.attempt_id}


def of_video(lease: Lease) -> dict[str, Any]:
    return {"lease_video": lease.video_id, "lease_epoch": lease.epoch, "lease_attempt": lease.attempt_id}


def lost(lease: Lease) -> LeaseLost:
    noun = "job" if lease.kind is LeaseKind.RENDER else "video"
    return LeaseLost(
        f"the lease of {noun} {lease.subject} (worker {lease.worker}, epoch {lease.epoch}) is over",
        fix="drop the work; it belongs to somebody else, or to nobody",
    )


def answered(tx: Tx, lease: Lease, verb: str) -> Record | None:
    """The attempt of a lease when this very verb has ended it: the call is made again after a lost connection."""
    return tx.first(
        sa.select(attempt.c.ending, attempt.c.verdict, attempt.c.wait_s, attempt.c.reason).where(
            attempt.c.attempt_id == lease.attempt_id, attempt.c.epoch == lease.epoch, attempt.c.ended_by == verb
        )
    )


def end_well(tx: Tx, lease: Lease, *, verb: str, device_s: float = 0.0) -> None:
    """End the lease's own attempt as `ok`."""
    tx.run(_END_WELL, lease_attempt=lease.attempt_id, tx_now=tx.now, verb=verb, spent=device_s)


def end_attempt(
    tx: Tx,
    *where: ColumnElement[bool],
    verb: str,
    failure: Failure,
    device_s: float = 0.0,
) -> int:
    """End the attempts under way that match, badly; how many ended. Ended attempts are kept for ever."""
    values = {
        "ended_at": tx.now,
        "ended_by": verb,
        "ending": failure.ending.value,
        "blame": failure.blame.value,
        "message": failure.message,
        "seen_at": tx.now,
        "device_s": SPENT_AT_LEAST,
    }
    if failure.phase:
        values["phase"] = failure.phase
    return tx.run(sa.update(attempt).where(sa.text(LIVE_ATTEMPT), *where).values(**values), spent=device_s)


def withdraw(tx: Tx, *where: ColumnElement[bool], why: str) -> int:
    """End attempts because an operator took their work away; nobody is to blame."""
    failure = Failure.of(Ending.CANCELLED, why, blame=Blame.PLATFORM)
    return end_attempt(tx, *where, verb="operator", failure=failure)


def remember(tx: Tx, attempt_id: str, decision: Decision) -> None:
    """Keep the answer that a failing worker was given, for the case that it asks again."""
    tx.run(
        sa.update(attempt)
        .where(attempt.c.attempt_id == attempt_id)
        .values(verdict=decision.verdict.value, wait_s=decision.wait_s, reason=decision.reason)
    )
