"""The ledger: the only truth about what is done. One protocol, three implementations, one conformance suite.

Every write by a worker takes the lease and affects nothing when the lease's epoch is not the ledger's
any more (`LeaseLost`). Every write by an operator or by the reaper raises the epoch, so that older leases fail.
Writes are idempotent by attempt id: after a lost connection the same call may be made again and answers as if it
had been the first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from schemas.attempt import Failure
from schemas.campaign import Campaign
from schemas.clip import Clip, Publication
from schemas.job import RenderJob
from schemas.lease import Lease, LeaseKind, Progress, Signal, WorkerIdentity
from schemas.retry import Decision
from schemas.shot import Shot
from schemas.states import CampaignState, VideoState, WaitingReason
from schemas.status import (
    Change,
    Counts,
    EndedVideo,
    Explanation,
    ReapReport,
    RowStatus,
    SliceCount,
    WorkerStatus,
)
from schemas.submission import Submission, SubmitReport


class Ledger(Protocol):
    """All times are seconds since the epoch on the database's clock; durations are seconds."""

    # -- campaigns ---------------------------------------------------------------------------------------------

    def submit(self, submission: Submission, *, dry_run: bool = False) -> SubmitReport:
        """Make the campaign of that name (and team) what the submission says, in one transaction.

        Rows are compared by id and content. Only the difference becomes new jobs; a job whose render key has a
        clip already is born `rendered`. Unchanged rows keep their videos as they are. A changed or removed row
        raises the epoch of its video and of its old jobs, so that work under way on them is refused. A video with
        a bad row is `invalid`. A row that was failed, cancelled or skipped and did not change stays so (that is
        what `retry` is for). With `dry_run` nothing is written and the report says what would have been.

        Raises:
            Refused: the campaign is `cancelling`.
        """
        ...

    def campaign(self, name_or_id: str) -> Campaign:
        """Raises NotFound, naming the campaigns that exist."""
        ...

    def campaigns(self) -> list[Campaign]:
        """Newest first."""
        ...

    def set_state(self, campaign_id: str, state: CampaignState, *, coordinator_epoch: int | None = None) -> bool:
        """Move a campaign along CAMPAIGN_TRANSITIONS; False when it is there already.

        Jobs of a campaign that is not claimable are held back from claiming in the same transaction.

        Raises:
            Refused: the transition is not in the table, the campaign is to be done before all its videos are, or a
                coordinator would move one that does not run: only people end a pause.
            CoordinatorLost: `coordinator_epoch` is given and is not the ledger's.
        """
        ...

    def coordinate(self, campaign_id: str, owner: str, *, ttl: float) -> int | None:
        """Become, or stay, the one coordinator: its epoch, or None while another owner's right has not expired.

        A change of owner raises the epoch; the same owner renews under the same one.
        """
        ...

    def resign(self, campaign_id: str, owner: str) -> None:
        """Give the coordinator's right back; nothing happens when it is not the owner's."""
        ...

    # -- work --------------------------------------------------------------------------------------------------

    def claim(self, worker: WorkerIdentity, kind: LeaseKind, *, ttl: float) -> Lease | None:
        """The next piece of work, or None.

        Render jobs come by `order_key` (enqueued_at - priority x bonus); one of the worker's warm bucket is taken
        first while it is no more than the head start behind. Held, backing-off, not-yet-due jobs, jobs of another
        pool, and jobs whose twin (same render key) is leased are passed over. A join comes when all jobs of its
        video are rendered.
        """
        ...

    def peek(self, worker: WorkerIdentity) -> RenderJob | None:
        """The job that `claim` would most likely give next, without leasing it: for prefetching inputs only."""
        ...

    def heartbeat(self, lease: Lease, progress: Progress, *, device_s: float = 0.0) -> tuple[Lease, Signal]:
        """Renew for the lease's own ttl and note how far the work is.

        Raises:
            LeaseLost: the epoch moved on.
        """
        ...

    def complete(self, lease: Lease, clip: Clip, *, device_s: float = 0.0) -> Clip:
        """Commit a rendered clip; the clip that counts is returned.

        It is the earlier one when the render key had one already (first writer wins). All queued twins become
        `rendered` with it.

        Raises:
            LeaseLost: the epoch moved on.
        """
        ...

    def shots(self, lease: Lease) -> tuple[Shot, ...]:
        """The shots of a join lease's video, in the video's order. Raises LeaseLost."""
        ...

    def clips(self, lease: Lease) -> list[tuple[RenderJob, Clip]]:
        """What a join lease joins: every job of the video with its clip, in shot and clip order.

        Raises:
            LeaseLost: the epoch moved on.
        """
        ...

    def checking(self, lease: Lease) -> None:
        """The join is made and is being checked: video `stitching` -> `checking`. Raises LeaseLost."""
        ...

    def publish(self, lease: Lease, publication: Publication) -> None:
        """Commit the pointer to a finished video: the only act that publishes.

        Raises:
            LeaseLost: the epoch moved on, or the campaign is being cancelled.
        """
        ...

    def fail(self, lease: Lease, failure: Failure, *, device_s: float = 0.0) -> Decision:
        """End an attempt badly; `schemas.retry.decide` over the round's attempts says what follows.

        Raises:
            LeaseLost: the epoch moved on.
        """
        ...

    def release(self, lease: Lease, failure: Failure, *, device_s: float = 0.0) -> None:
        """Give work back unfinished (preempted, cancelled): it is queued again and no attempt is used up.

        Work of a campaign that is `cancelling` becomes `cancelled` instead. Raises LeaseLost.
        """
        ...

    def clip_vanished(self, lease: Lease, render_key: str) -> None:
        """A join found a clip's object gone or changed: forget the clip and queue its jobs again.

        The join lease ends as interrupted. Raises LeaseLost.
        """
        ...

    # -- operators ---------------------------------------------------------------------------------------------

    def reap(self) -> ReapReport:
        """End every attempt whose lease expired as `lost`, and decide what follows. Safe to call from anywhere."""
        ...

    def cancel(self, campaign_id: str, *, dry_run: bool = False) -> Change:
        """Write the intent: campaign `cancelling`, queued jobs and unstarted videos `cancelled`.

        Leased work sees it at its next heartbeat. Idempotent.
        """
        ...

    def finish_cancel(self, campaign_id: str) -> bool:
        """`cancelling` -> `cancelled` once no lease is alive; True when it is so now."""
        ...

    def retry(
        self,
        campaign_id: str,
        *,
        row_ids: Sequence[str] = (),
        states: Sequence[VideoState] = (VideoState.FAILED,),
        dry_run: bool = False,
    ) -> Change:
        """Queue again what ended in one of `states` (or the named rows of those states), in a new round.

        Rendered clips of such a video are kept; epochs go on rising. An ended campaign runs again.
        """
        ...

    # -- those who look ----------------------------------------------------------------------------------------

    def counts(self, campaign_id: str) -> Counts: ...

    def waiting(self, campaign_id: str) -> dict[WaitingReason, int]:
        """How many queued jobs wait for what; adds up to the queued jobs."""
        ...

    def rows(
        self,
        campaign_id: str,
        *,
        states: Sequence[VideoState] = (),
        after: int = -1,
        limit: int | None = None,
    ) -> Iterator[RowStatus]:
        """Rows in manifest order with position above `after`; streamed in pages, never all in memory."""
        ...

    def slices(self, campaign_id: str, parts: int) -> list[SliceCount]:
        """The videos by slice, state and error code, in one aggregate query; at most `parts` slices of equal size."""
        ...

    def ended(self, campaign_id: str, *, after: float, limit: int) -> list[EndedVideo]:
        """Videos that ended after that time, the earliest first. A bad row's video ends when it is submitted."""
        ...

    def explain(self, campaign_id: str, row_id: str) -> Explanation:
        """Raises NotFound."""
        ...

    def pending(self, campaign_id: str) -> Change:
        """What a campaign has left to do: videos not ended, clips not rendered, their estimated device time."""
        ...

    def workers(self, campaign_id: str | None = None) -> list[WorkerStatus]:
        """Those that hold a lease now."""
        ...

    def referenced_keys(self, *, after: str = "", limit: int = 1000) -> list[str]:
        """Store keys that some row, clip or publication points to, above `after` in key order."""
        ...

    def now(self) -> float:
        """The database's clock."""
        ...

    def close(self) -> None: ...
