"""Mean and deviation of each latent channel: measured, and worked into the weights: nobody has to carry them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan
from torch import Tensor

from model_runtime.training.autoencoder import whole


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """Per latent channel, each float32 [z]."""

    mean: Tensor
    deviation: Tensor


@torch.no_grad()
def measure(vae: AutoencoderKLWan, videos: Iterable[Tensor]) -> Statistics:
    """Of the posterior's means, over videos [B, 3, 4k+1, H, W]; every latent value counts as much."""
    count, total, square = 0, torch.zeros(()), torch.zeros(())
    for video in videos:
        means = whole.encode(vae, video).mean.transpose(0, 1).flatten(1).double()
        count += means.shape[1]
        total = total + means.sum(1)
        square = square + means.square().sum(1)
    if not count:
        raise ValueError("no video to measure")
    mean = total / count
    return Statistics(mean=mean.float(), deviation=(square / count - mean.square()).clamp_min(1e-12).sqrt().float())


@torch.no_grad()
def standardise(vae: AutoencoderKLWan, statistics: Statistics) -> None:
    """Change the weights beside the latents: they then have mean 0 and deviation 1, and clips come out as before.

    Both neighbours are convolutions of one cell, z' = (z - mean) / deviation and back, so this is exact.
    """
    mean, deviation = statistics.mean, statistics.deviation
    z = len(mean)
    into, out_of = vae.quant_conv, vae.post_quant_conv
    assert into.bias is not None
    assert out_of.bias is not None
    into.weight[:z] /= deviation[:, None, None, None, None]
    into.bias[:z] = (into.bias[:z] - mean) / deviation
    into.bias[z:] -= 2 * deviation.log()
    out_of.bias += out_of.weight.flatten(1) @ mean
    out_of.weight *= deviation[:, None, None, None]
