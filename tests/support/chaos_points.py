"""Where a process may be killed: generated from the steps themselves, so that a new step brings its points along."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from flows.stages.phases import STAGE_STEPS, JoinStep
from model_runtime.phases import Step
from schemas.states import Ending


class Victim(StrEnum):
    """Who is killed. The first three belong to a worker's deck, the others to a flow's."""

    WORKER = "worker"
    RANK = "rank"
    ENCODER = "encoder"
    FLOW = "flow"
    JOINER = "joiner"
    """The process of the CPU stages that makes the join."""


class Moment(StrEnum):
    """The two edges that a listener hears of, and somewhere between them."""

    BEFORE = "before"
    INSIDE = "inside"
    AFTER = "after"


@dataclass(frozen=True, kw_only=True)
class CrashPoint:
    victim: Victim
    step: Step | JoinStep
    moment: Moment

    @property
    def name(self) -> str:
        return f"{self.victim}.{self.step}.{self.moment}"

    @property
    def is_of_worker(self) -> bool:
        return isinstance(self.step, Step)


def crash_points() -> tuple[CrashPoint, ...]:
    """Every step, at every moment, with everybody who is alive then."""
    return tuple(
        CrashPoint(victim=victim, step=step, moment=moment)
        for step in (*Step, *JoinStep)
        for victim in _alive(step)
        for moment in Moment
        if _is_worth_killing(victim, step, moment)
    )


def point_of(name: str) -> CrashPoint:
    return _BY_NAME[name]


def _alive(step: Step | JoinStep) -> Iterator[Victim]:
    if isinstance(step, JoinStep):
        yield Victim.FLOW
        if step in STAGE_STEPS:
            yield Victim.JOINER
        return
    yield from (Victim.WORKER, Victim.RANK)
    if step in (Step.RENDER, Step.ENCODE):
        yield Victim.ENCODER


def _is_worth_killing(victim: Victim, step: Step | JoinStep, moment: Moment) -> bool:
    if victim is Victim.ENCODER:
        # It ends by itself while the step called encode waits for it.
        return step is Step.RENDER or moment is Moment.BEFORE
    # Outside of a render a rank sleeps: somewhere between is no other place than before.
    return victim is not Victim.RANK or moment is not Moment.INSIDE or step is Step.RENDER


_BY_NAME = {point.name: point for point in crash_points()}

NO_ATTEMPT = None
"""The kill befell nobody's attempt."""

_OK, _LOST, _FAULT = Ending.OK, Ending.LOST, Ending.WORKER_FAULT


def outcomes(point: CrashPoint) -> frozenset[Ending | None]:
    """How the attempt under way may end; anything else is a violation.

    Killed while a commit is on its way, a process never learns whether it arrived: both are right.
    """
    match point.victim:
        case Victim.WORKER | Victim.FLOW:
            return _of_process(point)
        case Victim.RANK:
            return _of_rank(point)
        case Victim.ENCODER:
            return frozenset({_FAULT})
        case Victim.JOINER:
            # The flow lives: the join is made again under the same lease, a few times.
            return frozenset({_OK, _FAULT})


def _of_process(point: CrashPoint) -> frozenset[Ending | None]:
    first = point.step in (Step.LEASE, JoinStep.CLAIM)
    last = point.step in (Step.COMMIT, JoinStep.PUBLISH)
    if first and point.moment is not Moment.AFTER:
        return frozenset({NO_ATTEMPT} if point.moment is Moment.BEFORE else {NO_ATTEMPT, _LOST})
    if last and point.moment is not Moment.BEFORE:
        return frozenset({_OK} if point.moment is Moment.AFTER else {_OK, _LOST})
    return frozenset({_LOST})


def _of_rank(point: CrashPoint) -> frozenset[Ending | None]:
    steps = list(Step)
    if steps.index(Step(point.step)) > steps.index(Step.RENDER) or point.moment is Moment.AFTER:
        is_over = point.step not in (Step.LEASE, Step.FETCH)
        return frozenset({_OK} if is_over else {_FAULT})
    if point.step is Step.LEASE:
        return frozenset({NO_ATTEMPT, _FAULT})
    return frozenset({_FAULT, _OK} if point.moment is Moment.INSIDE else {_FAULT})
