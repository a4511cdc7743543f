"""SqlLedger: the protocol's verbs, each one transaction of the modules beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from itertools import count

from sqlalchemy.exc import DBAPIError

from schemas.attempt import Failure
from schemas.campaign import Campaign
from schemas.clip import Clip, Publication
from schemas.errors import CallsheetError, LeaseLost, Refused, Retryable
from schemas.job import RenderJob
from schemas.lease import Lease, LeaseKind, Progress, Signal, WorkerIdentity
from schemas.retry import Decision
from schemas.shot import Shot
from schemas.states import CampaignState, Ending, JobState, VideoState, WaitingReason
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
from storage.ledger import gate
from storage.ledger.identity import new_attempt_id
from storage.ledger.sql import campaigns, claims, endings, joins, looks, operators, references, rows, slices
from storage.ledger.sql.database import Database, Tx
from storage.ledger.sql.submit import submit


class SqlLedger:
    """The ledger in SQLite or PostgreSQL; `storage.ledger.protocol.Ledger` says what each verb promises.

    Safe to use from several threads. Between verbs it holds no transaction, and on PostgreSQL no connection.
    """

    def __init__(self, database: Database, *, new_id: Callable[[], str] = new_attempt_id) -> None:
        """`new_id` draws the attempts' ids; no two draws ever give the same one."""
        self._database = database
        self._new_id = new_id

    # -- campaigns -----------------------------------------------------------------------------------------------------

    def submit(self, submission: Submission, *, dry_run: bool = False) -> SubmitReport:
        begun = False

        def work(tx: Tx) -> SubmitReport:
            nonlocal begun
            if begun and isinstance(submission.rows, Iterator):
                raise Retryable("the database broke off while the rows streamed in", fix="submit again")
            begun = True
            return submit(tx, submission)

        return self._database.write(work, keep=not dry_run)

    def campaign(self, name_or_id: str) -> Campaign:
        return self._database.read(lambda tx: campaigns.find(tx, name_or_id))

    def campaigns(self) -> list[Campaign]:
        return self._database.read(campaigns.newest_first)

    def set_state(self, campaign_id: str, state: CampaignState, *, coordinator_epoch: int | None = None) -> bool:
        def work(tx: Tx) -> bool:
            record = campaigns.lock(tx, campaign_id)
            campaigns.require_coordinator(record, coordinator_epoch)
            if record["state"] == state.value:
                return False
            if coordinator_epoch is not None:
                gate.coordinators_step(CampaignState(record["state"]))
            if state is CampaignState.CANCELLING:
                operators.cancel(tx, campaign_id)
            elif state is CampaignState.CANCELLED:
                gate.campaign_step(CampaignState(record["state"]), state)
                _finish(tx, campaign_id)
            else:
                campaigns.move(tx, record, state)
            return True

        return self._database.write(work)

    def coordinate(self, campaign_id: str, owner: str, *, ttl: float) -> int | None:
        return self._database.write(lambda tx: campaigns.coordinate(tx, campaign_id, owner, ttl=ttl))

    def resign(self, campaign_id: str, owner: str) -> None:
        self._database.write(lambda tx: campaigns.resign(tx, campaign_id, owner))

    # -- work ----------------------------------------------------------------------------------------------------------

    def claim(self, worker: WorkerIdentity, kind: LeaseKind, *, ttl: float) -> Lease | None:
        made: Lease | None = None
        while True:
            # Drawn once for all tries: if the commit's answer got lost, the next try finds the lease it made.
            attempt_id, tries = self._new_id(), count()

            def work(tx: Tx, attempt_id: str = attempt_id, tries: Iterator[int] = tries) -> Lease | None:
                nonlocal made
                made = claims.claim(tx, worker, kind, ttl=ttl, attempt_id=attempt_id, again=next(tries) > 0)
                return made

            try:
                lease = self._database.write(work)
            except LeaseLost:
                continue  # its answer came so late that the lease had run out: nobody has worked on it
            except Exception:
                raise
            except BaseException:
                # A signal, perhaps between the commit and its answer: nobody would ever hear of that lease.
                if made is not None:
                    self._give_back(made)
                raise
            return lease

    def _give_back(self, lease: Lease) -> None:
        """Release a lease that may have been made; one that was not is no lease."""
        told = Failure.of(Ending.PREEMPTED, "told to stop before the claim was answered")
        with suppress(CallsheetError, DBAPIError):
            self._database.write(lambda tx: endings.release(tx, lease, told, device_s=0.0))

    def peek(self, worker: WorkerIdentity) -> RenderJob | None:
        return self._database.read(lambda tx: claims.peek(tx, worker))

    def heartbeat(self, lease: Lease, progress: Progress, *, device_s: float = 0.0) -> tuple[Lease, Signal]:
        return self._database.write(lambda tx: claims.heartbeat(tx, lease, progress, device_s=device_s))

    def complete(self, lease: Lease, clip: Clip, *, device_s: float = 0.0) -> Clip:
        return self._database.write(lambda tx: endings.complete(tx, lease, clip, device_s=device_s))

    def shots(self, lease: Lease) -> tuple[Shot, ...]:
        return self._database.read(lambda tx: joins.shots(tx, lease))

    def clips(self, lease: Lease) -> list[tuple[RenderJob, Clip]]:
        return self._database.read(lambda tx: joins.clips(tx, lease))

    def checking(self, lease: Lease) -> None:
        self._database.write(lambda tx: joins.checking(tx, lease))

    def publish(self, lease: Lease, publication: Publication) -> None:
        # Raised after the commit: taking the join back is kept.
        if not self._database.write(lambda tx: joins.publish(tx, lease, publication)):
            raise LeaseLost(f"the campaign of video {lease.video_id} is being cancelled", fix="drop the work")

    def fail(self, lease: Lease, failure: Failure, *, device_s: float = 0.0) -> Decision:
        return self._database.write(lambda tx: endings.fail(tx, lease, failure, device_s=device_s))

    def release(self, lease: Lease, failure: Failure, *, device_s: float = 0.0) -> None:
        self._database.write(lambda tx: endings.release(tx, lease, failure, device_s=device_s))

    def clip_vanished(self, lease: Lease, render_key: str) -> None:
        self._database.write(lambda tx: joins.clip_vanished(tx, lease, render_key))

    # -- operators -----------------------------------------------------------------------------------------------------

    def reap(self) -> ReapReport:
        return self._reap(None)

    def _reap(self, campaign_id: str | None) -> ReapReport:
        """Each lost attempt ends in a transaction of its own: a sweep locks little, and stops anywhere unharmed."""
        found = self._database.read(operators.expired)
        mine = [record for record in found if campaign_id in (None, record["campaign_id"])]
        ends = [self._database.write(partial(operators.end_lost, found=record)) for record in mine]
        return ReapReport(
            requeued=ends.count(JobState.QUEUED),
            quarantined=ends.count(JobState.QUARANTINED),
            joins=sum(isinstance(end, VideoState) for end in ends),
        )

    def cancel(self, campaign_id: str, *, dry_run: bool = False) -> Change:
        return self._database.write(lambda tx: operators.cancel(tx, campaign_id), keep=not dry_run)

    def finish_cancel(self, campaign_id: str) -> bool:
        self._reap(campaign_id)
        return self._database.write(lambda tx: operators.finish_cancel(tx, campaign_id))

    def retry(
        self,
        campaign_id: str,
        *,
        row_ids: Sequence[str] = (),
        states: Sequence[VideoState] = (VideoState.FAILED,),
        dry_run: bool = False,
    ) -> Change:
        return self._database.write(
            lambda tx: operators.retry(tx, campaign_id, row_ids=row_ids, states=states), keep=not dry_run
        )

    # -- those who look ------------------------------------------------------------------------------------------------

    def counts(self, campaign_id: str) -> Counts:
        return self._database.read(lambda tx: looks.counts(tx, campaign_id))

    def waiting(self, campaign_id: str) -> dict[WaitingReason, int]:
        return self._database.read(lambda tx: looks.waiting(tx, campaign_id))

    def rows(
        self,
        campaign_id: str,
        *,
        states: Sequence[VideoState] = (),
        after: int = -1,
        limit: int | None = None,
    ) -> Iterator[RowStatus]:
        return rows.pages(self._database.read, campaign_id, states=states, after=after, limit=limit)

    def slices(self, campaign_id: str, parts: int) -> list[SliceCount]:
        return self._database.read(lambda tx: slices.slices(tx, campaign_id, parts))

    def ended(self, campaign_id: str, *, after: float, limit: int) -> list[EndedVideo]:
        return self._database.read(lambda tx: slices.ended(tx, campaign_id, after=after, limit=limit))

    def explain(self, campaign_id: str, row_id: str) -> Explanation:
        return self._database.read(lambda tx: rows.explain(tx, campaign_id, row_id))

    def pending(self, campaign_id: str) -> Change:
        return self._database.read(lambda tx: operators.unfinished(tx, campaign_id))

    def workers(self, campaign_id: str | None = None) -> list[WorkerStatus]:
        return self._database.read(lambda tx: looks.workers(tx, campaign_id))

    def referenced_keys(self, *, after: str = "", limit: int = 1000) -> list[str]:
        return self._database.read(lambda tx: references.referenced_keys(tx, after=after, limit=limit))

    def now(self) -> float:
        return self._database.read(lambda tx: tx.now)

    def close(self) -> None:
        self._database.close()


def _finish(tx: Tx, campaign_id: str) -> None:
    if not operators.finish_cancel(tx, campaign_id):
        raise Refused("leases of the campaign are alive", fix="wait for its workers, then call finish_cancel")
