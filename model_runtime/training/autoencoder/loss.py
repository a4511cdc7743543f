"""What the autoencoder is to keep: pixels and their change in time, and a latent space that stays in bounds."""

from __future__ import annotations

from typing import NamedTuple

import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan
from torch import Tensor

from model_runtime.training.autoencoder import whole
from model_runtime.training.autoencoder.whole import Posterior
from model_runtime.training.autoencoder.windows import Batch

KL_WEIGHT = 2e-4
"""Small: the latents' deviation is set afterwards, from what was measured."""
_CHANGE_WEIGHT = 0.25


class Losses(NamedTuple):
    """Scalars of one batch, float32."""

    total: Tensor
    pixels: Tensor
    kl: Tensor


def losses(vae: AutoencoderKLWan, batch: Batch, noise: torch.Generator) -> Losses:
    """One batch through the autoencoder; `noise` draws from the posterior."""
    posterior = whole.encode(vae, batch.video)
    draw = torch.randn(posterior.mean.shape, generator=noise)
    made = whole.decode(vae, posterior.mean + draw * (0.5 * posterior.log_variance).exp())
    pixels, kl = reconstruction(made, batch.video, batch.weight), divergence(posterior)
    return Losses(total=pixels + KL_WEIGHT * kl, pixels=pixels, kl=kl)


def reconstruction(made: Tensor, wanted: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean of |e| + e^2, and a quarter of the error of what changes from frame to frame.

    |e| keeps edges sharp, e^2 spares no large error; a mouth is little but what changes.
    """
    error = made - wanted
    loss = ((error.abs() + error.square()) * weight).mean()
    if error.shape[2] == 1:
        return loss
    change = error[:, :, 1:] - error[:, :, :-1]
    return loss + _CHANGE_WEIGHT * (change.abs() * weight[:, :, 1:]).mean()


def divergence(posterior: Posterior) -> Tensor:
    """Kullback-Leibler divergence from a unit normal, mean per latent value."""
    mean, log_variance = posterior
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()
