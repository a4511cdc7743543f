"""Flow matching speaks the engine's time and sign, and judges what it is told to judge."""

from __future__ import annotations

import math

import pytest
import torch

from model_runtime.humo.sampler import Sampler
from model_runtime.training.flow_matching import SigmaDistribution, flow_loss, noisy, timestep, velocity
from schemas.errors import InvalidInput


def _draws(distribution: SigmaDistribution, count: int = 4000) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.tensor([distribution.draw(generator) for _ in range(count)], dtype=torch.float64)


def test_sigmas_are_logit_normal() -> None:
    """Without a uniform share the logits are normal with the mean and spread asked for."""
    logits = torch.logit(_draws(SigmaDistribution(uniform=0)))
    assert float(logits.mean()) == pytest.approx(0.4, abs=0.08)
    assert float(logits.std()) == pytest.approx(1.2, abs=0.06)


def test_a_share_of_sigmas_is_uniform() -> None:
    """With a tenth uniform the noiseless end is seen far more often than the bell alone would show it."""
    edge = 0.01
    bell = 0.5 * (1 + math.erf((math.log(edge / (1 - edge)) - 0.4) / 1.2 / math.sqrt(2)))
    expected = 0.9 * bell + 0.1 * edge
    assert 20 * bell < expected
    assert float((_draws(SigmaDistribution(), 12_000) < edge).double().mean()) == pytest.approx(expected, rel=0.5)


def test_the_shift_is_the_samplers() -> None:
    """A shift moves sigmas as it moves the sampler's schedule."""
    plain, shifted = (Sampler(steps=8, shift=shift).sigmas.double() for shift in (1.0, 5.0))
    torch.testing.assert_close(5 * plain / (1 + 4 * plain), shifted, rtol=1e-5, atol=1e-6)
    plain, shifted = (_draws(SigmaDistribution(shift=shift), 100) for shift in (1.0, 5.0))
    torch.testing.assert_close(5 * plain / (1 + 4 * plain), shifted)


@pytest.mark.parametrize("wrong", [{"spread": 0.0}, {"shift": -1.0}, {"uniform": 1.5}])
def test_impossible_distributions_are_refused(wrong: dict[str, float]) -> None:
    """What cannot be drawn from is refused when it is said."""
    with pytest.raises(InvalidInput):
        SigmaDistribution(**wrong)


def test_the_engines_sampler_undoes_the_noise() -> None:
    """A network that says the learned velocity leads the engine's sampler from pure noise to the data."""
    generator = torch.Generator().manual_seed(2)
    data, noise = (torch.randn(16, 3, 4, 4, generator=generator) for _ in range(2))
    sampler = Sampler(steps=6, shift=5.0)
    state = noisy(data, noise, float(sampler.sigmas[0]))
    for step in sampler.timesteps:
        state = sampler.step(velocity(data, noise), state, step)
    torch.testing.assert_close(state, data, rtol=1e-4, atol=1e-4)


def test_timesteps_are_the_samplers() -> None:
    """A noise level is told as the sampler tells it, truncated."""
    sampler = Sampler(steps=10, shift=5.0)
    assert tuple(timestep(float(sigma)) for sigma in sampler.sigmas[:-1].double()) == sampler.timesteps
    assert (timestep(0.0), timestep(0.0019), timestep(1.0)) == (0, 1, 999)


def test_the_loss_is_a_weighted_mean() -> None:
    """Cells count by their weight, those of weight 0 not at all, and the scale of the weights is of no effect."""
    target = torch.zeros(1, 2, 1, 1, 2)
    predicted = torch.tensor([1.0, 3.0]).view(1, 1, 1, 1, 2).expand_as(target)
    weight = torch.tensor([1.0, 3.0]).view(1, 1, 1, 1, 2)
    assert float(flow_loss(predicted, target, weight)) == pytest.approx((1 * 1 + 3 * 9) / 4)
    assert float(flow_loss(predicted, target, 7 * weight)) == pytest.approx((1 * 1 + 3 * 9) / 4)
    assert float(flow_loss(predicted, target, weight * torch.tensor([1.0, 0.0]))) == 1
    with pytest.raises(ValueError, match="no cell"):
        flow_loss(predicted, target, 0 * weight)


def test_the_loss_is_of_full_precision() -> None:
    """Half-precision predictions are judged in float32."""
    predicted = torch.full((1, 1, 1, 1, 4), 300.0, dtype=torch.float16)
    loss = flow_loss(predicted, torch.zeros(1, 1, 1, 1, 4), torch.ones(1))
    assert loss.dtype is torch.float32
    assert float(loss) == 90_000
