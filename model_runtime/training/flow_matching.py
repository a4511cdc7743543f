"""Flow matching: which noise level a sample gets, what the network is asked for, and how its answer is judged.

Time and sign are those of the engine's sampler: sigma 1 is noise, and the velocity is noise - data. The paper (equation
1) counts from noise to data and asks for data - noise; the loss is the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from schemas.errors import InvalidInput

TIMESTEPS = 1000


@dataclass(frozen=True, kw_only=True)
class SigmaDistribution:
    """Logit-normal with a uniform share, then shifted as the sampler's schedule is.

    Raises:
        InvalidInput: a spread or shift that is not positive, or a share beyond 0 to 1.
    """

    mean: float = 0.4
    spread: float = 1.2
    uniform: float = 0.1
    """Share of samples that are uniform, so that both ends are seen."""
    shift: float = 1.0
    """sigma -> shift sigma / (1 + (shift - 1) sigma)."""

    def __post_init__(self) -> None:
        if self.spread <= 0 or self.shift <= 0 or not 0 <= self.uniform <= 1:
            raise InvalidInput(
                f"sigmas with spread {self.spread}, shift {self.shift} and uniform share {self.uniform}, "
                "expected positive numbers and a share of 0 to 1"
            )

    def draw(self, generator: torch.Generator) -> float:
        """One noise level, 0 to 1. Always uses the generator equally."""
        chance, level = torch.rand(2, generator=generator, dtype=torch.float64).tolist()
        normal = torch.randn((), generator=generator, dtype=torch.float64)
        bell = float(torch.sigmoid(self.mean + self.spread * normal))
        sigma = level if chance < self.uniform else bell
        return self.shift * sigma / (1 + (self.shift - 1) * sigma)


def timestep(sigma: float) -> int:
    """What the transformer is told: int(1000 sigma), truncated as by the sampler, 0 to 999."""
    return min(int(TIMESTEPS * sigma), TIMESTEPS - 1)


def noisy(data: Tensor, noise: Tensor, sigma: float) -> Tensor:
    """(1 - sigma) data + sigma noise, float32."""
    return (1 - sigma) * data.float() + sigma * noise.float()


def velocity(data: Tensor, noise: Tensor) -> Tensor:
    """What the network learns to say, float32: noise - data."""
    return noise.float() - data.float()


def flow_loss(predicted: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean square error in float32: sum w (p - t)^2 / sum w.

    Args:
        predicted: velocity [batch, channels, slots, h, w].
        target: as predicted.
        weight: not negative, of a shape that broadcasts to predicted's; cells of weight 0 are not judged.

    Raises:
        ValueError: nothing has any weight.
    """
    weight = weight.float().expand_as(target)
    total = weight.sum()
    if not total > 0:
        raise ValueError("no cell has any weight")
    return (weight * (predicted.float() - target.float()).square()).sum() / total
