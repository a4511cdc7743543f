"""First weights with which a deep narrow autoencoder learns at once: nothing grows or fades on its way through."""

from __future__ import annotations

import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import (
    AutoencoderKLWan,
    WanAttentionBlock,
    WanResample,
    WanResidualBlock,
)
from torch import nn

_LOG_VARIANCE = -4.0
"""The posterior begins narrow, or the decoder sees noise."""


@torch.no_grad()
def begin(vae: AutoencoderKLWan, *, seed: int) -> None:
    """Set every weight: kernels of gain 1, no biases, weak branches beside strong paths, frames copied in time."""
    generator = torch.Generator().manual_seed(seed)
    for module in vae.modules():
        if isinstance(module, nn.Conv2d | nn.Conv3d):
            fan_in = module.weight[0].numel()
            module.weight.normal_(std=fan_in**-0.5, generator=generator)
            _zero(module)
    for module in vae.modules():
        if isinstance(module, WanResidualBlock):
            module.conv2.weight *= 0.3
        elif isinstance(module, WanAttentionBlock):
            module.proj.weight *= 0.1
        elif isinstance(module, WanResample) and module.mode.endswith("3d"):
            _copy_in_time(module)
    for convolution in (vae.quant_conv, vae.post_quant_conv):
        convolution.weight.copy_(torch.eye(len(convolution.weight))[:, :, None, None, None])
    head, z = vae.encoder.conv_out, vae.config["z_dim"]
    head.weight[z:] *= 0.1
    assert head.bias is not None
    head.bias[z:] = _LOG_VARIANCE
    vae.decoder.conv_out.weight *= 0.3


def _zero(module: nn.Conv2d | nn.Conv3d) -> None:
    assert module.bias is not None
    module.bias.zero_()


def _copy_in_time(layer: WanResample) -> None:
    """Down: about the mean of the two newer frames. Up: about the same frame twice."""
    weight = layer.time_conv.weight
    inputs = weight.shape[1]
    same = torch.eye(inputs)
    if layer.mode == "downsample3d":
        weight *= 0.4
        weight[:, :, 1, 0, 0] += 0.6 * same
        weight[:, :, 2, 0, 0] += 0.6 * same
        return
    weight *= 0.2
    weight[:inputs, :, -1, 0, 0] += same
    weight[inputs:, :, -1, 0, 0] += same
