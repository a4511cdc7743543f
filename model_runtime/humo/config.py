"""Every width of HuMo as a value: the two published sizes and whatever else has their shape."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Family(StrEnum):
    """How reference pictures reach the transformer; the values are the reference configuration's `model_type`."""

    CHANNELS = "i2v"
    """17B: a mask and a conditioning latent are 20 further input channels."""
    SLOTS = "t2v"
    """1.7B: the reference slots of the latent itself are overwritten before each forward pass."""


@dataclass(frozen=True, kw_only=True)
class TransformerConfig:
    """The diffusion transformer (HuMo reference, model configuration)."""

    model_type: str
    in_dim: int
    dim: int
    ffn_dim: int
    num_heads: int
    num_layers: int
    freq_dim: int = 256
    text_dim: int = 4096
    text_len: int = 512
    out_dim: int = 16
    patch_size: tuple[int, int, int] = (1, 2, 2)
    """Latent frames, rows and columns per token."""
    eps: float = 1e-6
    """Of every LayerNorm and of the RMSNorm on queries and keys."""
    audio_window: int = 8
    """Video frames of speech features that one latent frame hears."""
    audio_bands: int = 5
    audio_channels: int = 1280
    """Width of the speech encoder."""
    audio_hidden: int = 512
    audio_tokens: int = 16
    audio_dim: int = 1536

    @property
    def family(self) -> Family:
        return Family(self.model_type)

    @property
    def head_dim(self) -> int:
        return self.dim // self.num_heads

    @property
    def pixels_per_token(self) -> int:
        """Pixels per token and axis: the VAE's stride of 8 times the patch."""
        return 8 * self.patch_size[1]


@dataclass(frozen=True, kw_only=True)
class VaeConfig:
    """The Wan 2.1 video autoencoder: strides 4 x 8 x 8."""

    dim: int = 96
    z_dim: int = 16
    dim_mult: tuple[int, ...] = (1, 2, 4, 4)
    num_res_blocks: int = 2
    temporal_downsample: tuple[bool, ...] = (False, True, True)
    patch_size: int = 1
    """Rows and columns of pixels that are channels of one cell before the first convolution and after the last."""
    is_standardised: bool = False
    """Latents have mean 0 and deviation 1 as they are: the weights hold the statistics, not diffusers' constants."""


@dataclass(frozen=True, kw_only=True)
class TextConfig:
    """The umT5 encoder: every layer has its own relative-position table."""

    vocab: int = 256_384
    dim: int = 4096
    dim_attn: int = 4096
    dim_ffn: int = 10_240
    num_heads: int = 64
    num_layers: int = 24
    num_buckets: int = 32
    max_distance: int = 128


@dataclass(frozen=True, kw_only=True)
class HumoConfig:
    """One size of HuMo with the encoders it was trained on; the speech encoder's widths are in its own folder."""

    transformer: TransformerConfig
    vae: VaeConfig = field(default_factory=VaeConfig)
    text: TextConfig = field(default_factory=TextConfig)


HUMO_17B = HumoConfig(
    transformer=TransformerConfig(model_type="i2v", in_dim=36, dim=5120, ffn_dim=13_824, num_heads=40, num_layers=40)
)
HUMO_1_7B = HumoConfig(
    transformer=TransformerConfig(model_type="t2v", in_dim=16, dim=1536, ffn_dim=8960, num_heads=12, num_layers=30)
)

_TINY_VAE = VaeConfig(dim=4, num_res_blocks=1)
_TINY_TEXT = TextConfig(vocab=256, dim=40, dim_attn=32, dim_ffn=64, num_heads=2, num_layers=2)

TINY_RANDOM = HumoConfig(
    transformer=TransformerConfig(
        model_type="i2v",
        in_dim=36,
        dim=64,
        ffn_dim=128,
        num_heads=2,
        num_layers=2,
        freq_dim=64,
        text_dim=40,
        text_len=64,
        audio_channels=16,
        audio_hidden=32,
        audio_dim=48,
    ),
    vae=_TINY_VAE,
    text=_TINY_TEXT,
)
"""As the 17B in every name and rule, small enough for a test on one core."""

TINY_RANDOM_1_7B = HumoConfig(
    transformer=TransformerConfig(
        model_type="t2v",
        in_dim=16,
        dim=64,
        ffn_dim=128,
        num_heads=2,
        num_layers=2,
        freq_dim=64,
        text_dim=40,
        text_len=64,
        audio_channels=16,
        audio_hidden=32,
        audio_dim=48,
    ),
    vae=_TINY_VAE,
    text=_TINY_TEXT,
)
"""As the 1.7B in every name and rule."""

HUMO_SMALL = HumoConfig(
    transformer=TransformerConfig(
        model_type="t2v",
        in_dim=16,
        dim=160,
        ffn_dim=640,
        num_heads=4,
        num_layers=6,
        freq_dim=128,
        text_dim=128,
        text_len=96,
        audio_bands=2,
        audio_channels=64,
        audio_hidden=192,
        audio_tokens=8,
        audio_dim=96,
    ),
    vae=VaeConfig(
        dim=16,
        dim_mult=(1, 2, 4),
        num_res_blocks=1,
        temporal_downsample=(True, True),
        patch_size=2,
        is_standardised=True,
    ),
    text=TextConfig(vocab=384, dim=128, dim_attn=128, dim_ffn=256, num_heads=4, num_layers=2),
)
"""Trained here on drawn people (docs/training.md): as the 1.7B in every rule, 64 by 64 pixels, under 15 MB in all.

Reference slots instead of channels, because pictures then have a guidance scale of their own, and go through the same
patch embedding as video, which the base has trained: stage 1 trains self-attention alone.
"""
