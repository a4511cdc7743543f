"""Schedule and solver against the reference's golden tensors."""

from __future__ import annotations

import re

import pytest
import torch
from torch import Tensor

from model_runtime.humo.sampler import Sampler
from tests.support import humo as golden

SCHEDULES = sorted(
    {
        (int(m[1]), float(m[2]))
        for m in (re.match(r"sched\.steps(\d+)\.shift([\d.]+)\.sigmas", k) for k in golden.tensors("sampler"))
        if m
    }
)
TOYS = sorted({int(m[1]) for m in (re.match(r"toy\.steps(\d+)\.", k) for k in golden.tensors("sampler")) if m})
TOY_SHIFT = 5.0
"""The published default; the file does not say it."""


@pytest.mark.parametrize(("steps", "shift"), SCHEDULES)
def test_schedule_is_the_references(steps: int, shift: float) -> None:
    """Timesteps are the same integers; sigmas agree and end with zero."""
    io, sampler = golden.tensors("sampler"), Sampler(steps=steps, shift=shift)
    key = f"sched.steps{steps}.shift{shift:g}"
    assert list(sampler.timesteps) == io[f"{key}.timesteps"].tolist()
    assert sampler.sigmas.shape == io[f"{key}.sigmas"].shape
    assert (sampler.sigmas - io[f"{key}.sigmas"]).abs().max() <= golden.SIGMAS
    assert sampler.sigmas[-1] == 0


def toy_velocity(x: Tensor, timestep: int) -> Tensor:
    u = timestep / 1000
    return torch.tanh(x) * (0.3 + u) - 0.25 * torch.roll(x, 1, -1) + 0.1 * torch.cos(3 * x) * u


@pytest.mark.parametrize("steps", TOYS)
def test_trajectory_of_a_known_velocity_is_the_references(steps: int) -> None:
    """Predictor, corrector and the lowered orders at both ends give the reference's states, step by step."""
    io, sampler = golden.tensors("sampler"), Sampler(steps=steps, shift=TOY_SHIFT)
    states = [io["toy.x0"]]
    velocities = []
    for timestep in sampler.timesteps:
        velocities.append(toy_velocity(states[-1], timestep))
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
