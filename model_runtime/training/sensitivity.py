"""How much each latent channel shows: errors in some are seen, in others hardly."""

from __future__ import annotations

import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan
from torch import Tensor

from model_runtime.humo import vae as video_vae

_NUDGE = 0.3
"""Deviation of the error, in deviations of the latents: about what is left of a good guess."""
_LEAST, _MOST = 0.3, 4.0


@torch.no_grad()
def channel_weights(vae: AutoencoderKLWan, latents: Tensor, *, seed: int = 0) -> Tensor:
    """Weights of mean 1, float32 [16]: the root mean square change of the pixels by equal errors, channel by channel.

    Args:
        vae: the autoencoder that the latents are of.
        latents: normalised, [clips, 16, T, h, w]; a few clips do.
        seed: of the errors.
    """
    generator = torch.Generator().manual_seed(seed)
    errors = _NUDGE * torch.randn(latents.shape, generator=generator)
    base = [_decode(vae, clip) for clip in latents]
    changes = []
    for channel in range(latents.shape[1]):
        nudged = latents.clone()
        nudged[:, channel] += errors[:, channel]
        squares = [(_decode(vae, clip) - was).square().mean() for clip, was in zip(nudged, base, strict=True)]
        changes.append(torch.stack(squares).mean().sqrt())
    found = torch.stack(changes)
    bounded = (found / found.mean()).clamp(_LEAST, _MOST)
    return bounded / bounded.mean()


def _decode(vae: AutoencoderKLWan, latents: Tensor) -> Tensor:
    return torch.cat(list(video_vae.decode(vae, latents)), dim=1).clamp(-1, 1)
