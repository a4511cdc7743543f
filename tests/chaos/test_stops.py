"""Processes that sleep through their lease, or are told to go."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import pytest

from flows.stages.phases import JoinStep
from model_runtime.phases import Step
from schemas.worker_exit import WorkerExit
from tests.support.chaos_arena import Arena
from tests.support.chaos_fight import Forces, edges, fight, once_at_each_step, signalled, sleeping, sleepy_points
from tests.support.chaos_points import CrashPoint, Victim
from tests.support.chaos_scenes import Scene, played, scene

LONG_S, SHORT_S, NONE_S = 3600.0, 0.3, 0.001


def told_to_go(points: Sequence[CrashPoint], graces_s: tuple[float, float], folder: Path) -> Scene:
    arena = Arena(folder=folder, lease_ttl_s=20.0)
    return scene(arena, fight(arena, signalled(points, "SIGTERM"), Forces(graces_s=graces_s, flows=1)))


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Scene]]:
    points = [point for point in edges() if point.victim is Victim.WORKER]
    plays = {
        "sleeping": lambda folder: sleeping(folder, once_at_each_step(sleepy_points())),
        "time-enough": partial(told_to_go, points[::2], (LONG_S, LONG_S)),
        # Each of the two workers at one edge of every step.
        "no-time": partial(told_to_go, points, (SHORT_S, NONE_S)),
    }
    with played(tmp_path_factory.mktemp("stops"), plays) as found:
        yield found


@pytest.mark.slow
def test_who_sleeps_through_the_lease_is_refused_and_says_so(scenes: Callable[[str], Scene]) -> None:
    """Workers and flows stopped at any step for longer than their lease lose it; others finish, the late write nothing.

    A second flow looks on and takes the campaign over while the first one sleeps, and the other way round.
    """
    slept = scenes("sleeping")
    assert slept.troubles == []
    assert {name.split(".")[1] for name in slept.found.stops if name.startswith("worker")} == set(Step)
    assert {name.split(".")[1] for name in slept.found.stops if name.startswith("flow")} == set(JoinStep)
    assert slept.found.refused > slept.found.stops.total() / 2


def test_who_is_told_to_go_finishes_what_fits(scenes: Callable[[str], Scene]) -> None:
    """SIGTERM at any step with time enough: the clip is finished, nothing more is leased, the exit code is 0."""
    told = scenes("time-enough")
    assert told.troubles == []
    assert set(told.found.endings) == {"render.ok", "join.ok"}
    assert {life.status for life in told.chronicle.lives} == {WorkerExit.DRAINED}


def test_who_is_told_to_go_at_once_gives_back(scenes: Callable[[str], Scene]) -> None:
    """SIGTERM at any step with hardly any time: the clip is given back or was done; it is never lost."""
    told = scenes("no-time")
    assert told.troubles == []
    assert set(told.found.endings) == {"render.ok", "render.preempted", "join.ok"}
    assert {life.status for life in told.chronicle.lives} == {WorkerExit.DRAINED, WorkerExit.PREEMPTED}
