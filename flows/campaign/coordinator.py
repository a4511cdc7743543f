"""The coordinator: what one flow does for its campaign, one tick at a time.

It holds the campaign's coordinator right, sweeps expired leases, joins what is rendered, and ends the campaign. It
asks only the ledger what is done. Any number of flows may run for one campaign: all but one are observers.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from flows.stages.executor import RESUBMITS, Executor, Task, TaskDied
from flows.stages.join import ClipVanished, JoinOrder, run_join
from flows.stages.phases import JoinListener, JoinStep, silent
from media.ffmpeg import FfmpegFailed
from media.full_disk import is_out_of_disk
from media.output_gate import BadOutput
from schemas.attempt import Failure
from schemas.campaign import Campaign
from schemas.clip import Publication
from schemas.edge import Edge
from schemas.errors import (
    CallsheetError,
    CoordinatorLost,
    Corrupted,
    InvalidMedia,
    InvalidSettings,
    LeaseLost,
    Refused,
    Retryable,
)
from schemas.lease import Lease, LeaseKind, Progress, Signal, WorkerIdentity
from schemas.settings import Settings
from schemas.states import (
    CAMPAIGN_CLAIMABLE,
    CAMPAIGN_ENDED,
    JOB_TERMINAL,
    VIDEO_TERMINAL,
    Blame,
    CampaignState,
    Ending,
    JobState,
    VideoState,
)
from schemas.status import Counts
from storage.ledger.protocol import Ledger

log = logging.getLogger("callsheet.coordinator")

STORE_REST_FIRST_S = 1.0
STORE_REST_MAX_S = 60.0

_MADE_WRONG = (TaskDied, FfmpegFailed, Corrupted, OSError)
"""What a join itself may cause: it uses up attempts. A store that is away is nobody's failure."""


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """The campaign after one tick."""

    campaign: Campaign
    counts: Counts
    observing: bool
    joining: int

    @property
    def ended(self) -> bool:
        return self.campaign.state in CAMPAIGN_ENDED


@dataclass
class _Join:
    lease: Lease
    order: JoinOrder
    task: Task
    started: float
    renewed: float
    tries: int = 0
    checked: bool = False
    """The ledger knows that it is being checked."""


@dataclass(kw_only=True)
class Coordinator:
    """Call `tick` until the snapshot says `ended`, then `close`. Nothing is lost if that never happens."""

    ledger: Ledger
    executor: Executor
    settings: Settings
    campaign_id: str
    owner: str
    """Unique per flow process."""
    worker: str = ""
    """Who joins, by a name that stays the same when the flow is started again: three different ones that lose a join
    set its video aside. Empty: the owner."""
    clock: Callable[[], float] = time.monotonic
    listener: JoinListener = silent
    """Told before and after every step of every join."""
    _joins: list[_Join] = field(default_factory=list)
    _claimed: tuple[Lease, float] | None = None
    """A join that is not begun yet, and when it was asked for."""
    _claiming: Campaign | None = None
    """The campaign as the last tick saw it, while its joins may be claimed by this flow."""
    _rest_until: float = 0.0
    """No join is claimed before: the store was away."""
    _rests: int = 0
    _sweep_from: float = 0.0
    _was_away: bool = False
    """The ledger, when it was last asked for anything."""

    def tick(self) -> Snapshot:
        """One round of everything.

        Raises:
            Retryable: the ledger is away; the same call may be made again.
        """
        with self._sparing_the_late():
            return self._tick()

    def _tick(self) -> Snapshot:
        epoch = self.ledger.coordinate(self.campaign_id, self.owner, ttl=self.settings.lease_ttl_s)
        campaign = self.ledger.campaign(self.campaign_id)
        self._claiming = campaign if epoch is not None and campaign.state in CAMPAIGN_CLAIMABLE else None
        if epoch is None:
            self._drop_joins("another flow coordinates")
        else:
            campaign = self._coordinate(campaign, epoch)
        return Snapshot(
            campaign=campaign,
            counts=self.ledger.counts(self.campaign_id),
            observing=epoch is None,
            joining=len(self._joins),
        )

    def pump(self) -> bool:
        """Between two ticks: take in finished joins and begin the next ones; whether any is under way.

        A join takes less than a tick; without this the processes would wait for the clock.

        Raises:
            Retryable: the ledger is away.
        """
        with self._sparing_the_late():
            if self._joins:
                self._harvest()
                if self._claiming:
                    self._claim_joins(self._claiming)
        return bool(self._joins)

    @contextmanager
    def _sparing_the_late(self) -> Iterator[None]:
        """While the ledger was away nobody could renew a lease: let them, before what expired counts as lost."""
        try:
            yield
        except Retryable:
            self._was_away = True
            raise

    def close(self) -> None:
        """Give back what is held; a join under way is released, not failed."""
        self._drop_joins("the coordinating flow ended")
        self.ledger.resign(self.campaign_id, self.owner)

    # -- one round ---------------------------------------------------------------------------------------------

    def _coordinate(self, campaign: Campaign, epoch: int) -> Campaign:
        # Before the sweep: what is finished or alive here is not lost, however late it is.
        self._harvest()
        if self._was_away:
            self._was_away = False
            self._sweep_from = self.clock() + self.settings.lease_ttl_s
        if self.clock() >= self._sweep_from:
            self.ledger.reap()
        if campaign.state is CampaignState.CANCELLING:
            self._drop_joins("the campaign is being cancelled")
            self.ledger.finish_cancel(self.campaign_id)
        elif campaign.state in CAMPAIGN_CLAIMABLE:
            self._claim_joins(campaign)
            self._advance(campaign, epoch)
        else:
            self._drop_claimed(f"the campaign is {campaign.state}")
        return self.ledger.campaign(self.campaign_id)

    def _claim_joins(self, campaign: Campaign) -> None:
        while len(self._joins) < self.executor.slots and (self._claimed or self._claim()):
            self._begin(campaign)

    def _claim(self) -> bool:
        if self.clock() < self._rest_until:
            return False
        identity = WorkerIdentity(worker=self.worker or self.owner, campaign_id=self.campaign_id)
        self.listener(JoinStep.CLAIM, Edge.BEFORE)
        # The lease runs from somewhere in the call: an answer that took its time is not a fresh lease.
        asked = self.clock()
        lease = self.ledger.claim(identity, LeaseKind.JOIN, ttl=self.settings.lease_ttl_s)
        self._claimed = (lease, asked) if lease else None
        return lease is not None

    def _begin(self, campaign: Campaign) -> None:
        """Begin the join that is claimed. If the ledger goes away or a signal comes meanwhile, it stays claimed: for
        the next round, or to be given back."""
        assert self._claimed is not None
        lease, asked = self._claimed
        try:
            order = self._order(campaign, lease)
            self.listener(JoinStep.CLAIM, Edge.AFTER)
            task, now = self._submit(order), self.clock()
            self._joins.append(_Join(lease=lease, order=order, task=task, started=now, renewed=asked))
        except LeaseLost:
            log.warning("join of %s: the lease is another's now; not begun", lease.video_id)
        self._claimed = None

    def _order(self, campaign: Campaign, lease: Lease) -> JoinOrder:
        return JoinOrder(
            lease=lease,
            shots=self.ledger.shots(lease),
            clips=tuple(self.ledger.clips(lease)),
            crossfade_frames=campaign.settings.crossfade_frames,
            loudness_lufs=campaign.settings.loudness_lufs,
            settings=self.settings,
        )

    def _submit(self, order: JoinOrder) -> Task:
        return self.executor.submit(run_join, order, self.listener)

    def _harvest(self) -> None:
        """A ledger that goes away in here leaves every join as it was: the next round says the same again."""
        for entry in list(self._joins):
            is_begun_again = entry.task.done() and self._finish(entry)
            is_ours = self._renew(entry) if is_begun_again or not entry.task.done() else False
            if not is_ours:
                self._joins.remove(entry)

    def _renew(self, entry: _Join) -> bool:
        """Keep the lease while the join's deadline has not passed; False when the join is ours no more."""
        now = self.clock()
        if now - entry.renewed < entry.lease.ttl / 4:
            return True
        try:
            if now - entry.started > entry.order.deadline_s + entry.lease.ttl:
                took = f"no end after {entry.order.deadline_s:.0f} s"
                self.ledger.fail(entry.lease, Failure.of(Ending.TIMEOUT, f"joining: {took}", phase="join"))
                return False
            entry.lease, signal = self.ledger.heartbeat(entry.lease, Progress(phase="join"))
        except LeaseLost:
            log.warning("join of %s: the lease is another's now; dropped", entry.lease.video_id)
            return False
        entry.renewed = now
        if signal is Signal.CANCEL:
            self._release(entry.lease, "the campaign is being cancelled")
            return False
        return True

    def _finish(self, entry: _Join) -> bool:
        """Tell the ledger how a join ended; True when it was begun again instead."""
        lease = entry.lease
        try:
            publication = entry.task.result()
        except ClipVanished as error:
            log.warning("join of %s: %s; rendering it again", lease.video_id, error.message)
            render_key = error.render_key
            self._unless_lost(lease, lambda: self.ledger.clip_vanished(lease, render_key))
        except (Retryable, OSError) as error:
            if not is_out_of_disk(error):
                return self._again(entry, error)
            self._fail(lease, Ending.WORKER_FAULT, f"the scratch disk is full: {error}", Blame.PLATFORM)
        except InvalidSettings:
            raise  # no join can work so; what is held is given back on the way out
        except InvalidMedia as error:
            self._fail(lease, Ending.BAD_INPUT, str(error))
        except BadOutput as error:
            self._fail(lease, Ending.BAD_OUTPUT, str(error))
        except CallsheetError as error:
            self._fail(lease, Ending.INTERNAL, str(error))
        except Exception as error:
            log.exception("join of %s failed", lease.video_id)
            self._fail(lease, Ending.INTERNAL, f"{type(error).__name__}: {error}")
        else:
            self._publish(entry, publication)
        return False

    def _publish(self, entry: _Join, publication: Publication) -> None:
        lease = entry.lease
        try:
            if not entry.checked:
                self.listener(JoinStep.CHECKING, Edge.BEFORE)
                self.ledger.checking(lease)
                entry.checked = True
                self.listener(JoinStep.CHECKING, Edge.AFTER)
            self.listener(JoinStep.PUBLISH, Edge.BEFORE)
            self.ledger.publish(lease, publication)
            self.listener(JoinStep.PUBLISH, Edge.AFTER)
        except LeaseLost:
            log.warning("join of %s: finished too late, the lease is another's now; not published", lease.video_id)
        except Refused as error:
            # The ledger was put back to a copy in which this join is not checked yet.
            self._release(entry.lease, error.message)
        self._rests = 0

    def _again(self, entry: _Join, error: Retryable | OSError) -> bool:
        """The store was away or a process died: the join is idempotent, so it runs again under the same lease."""
        if entry.tries < RESUBMITS:
            entry.tries += 1
            entry.task = self._submit(entry.order)
            return True
        if isinstance(error, _MADE_WRONG):
            self._fail(entry.lease, Ending.WORKER_FAULT, str(error))
        else:
            self._release(entry.lease, f"the store is away: {error}")
            self._rest()
        return False

    def _rest(self) -> None:
        """Claim no join for a while, longer each time until one is published."""
        pause = min(STORE_REST_MAX_S, STORE_REST_FIRST_S * 2.0**self._rests)
        self._rests += 1
        self._rest_until = self.clock() + pause
        log.warning("the store is away; no join is begun for %.0f s", pause)

    def _fail(self, lease: Lease, ending: Ending, message: str, blame: Blame | None = None) -> None:
        log.warning("join of %s ended as %s: %s", lease.video_id, ending, message)
        failure = Failure.of(ending, message, phase="join", blame=blame)
        self._unless_lost(lease, lambda: self.ledger.fail(lease, failure))

    def _release(self, lease: Lease, why: str) -> None:
        failure = Failure.of(Ending.PREEMPTED, why, phase="join")
        self._unless_lost(lease, lambda: self.ledger.release(lease, failure))

    def _drop_joins(self, why: str) -> None:
        for entry in self._joins:
            self._release(entry.lease, why)
        self._joins.clear()
        self._drop_claimed(why)

    def _drop_claimed(self, why: str) -> None:
        if self._claimed:
            self._release(self._claimed[0], why)
        self._claimed = None

    @staticmethod
    def _unless_lost(lease: Lease, act: Callable[[], object]) -> None:
        try:
            act()
        except LeaseLost:
            log.warning("join of %s: the lease is another's now; nothing written", lease.video_id)

    # -- the campaign's own state --------------------------------------------------------------------------------

    def _advance(self, campaign: Campaign, epoch: int) -> None:
        target = next_state(campaign.state, self.ledger.counts(self.campaign_id))
        if target is not campaign.state:
            try:
                self.ledger.set_state(self.campaign_id, target, coordinator_epoch=epoch)
            except CoordinatorLost:
                self._drop_joins("another flow coordinates")
            except Refused as error:
                # Somebody paused or cancelled it, or asked for more, since it was looked at: the next tick sees that.
                log.info("campaign %s did not become %s: %s", self.campaign_id, target, error.message)


def next_state(state: CampaignState, counts: Counts) -> CampaignState:
    """Where a running campaign stands by its counts: still rendering, only joining left, or at its end."""
    unfinished = [s for s, n in counts.videos.items() if n and s not in VIDEO_TERMINAL]
    if not unfinished:
        return CampaignState.DONE if _all_well(counts) else CampaignState.DONE_WITH_ERRORS
    jobs_left = any(n for s, n in counts.jobs.items() if s not in JOB_TERMINAL)
    if not jobs_left and state is CampaignState.RUNNING:
        return CampaignState.STITCHING
    if jobs_left and state is CampaignState.STITCHING and counts.jobs.get(JobState.QUEUED, 0):
        return CampaignState.RUNNING
    return state


def _all_well(counts: Counts) -> bool:
    good = {VideoState.PUBLISHED, VideoState.SKIPPED}
    return all(state in good for state, n in counts.videos.items() if n)
