"""Schedule and solver against the reference's golden tensors."""

from __future__ import annotations

import re

import pytest
import torch

from model_runtime.humo.sampler import Sampler
from tests.support import humo as golden

SHIFTS = [tenths / 10 for tenths in range(10, 201)]
SCHEDULES = sorted(
    {
        (int(m[1]), float(m[2]))
        for m in (re.match(r"sched\.steps(\d+)\.shift([\d.]+)\.sigmas", k) for k in golden.tensors("sampler"))
        if m
    }
)
TOYS = sorted({int(m[1]) for m in (re.match(r"toy\.steps(\d+)\.", k) for k in golden.tensors("sampler")) if m})


@pytest.mark.parametrize(("steps", "shift"), SCHEDULES)
def test_schedule_is_the_references(steps: int, shift: float) -> None:
    """Timesteps are the same integers; sigmas agree and end with zero."""
    io, sampler = golden.tensors("sampler"), Sampler(steps=steps, shift=shift)
    key = f"sched.steps{steps}.shift{shift:g}"
    assert list(sampler.timesteps) == io[f"{key}.timesteps"].tolist()
    assert sampler.sigmas.shape == io[f"{key}.sigmas"].shape
    assert (sampler.sigmas - io[f"{key}.sigmas"]).abs().max() <= golden.SIGMAS
    assert sampler.sigmas[-1] == 0


def toy_timesteps(steps: int) -> list[int]:
    """The timesteps behind the golden velocities: these are linear in them."""
    io, found = golden.tensors("sampler"), []
    for x, velocity in zip(io[f"toy.steps{steps}.states"], io[f"toy.steps{steps}.velocities"], strict=False):
        at_0, at_1000 = golden.toy_velocity(x, 0), golden.toy_velocity(x, 1000)
        slope = at_1000 - at_0
        found.append(round(1000 * float(((velocity - at_0) * slope).sum() / slope.square().sum())))
    return found


def toy_shift() -> float:
    """The schedule that the toy trajectories were made on: the file says it by its velocities alone."""
    longest = max(steps for steps in TOYS if f"toy.steps{steps}.velocities" in golden.tensors("sampler"))
    shifts = [shift for shift in SHIFTS if [*Sampler(steps=longest, shift=shift).timesteps] == toy_timesteps(longest)]
    assert len(shifts) == 1, f"shifts that give the timesteps of the golden velocities: {shifts}"
    return shifts[0]


@pytest.mark.parametrize("steps", TOYS)
def test_trajectory_of_a_known_velocity_is_the_references(steps: int) -> None:
    """Predictor, corrector and the lowered orders at both ends give the reference's states, step by step."""
    io, sampler = golden.tensors("sampler"), Sampler(steps=steps, shift=toy_shift())
    states = [io["toy.x0"]]
    velocities = []
    for timestep in sampler.timesteps:
        velocities.append(golden.toy_velocity(states[-1], timestep))
        states.append(sampler.step(velocities[-1], states[-1], timestep))
    wanted = io[f"toy.steps{steps}.states"]
    every = steps // (wanted.shape[0] - 1)
    assert golden.error(torch.stack(states[::every]), wanted) <= golden.SAMPLER
    assert golden.error(states[-1], io[f"toy.steps{steps}.final"]) <= golden.SAMPLER
    if f"toy.steps{steps}.velocities" in io:
        assert golden.error(torch.stack(velocities), io[f"toy.steps{steps}.velocities"]) <= golden.SAMPLER


def test_no_steps_are_refused() -> None:
    """Zero steps would return the noise."""
    with pytest.raises(ValueError, match="at least 1"):
        Sampler(steps=0, shift=5.0)
