"""From noise to latent: UniPC of order 2 on a shifted flow-matching schedule (HuMo reference, sampler).

The solver is diffusers' `UniPCMultistepScheduler`; the published schedule is handed to it as a grid of sigmas, because
its own default grid is another one.
"""

from __future__ import annotations

import numpy as np
from diffusers.schedulers.scheduling_unipc_multistep import UniPCMultistepScheduler
from torch import Tensor

_SIGMA_MAX = 0.999
"""Noisiest point of the grid before the shift: (1000 - 1) / 1000."""


class Sampler:
    """One clip's way through the schedule; a new one per clip."""

    def __init__(self, *, steps: int, shift: float) -> None:
        if steps < 1:
            raise ValueError(f"{steps} denoising steps, expected at least 1")
        self._scheduler = UniPCMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=shift, solver_order=2, solver_type="bh2"
        )
        self._scheduler.set_timesteps(sigmas=np.linspace(_SIGMA_MAX, 0, steps + 1)[:-1])
        self._scheduler.set_begin_index(0)

    @property
    def timesteps(self) -> tuple[int, ...]:
        """int(1000 sigma) per step, noisiest first."""
        return tuple(self._scheduler.timesteps.tolist())

    @property
    def sigmas(self) -> Tensor:
        """float32 [steps + 1]; shift x s / (1 + (shift - 1) s), ends with 0."""
        sigmas: Tensor = self._scheduler.sigmas
        return sigmas

    def step(self, velocity: Tensor, latents: Tensor, timestep: int) -> Tensor:
        """The next, less noisy latents; call once per timestep, in order. float32 in, float32 out."""
        out: Tensor = self._scheduler.step(velocity, timestep, latents, return_dict=False)[0]
        return out
