"""The autoencoder over a whole clip at once, with gradients: what diffusers works through one latent frame at a time.

diffusers carries two past frames per convolution from piece to piece. Over the whole clip the same numbers come from
convolutions that reach two frames back and see zeros before the first one; only changes of the frame rate set the
first frame apart. That is several times faster, because a step is few large convolutions and not many small ones.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import (
    AutoencoderKLWan,
    WanDecoder3d,
    WanEncoder3d,
    WanResample,
    WanUpBlock,
    patchify,
    unpatchify,
)
from torch import Tensor


class Posterior(NamedTuple):
    """What the encoder says of a clip, each float32 [B, z, latent frames, h, w]."""

    mean: Tensor
    log_variance: Tensor


def encode(vae: AutoencoderKLWan, video: Tensor) -> Posterior:
    """[B, 3, 4k+1, H, W] in -1 to 1 -> the posterior of k + 1 latent frames, before any normalisation."""
    encoder: WanEncoder3d = vae.encoder
    x: Tensor = patchify(video, patch_size=vae.config["patch_size"])
    x = encoder.conv_in(x.contiguous(memory_format=torch.channels_last_3d))
    for layer in encoder.down_blocks:
        x = _down(layer, x) if isinstance(layer, WanResample) else layer(x)
    x = vae.quant_conv(_head(encoder, encoder.mid_block(x)))
    mean, log_variance = x.float().chunk(2, dim=1)
    # The bounds of diffusers' own distribution.
    return Posterior(mean, log_variance.clamp(-30, 20))


def decode(vae: AutoencoderKLWan, latents: Tensor) -> Tensor:
    """[B, z, k + 1, h, w] as the encoder's means are -> float32 [B, 3, 4k+1, H, W], not clamped."""
    decoder: WanDecoder3d = vae.decoder
    x: Tensor = vae.post_quant_conv(latents.contiguous(memory_format=torch.channels_last_3d))
    x = decoder.mid_block(decoder.conv_in(x))
    for block in decoder.up_blocks:
        assert isinstance(block, WanUpBlock)
        x = _up(block, x)
    pixels: Tensor = unpatchify(_head(decoder, x).float().contiguous(), patch_size=vae.config["patch_size"])
    return pixels


def _head(half: WanEncoder3d | WanDecoder3d, x: Tensor) -> Tensor:
    out: Tensor = half.conv_out(half.nonlinearity(half.norm_out(x)))
    return out


def _down(layer: WanResample, x: Tensor) -> Tensor:
    """Half the rows and columns; in time the first frame stays, and every further one is made of two."""
    x = _by_frame(layer, x)
    if layer.mode != "downsample3d" or x.shape[2] == 1:
        return x
    return torch.cat((x[:, :, :1], layer.time_conv(x)), dim=2)


def _up(block: WanUpBlock, x: Tensor) -> Tensor:
    for resnet in block.resnets:
        x = resnet(x)
    for layer in block.upsamplers or ():
        assert isinstance(layer, WanResample)
        if layer.mode == "upsample3d" and x.shape[2] > 1:
            x = torch.cat((x[:, :, :1], _doubled(layer.time_conv(x[:, :, 1:]))), dim=2)
        x = _by_frame(layer, x)
    return x


def _doubled(x: Tensor) -> Tensor:
    """[B, 2c, t, h, w] -> [B, c, 2t, h, w]: the first half of the channels is the earlier frame."""
    pairs: Tensor = x.unflatten(1, (2, -1))
    return pairs.permute(0, 2, 3, 1, 4, 5).flatten(2, 3)


def _by_frame(layer: WanResample, x: Tensor) -> Tensor:
    frames = x.transpose(1, 2)
    out: Tensor = layer.resample(frames.flatten(0, 1)).unflatten(0, frames.shape[:2])
    return out.transpose(1, 2)
