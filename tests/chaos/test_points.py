"""The list of crash points is whole."""

from __future__ import annotations

import pytest

from flows.stages.phases import STAGE_STEPS, JoinStep
from model_runtime.phases import Step
from schemas.edge import Edge
from tests.support.chaos_points import CrashPoint, Moment, Victim, crash_points, outcomes, point_of


@pytest.mark.parametrize("step", [*Step, *JoinStep], ids=lambda step: f"{type(step).__name__}.{step}")
def test_every_step_has_its_points(step: Step | JoinStep) -> None:
    """The process whose step it is may be killed before, inside and after it; so may whoever works for it there."""
    found = {(point.victim, point.moment) for point in crash_points() if point.step is step}
    owner = Victim.WORKER if isinstance(step, Step) else Victim.FLOW
    assert {(owner, moment) for moment in Moment} <= found
    helpers = {victim for victim, _ in found} - {owner}
    assert helpers == _helpers(step)


def _helpers(step: Step | JoinStep) -> set[Victim]:
    if isinstance(step, JoinStep):
        return {Victim.JOINER} if step in STAGE_STEPS else set()
    return {Victim.RANK, Victim.ENCODER} if step in (Step.RENDER, Step.ENCODE) else {Victim.RANK}


def test_there_are_many_and_each_has_a_name() -> None:
    """At least forty points, told apart by their names, on both edges that listeners hear of."""
    points = crash_points()
    assert len(points) == len({point.name for point in points}) >= 40
    assert {edge.value for edge in Edge} <= {moment.value for moment in Moment}
    assert [point_of(point.name) for point in points] == list(points)


@pytest.mark.parametrize("point", crash_points(), ids=lambda point: point.name)
def test_a_kill_has_an_effect_that_is_known(point: CrashPoint) -> None:
    """What becomes of the attempt is said beforehand, for each point; only a commit on its way may go both ways."""
    allowed = outcomes(point)
    assert allowed
    if point.victim in (Victim.WORKER, Victim.FLOW) and point.moment is not Moment.INSIDE:
        assert len(allowed) == 1
