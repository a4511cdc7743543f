"""One lease, step by step: fetch, render, encode, check, upload, commit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from media.output_gate import ClipFacts
from model_runtime import log
from model_runtime.engine import LocalInputs
from model_runtime.gang import GangLost, WarmGang
from model_runtime.inputs import InputCache, Prefetcher
from model_runtime.lease_keeper import LeaseKeeper
from model_runtime.machine import ClipWriter, Machine
from model_runtime.patience import patiently
from model_runtime.phases import Listener, Patience, Step
from model_runtime.render import render
from model_runtime.stopping import Stopping, remaining
from schemas.clip import Clip
from schemas.edge import Edge
from schemas.errors import Corrupted, Permanent, Retryable
from schemas.job import RenderJob, RenderRequest
from schemas.lease import Lease, Progress
from schemas.model_spec import FPS, EngineSpec
from schemas.object_ref import ObjectRef
from schemas.states import Ending
from storage.ledger.protocol import Ledger
from storage.objects.layout import clip_key
from storage.objects.protocol import ObjectStore
from storage.objects.verified import put_verified

T = TypeVar("T")

ENCODER_TIMEOUT_S = 120.0

_COSTLY = frozenset({Step.FETCH, Step.RENDER})
"""Before these nothing is made yet: they are not begun when the rest does not fit the grace period."""


class GiveBack(Exception):
    """The work goes back unfinished, and that is nobody's failure."""

    def __init__(self, ending: Ending, message: str) -> None:
        super().__init__(message)
        self.ending = ending


@dataclass(frozen=True, kw_only=True)
class Workshop:
    """What an attempt works with; the same for all attempts of a worker."""

    engine: EngineSpec
    ledger: Ledger
    store: ObjectStore
    cache: InputCache
    prefetcher: Prefetcher
    stopping: Stopping
    patience: Patience
    listener: Listener
    machine: Machine


class ClipAttempt:
    """One try at one job. `run` returns when the clip is committed and raises otherwise."""

    def __init__(self, lease: Lease, *, shop: Workshop, gang: WarmGang, keeper: LeaseKeeper, path: Path) -> None:
        assert lease.job is not None
        self.job: RenderJob = lease.job
        self.step = Step.LEASE
        self._lease = lease
        self._shop = shop
        self._gang = gang
        self._keeper = keeper
        self._path = path
        self._deadline = 0.0
        self._units = 0

    def run(self) -> Clip:
        """All steps in order.

        Raises:
            LeaseLost: the work belongs to somebody else now.
            GiveBack: cancelled, told to go, or a service is away for too long.
            RenderFailed, GangLost, BadOutput, InvalidMedia, OSError, ...: the attempt failed in `step`.
        """
        request = self.job.request
        with self._step(Step.FETCH):
            self._check_request(request)
            inputs = self._patiently(lambda: self._shop.cache.fetch(request))
        self._shop.prefetcher.look_ahead()
        with self._encoder(request) as encoder:
            self._render(request, inputs, encoder)
            with self._step(Step.ENCODE):
                encoder.finish()
        with self._step(Step.CHECK):
            facts = self._check(request)
        with self._step(Step.UPLOAD):
            reference = self._patiently(self._upload)
        with self._step(Step.COMMIT):
            return self._patiently(lambda: self._commit(request, reference, facts))

    # -- the steps ---------------------------------------------------------------------------------------------

    def _check_request(self, request: RenderRequest) -> None:
        """Other weights or another engine give another clip, which must not count under this render key."""
        warm = self._gang.opened
        assert warm is not None
        ours = (warm.engine_version, warm.model_digest)
        planned = (request.engine_version, request.model_digest)
        if ours != planned:
            raise Permanent(
                f"planned for engine version and weights {planned}, this worker has {ours}",
                fix="submit the sheet again with the weights in use, or start workers with those it was planned for",
            )

    def _render(self, request: RenderRequest, inputs: LocalInputs, encoder: ClipWriter) -> None:
        with self._step(Step.RENDER, expected_s=self.job.estimated_s):
            self._keeper.device(busy=True, ranks=self._gang.plan.ranks)
            try:
                render(self._gang, request, inputs, encoder, self._oversee, clock=self._shop.machine.clock)
            finally:
                self._keeper.device(busy=False)

    def _encoder(self, request: RenderRequest) -> ClipWriter:
        return self._shop.machine.encoder(
            self._path, width=request.width, height=request.height, fps=FPS, timeout_s=ENCODER_TIMEOUT_S
        )

    def _check(self, request: RenderRequest) -> ClipFacts:
        return self._shop.machine.check(
            self._path,
            frames=request.keep_frames,
            width=request.width,
            height=request.height,
            fps=FPS,
            frozen_allowed=self._shop.engine.frozen_allowed,
        )

    def _upload(self) -> ObjectRef:
        key = clip_key(self.job.render_key, self._lease)
        return put_verified(self._shop.store, key, self._path, media_type="video/mp4")

    def _commit(self, request: RenderRequest, reference: ObjectRef, facts: ClipFacts) -> Clip:
        clip = Clip(
            render_key=self.job.render_key,
            object=reference,
            frames=request.keep_frames,
            fps=FPS,
            width=request.width,
            height=request.height,
            attempt_id=self._lease.attempt_id,
            luma_mean=facts.luma_mean,
        )
        return self._shop.ledger.complete(self._lease, clip, device_s=self._keeper.device_s)

    # -- between the steps -------------------------------------------------------------------------------------

    @contextmanager
    def _step(self, step: Step, *, expected_s: float = 0.0) -> Iterator[None]:
        self.step = step
        self._deadline = self._keeper.enter(step, expected_s)
        self._shop.listener(step, Edge.BEFORE)
        self._look_around(remaining(estimated_s=self.job.estimated_s) if step in _COSTLY else 0.0)
        began = self._shop.machine.clock()
        yield
        log.step_ended(self._lease, step, self._shop.machine.clock() - began)
        self._shop.listener(step, Edge.AFTER)

    def _look_around(self, remaining_s: float) -> None:
        self._keeper.check()
        if self._keeper.is_cancelled:
            raise GiveBack(Ending.CANCELLED, "the campaign is being cancelled")
        if not self._shop.stopping.allows(remaining_s):
            raise GiveBack(Ending.PREEMPTED, f"told to go; {remaining_s:.0f} s of work do not fit the grace period")

    def _oversee(self, gang: WarmGang, elapsed_s: float) -> None:
        """Asked after every turn of a render; raises to end it."""
        estimated = self.job.estimated_s
        seen = gang.progress
        done, total = (seen.done, seen.total) if seen else (0, 0)
        if gang.units != self._units:
            self._units = gang.units
            stall = self._shop.patience.stall(estimated, total)
            phase = seen.phase if seen else Step.RENDER
            self._keeper.note(Progress(phase=phase, done=done, total=total), stall)
        if self._keeper.is_overdue:
            where = f"in {seen.phase} {done}/{total}" if seen else "before any progress"
            raise GangLost(f"no end and no progress after {elapsed_s:.0f} s, {where}", Ending.HUNG)
        self._look_around(remaining(estimated_s=estimated, elapsed_s=elapsed_s, done=done, total=total))

    def _patiently(self, call: Callable[[], T]) -> T:
        def wait(seconds: float) -> None:
            self._shop.stopping.wait(seconds)
            self._look_around(0.0)

        try:
            return patiently(
                call,
                until=self._deadline,
                wait=wait,
                say=lambda error, pause: log.away(self.step, error, pause),
                clock=self._shop.machine.clock,
            )
        except Corrupted:
            raise
        except Retryable as error:
            raise GiveBack(Ending.PREEMPTED, f"{self.step}: {error.message}") from error
