"""The worker: keeps a gang warm, leases one job at a time, and says of every lease how it ended. No torch here."""

from __future__ import annotations

import random
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from media.full_disk import is_out_of_disk
from media.output_gate import BadOutput
from model_runtime import log
from model_runtime.attempt import ClipAttempt, GiveBack, Workshop
from model_runtime.endings import failure_of
from model_runtime.gang import GangLost, GangPlan, WarmGang
from model_runtime.health import Health
from model_runtime.inputs import InputCache, Prefetcher
from model_runtime.last_word import LastWord
from model_runtime.lease_keeper import LeaseKeeper
from model_runtime.machine import Machine
from model_runtime.patience import backoff
from model_runtime.phases import Listener, Patience, Step, silent
from model_runtime.render import RenderFailed
from model_runtime.scratch import Scratch
from model_runtime.stopping import StopNow, Stopping
from schemas.attempt import Failure
from schemas.edge import Edge
from schemas.errors import InvalidSettings, LeaseLost, Permanent, Retryable
from schemas.job import pool_name
from schemas.lease import Lease, LeaseKind, WorkerIdentity
from schemas.model_spec import find_engine
from schemas.states import Blame, Ending
from schemas.worker_exit import WorkerExit
from storage.ledger.protocol import Ledger
from storage.objects.protocol import ObjectStore

_LOW_DISK = 1 << 20
"""An encoder that fails with fewer bytes free than this failed for want of them."""


@dataclass(frozen=True, kw_only=True)
class WorkerPlan:
    """How one worker works. Times are seconds."""

    name: str
    gang: GangPlan
    scratch: Path
    campaign_id: str = ""
    """Serves only this campaign when set."""
    lease_ttl_s: float = 90.0
    grace_s: float = 25.0
    idle_exit_s: float | None = None
    """Exit 0 after so long without work; None: wait for ever."""
    cache_bytes: int = 2 << 30
    patience: Patience = field(default_factory=Patience)

    @property
    def pool(self) -> str:
        return pool_name(engine=self.gang.engine, model=self.gang.model, ranks=self.gang.ranks)


_AT_ONCE = "told to go at once"

_FAREWELL_S = 2.0
"""How long ranks may take to close their engine before they are killed."""


class _SickNode(Exception):
    """The device or the node is not fit; not the work's fault."""


class _StoppedOpening(Exception):
    """Told to go while the gang was opening."""


class Supervisor:
    """One worker process. Construct it in the main thread and call `run` once."""

    def __init__(
        self,
        plan: WorkerPlan,
        *,
        ledger: Ledger,
        store: ObjectStore,
        listener: Listener = silent,
        machine: Machine | None = None,
    ) -> None:
        self._plan = plan
        self._ledger = ledger
        self._store = store
        self._listener = listener
        self._machine = machine or Machine()
        self._clock = self._machine.clock
        self._waker = self._machine.waker()
        self._stopping = Stopping(plan.grace_s, self._waker, signals=self._machine.signals, clock=self._clock)
        self._health = Health()
        self._gang: WarmGang | None = None
        self._warm_bucket = ""
        self._faults = 0
        """Troubles in a row that were no row's fault; each doubles the rest that follows."""
        self._polls = 0
        """Looks for work in a row that found none."""
        self._idle_since = self._clock()
        self._reap_at = 0.0
        self._was_away = False
        """The ledger, when it was last asked for work."""
        self._gave_back = False
        self._lease: Lease | None = None
        """Claimed, and the ledger was not told yet how it ended."""

    def run(self) -> WorkerExit:
        """Work until told to stop, idle for too long, or unfit; the value is the process's exit code."""
        self._stopping.install()
        log.started(self._plan.name, self._plan.pool)
        try:
            code, reason = self._work()
            # Here and not below: the alarm may ring at the very moment at which it is taken back.
            self._stopping.finalise()
        except StopNow:
            code, reason = WorkerExit.PREEMPTED, _AT_ONCE
            self._return_lease()
        finally:
            self._stopping.finalise()
            if self._gang:
                self._gang.close(timeout_s=_FAREWELL_S)
        if code is WorkerExit.DRAINED and self._gave_back:
            code = WorkerExit.PREEMPTED
        log.ended(self._plan.name, code, reason)
        return code

    # -- the loop ----------------------------------------------------------------------------------------------

    def _work(self) -> tuple[WorkerExit, str]:
        try:
            with Scratch(self._plan.scratch) as scratch:
                return WorkerExit.DRAINED, self._serve(scratch)
        except Permanent as error:
            return WorkerExit.BAD_CONFIGURATION, str(error)
        except _SickNode as error:
            return WorkerExit.SICK, str(error)

    def _serve(self, scratch: Scratch) -> str:
        shop = self._workshop(scratch)
        while not self._stopping.is_asked:
            gang = self._warm_gang()
            if gang is None:
                continue
            lease = self._claim()
            if lease:
                self._finish(lease, gang, shop, scratch)
                self._idle_since, self._polls = self._clock(), 0
            elif self._has_idled_enough():
                return "nothing to do"
            else:
                self._polls += 1
                self._rest(_poll_pause(self._polls))
            self._reap()
        return "told to go"

    def _workshop(self, scratch: Scratch) -> Workshop:
        cache = InputCache(scratch.inputs, self._store, max_bytes=self._plan.cache_bytes)
        return Workshop(
            engine=find_engine(self._plan.gang.engine),
            ledger=self._ledger,
            store=self._store,
            cache=cache,
            prefetcher=Prefetcher(cache, lambda: self._ledger.peek(self._identity), machine=self._machine),
            stopping=self._stopping,
            patience=self._plan.patience,
            listener=self._listener,
            machine=self._machine,
        )

    @property
    def _identity(self) -> WorkerIdentity:
        return WorkerIdentity(
            worker=self._plan.name,
            pool=self._plan.pool,
            warm_bucket=self._warm_bucket,
            campaign_id=self._plan.campaign_id,
        )

    def _warm_gang(self) -> WarmGang | None:
        """The gang, opened if there is none; None when it did not open this time.

        Raises:
            Permanent: it can never be opened here.
            _SickNode: too many gangs failed here in a row.
        """
        if self._gang:
            return self._gang
        if self._health.is_sick:
            raise _SickNode("the gang was lost or could not be opened too many times in a row")
        began = self._clock()
        try:
            self._gang = gang = self._machine.gang(self._plan.gang, self._waker)
            gang.open(self._stop_opening)
        except _StoppedOpening:
            return None
        except (GangLost, OSError) as error:
            self._health.open_failed()
            self._lose_gang(str(error))
            self._rest_from_trouble()
            return None
        self._health.opened()
        self._idle_since = self._clock()
        log.gang_opened(self._plan.gang.ranks, self._clock() - began)
        return gang

    def _stop_opening(self) -> None:
        if self._stopping.is_asked:
            raise _StoppedOpening

    def _lose_gang(self, reason: str) -> None:
        log.gang_lost(reason)
        if self._gang:
            self._gang.kill()
        self._gang = None

    def _claim(self) -> Lease | None:
        """A lease, or None when there is no work or the ledger is away."""
        self._listener(Step.LEASE, Edge.BEFORE)
        try:
            lease = self._ledger.claim(self._identity, LeaseKind.RENDER, ttl=self._plan.lease_ttl_s)
            self._lease = lease
        except Retryable as error:
            log.away(Step.LEASE, error)
            self._was_away = True
            self._idle_since = self._clock()  # nobody knows whether there is work
            self._rest_from_trouble()
            return None
        if self._was_away:
            self._was_away = False
            self._spare_the_late()
        if lease:
            log.claimed(lease)
            self._listener(Step.LEASE, Edge.AFTER)
        return lease

    def _has_idled_enough(self) -> bool:
        limit = self._plan.idle_exit_s
        return limit is not None and self._clock() - self._idle_since >= limit

    def _rest_from_trouble(self) -> None:
        """A worker that fails fast must not burn through the queue, nor hammer a service that is away."""
        self._faults += 1
        self._rest(backoff(self._faults))

    def _rest(self, seconds: float) -> None:
        """Wait, but not through a signal; a gang that dies meanwhile is noticed."""
        if self._stopping.is_asked:
            return
        try:
            if self._gang:
                self._gang.turn(seconds)
            else:
                self._stopping.wait(seconds)
        except GangLost as error:
            self._health.gang_lost("")
            self._lose_gang(str(error))

    def _reap(self) -> None:
        """Now and then take back what dead workers hold; any worker may, and the ledger decides."""
        if self._clock() < self._reap_at:
            return
        self._reap_at = self._clock() + self._plan.lease_ttl_s * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
        try:
            log.reaped(self._ledger.reap())
        except Retryable as error:
            log.away("reap", error)

    def _spare_the_late(self) -> None:
        """While the ledger was away nobody could renew a lease: let them, before what expired counts as lost."""
        self._reap_at = max(self._reap_at, self._clock() + self._plan.lease_ttl_s)

    # -- one lease ---------------------------------------------------------------------------------------------

    def _finish(self, lease: Lease, gang: WarmGang, shop: Workshop, scratch: Scratch) -> None:
        """Work on one lease and tell the ledger how it ended, whatever happens."""
        path = scratch.clip(lease.attempt_id)
        is_fault = False
        keeper = self._keeper(lease)
        with keeper:
            attempt = ClipAttempt(lease, shop=shop, gang=gang, keeper=keeper, path=path)
            last_word = self._last_word(keeper)
            try:
                clip = attempt.run()
            except LeaseLost:
                log.lease_lost(lease, attempt.step)
            except StopNow:
                self._stopping.finalise()
                gang.kill()
                last_word.give_back(Failure.of(Ending.PREEMPTED, _AT_ONCE, phase=attempt.step))
                self._lease = None
                raise
            except GiveBack as error:
                self._gave_back = self._stopping.is_asked
                is_fault = error.ending is not Ending.CANCELLED
                last_word.give_back(Failure.of(error.ending, str(error), phase=attempt.step))
            except InvalidSettings as error:
                last_word.give_back(Failure.of(Ending.PREEMPTED, error.message, phase=attempt.step))
                raise Permanent(error.message, fix=error.fix) from error
            except Exception as error:  # noqa: BLE001 - any other end is a failure, and the ledger must hear of it
                failure = self._judge(error, attempt.step, scratch)
                if failure.blame is Blame.PLATFORM:
                    shop.cache.clear()  # the disk may be full, or a copy may be what is wrong
                is_fault = failure.blame is not Blame.ROW
                last_word.fail(failure)
            else:
                log.rendered(lease, clip.object, keeper.device_s)
                self._warm_bucket = attempt.job.request.bucket
                self._health.finished()
                self._faults = 0
            finally:
                path.unlink(missing_ok=True)
        self._lease = None
        if keeper.has_missed:
            self._spare_the_late()
        if not gang.is_alive:
            self._health.gang_lost(lease.subject)
            self._lose_gang(f"with job {lease.subject}")
        if is_fault:
            self._rest_from_trouble()

    def _keeper(self, lease: Lease) -> LeaseKeeper:
        return LeaseKeeper(self._ledger, lease, patience=self._plan.patience, waker=self._waker, machine=self._machine)

    def _last_word(self, keeper: LeaseKeeper) -> LastWord:
        return LastWord(self._ledger, keeper, self._stopping, machine=self._machine)

    def _return_lease(self) -> None:
        """The word to go at once may come when a lease is just claimed, or just being ended: it goes back as well."""
        self._stopping.finalise()
        if self._lease is not None:
            failure = Failure.of(Ending.PREEMPTED, _AT_ONCE, phase=Step.LEASE)
            self._last_word(self._keeper(self._lease)).give_back(failure)

    def _judge(self, error: Exception, step: Step, scratch: Scratch) -> Failure:
        if isinstance(error, RenderFailed):
            return error.failure
        if isinstance(error, GangLost):
            return Failure.of(error.ending, str(error), phase=step)
        if isinstance(error, BadOutput):
            return Failure.of(Ending.BAD_OUTPUT, error.message, phase=step, fix=error.fix)
        if is_out_of_disk(error) or shutil.disk_usage(scratch.folder).free < _LOW_DISK:
            return Failure.of(
                Ending.WORKER_FAULT,
                f"the scratch disk is full: {error}",
                phase=step,
                blame=Blame.PLATFORM,
                fix="free space in the scratch folder or give it a larger disk",
            )
        return failure_of(error, step)


def _poll_pause(polls: int) -> float:
    """Seconds until the next look for work: short at first, about three in a quiet hour, never in step with others."""
    return random.uniform(0.5, 1.0) * min(4.0, 0.2 * 1.5 ** min(polls, 20))  # noqa: S311 - not a secret
