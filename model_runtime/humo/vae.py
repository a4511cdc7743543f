"""The Wan 2.1 video autoencoder: diffusers' model, the published names, and frames as they are decoded.

Latent frame 0 is one video frame, each further one is four. Encoder and decoder are causal in time, so a clip may be
worked through one latent frame at a time with the same result as at once (HuMo reference, VAE).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan, unpatchify
from torch import Tensor

from model_runtime.humo.config import VaeConfig
from model_runtime.humo.cpu_kernels import CpuKernels

STRIDE = 8
"""Pixels per latent cell and axis, the patch included."""

FRAMES_PER_LATENT = 4


_RGB = 3


def build_vae(config: VaeConfig) -> AutoencoderKLWan:
    """An autoencoder of these widths, with whatever weights the default device gives it.

    Raises:
        ValueError: strides other than 4 x 8 x 8.
    """
    strides = config.patch_size * 2 ** len(config.temporal_downsample), 2 ** sum(config.temporal_downsample)
    if strides != (STRIDE, FRAMES_PER_LATENT) or len(config.dim_mult) != len(config.temporal_downsample) + 1:
        raise ValueError(f"{config} has other strides than {FRAMES_PER_LATENT} x {STRIDE} x {STRIDE}")
    channels = _RGB * config.patch_size**2
    own = {"latents_mean": [0.0] * config.z_dim, "latents_std": [1.0] * config.z_dim} if config.is_standardised else {}
    vae: AutoencoderKLWan = AutoencoderKLWan(
        base_dim=config.dim,
        z_dim=config.z_dim,
        dim_mult=list(config.dim_mult),
        num_res_blocks=config.num_res_blocks,
        temperal_downsample=list(config.temporal_downsample),
        in_channels=channels,
        out_channels=channels,
        patch_size=config.patch_size,
        **own,
    )
    vae.eval()
    return vae


@torch.no_grad()
def encode(vae: AutoencoderKLWan, video: Tensor) -> Tensor:
    """[3, 4k+1, H, W] in -1 to 1 -> normalised means, float32 [16, k+1, H/8, W/8].

    Raises:
        ValueError: another number of frames.
    """
    if video.shape[1] % FRAMES_PER_LATENT != 1:
        raise ValueError(f"{video.shape[1]} frames, expected {FRAMES_PER_LATENT}n + 1")
    with CpuKernels():
        means: Tensor = vae.encode(_on(vae, video)[None]).latent_dist.mode()[0]
    mean, std = _statistics(vae, means)
    return ((means - mean) / std).float()


@torch.no_grad()
def zero_latent(vae: AutoencoderKLWan, *, latent_frames: int, rows: int, columns: int) -> Tensor:
    """The latent of so many frames of mid-grey, [16, latent_frames, rows, columns].

    It is no repetition of one frame: the first 20 to 30 latent frames differ. The pixels are one shared zero, so the
    clip costs no memory.
    """
    grey = next(vae.parameters()).new_zeros(())
    return encode(vae, grey.expand(3, FRAMES_PER_LATENT * (latent_frames - 1) + 1, STRIDE * rows, STRIDE * columns))


@torch.no_grad()
def decode(vae: AutoencoderKLWan, latents: Tensor) -> Iterator[Tensor]:
    """Normalised [16, T, H/8, W/8] -> float32 pieces [3, 1, H, W], then [3, 4, H, W]: one per latent frame.

    Values are not clamped. Only the piece and two frames per convolution are held at a time.
    """
    latents = _on(vae, latents)
    mean, std = _statistics(vae, latents)
    with CpuKernels():
        z = vae.post_quant_conv((latents * std + mean)[None])
    history: list[Tensor | None] = [None] * vae._cached_conv_counts["decoder"]
    for index in range(z.shape[2]):
        with CpuKernels():
            piece: Tensor = vae.decoder(
                z[:, :, index : index + 1], feat_cache=history, feat_idx=[0], first_chunk=index == 0
            )
        # diffusers does this once for the whole clip; it moves nothing between frames.
        yield unpatchify(piece, patch_size=vae.config["patch_size"])[0].float()


def to_pixels(piece: Tensor) -> Tensor:
    """[3, frames, H, W] in -1 to 1 -> uint8 [frames, H, W, 3]; clamped, then truncated as the reference does."""
    levels = (piece.clamp(-1, 1) * 0.5 + 0.5) * 255
    return levels.to(torch.uint8).permute(1, 2, 3, 0)


def _on(vae: AutoencoderKLWan, x: Tensor) -> Tensor:
    weight = next(vae.parameters())
    return x.to(weight.device, weight.dtype)


def _statistics(vae: AutoencoderKLWan, like: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation per latent channel, [16, 1, 1, 1]."""
    config = vae.config
    mean, std = (like.new_tensor(config[name]).view(-1, 1, 1, 1) for name in ("latents_mean", "latents_std"))
    return mean, std


_RESIDUAL = {
    "norm1.gamma": "residual.0.gamma",
    "conv1.weight": "residual.2.weight",
    "conv1.bias": "residual.2.bias",
    "norm2.gamma": "residual.3.gamma",
    "conv2.weight": "residual.6.weight",
    "conv2.bias": "residual.6.bias",
    "conv_shortcut.weight": "shortcut.weight",
    "conv_shortcut.bias": "shortcut.bias",
}
_RULES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"quant_conv\.(.+)", r"conv1.\1"),
        (r"post_quant_conv\.(.+)", r"conv2.\1"),
        (r"(encoder|decoder)\.conv_in\.(.+)", r"\1.conv1.\2"),
        (r"(encoder|decoder)\.norm_out\.(.+)", r"\1.head.0.\2"),
        (r"(encoder|decoder)\.conv_out\.(.+)", r"\1.head.2.\2"),
        (r"(encoder|decoder)\.mid_block\.resnets\.0\.(.+)", r"\1.middle.0.\2"),
        (r"(encoder|decoder)\.mid_block\.attentions\.0\.(.+)", r"\1.middle.1.\2"),
        (r"(encoder|decoder)\.mid_block\.resnets\.1\.(.+)", r"\1.middle.2.\2"),
        (r"encoder\.down_blocks\.(.+)", r"encoder.downsamples.\1"),
    )
)
_LAYER = re.compile(r"((?:encoder|decoder)\.\w+\.\d+)\.(.+)")
_UP = re.compile(r"decoder\.up_blocks\.(\d+)\.(resnets|upsamplers)\.(\d+)\.(.+)")


def published_name(name: str, config: VaeConfig) -> str:
    """The published checkpoint's name of one of diffusers' weights."""
    up = _UP.fullmatch(name)
    if up:
        # The checkpoint counts all layers of the way up in one row: the residual blocks of a level, then its resampler.
        per_level = config.num_res_blocks + 2
        inside = int(up[3]) if up[2] == "resnets" else per_level - 1
        return _residual(f"decoder.upsamples.{int(up[1]) * per_level + inside}.{up[4]}")
    for pattern, replacement in _RULES:
        if pattern.fullmatch(name):
            return _residual(pattern.sub(replacement, name))
    raise KeyError(name)


def _residual(name: str) -> str:
    """Inside a numbered layer the checkpoint counts norm, activation, convolution as steps of one sequence."""
    match = _LAYER.fullmatch(name)
    return f"{match[1]}.{_RESIDUAL[match[2]]}" if match and match[2] in _RESIDUAL else name
