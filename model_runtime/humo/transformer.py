"""HuMo's diffusion transformer: Wan 2.1's with an audio cross-attention in every block.

State-dict names are those of the published checkpoints. Precision follows the reference on a GPU: linear layers and
attention run in the weights' dtype (bfloat16 in production), while the residual stream, the modulation, the
normalisations, the time embedding, the rotary turn and the head stay in float32, whatever the weights are.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from contextlib import nullcontext

import torch
from diffusers.configuration_utils import ConfigMixin
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn
from torch.nn import functional

from model_runtime.humo.attention import Attention
from model_runtime.humo.audio_projector import AudioProjector, layer_norm
from model_runtime.humo.config import TransformerConfig
from model_runtime.humo.rope import Rotary, rotary

_BLOCK_VECTORS = 6
_HEAD_VECTORS = 2


class AudioAttention(nn.Module):
    """Each latent frame's tokens attend to that frame's audio tokens only; frames are folded into the batch."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.norm1_audio = nn.LayerNorm(config.dim, eps=config.eps)
        self.audio_cross_attn = Attention(config.dim, config.num_heads, eps=config.eps, context_dim=config.audio_dim)

    def forward(self, x: Tensor, audio: Tensor) -> Tensor:
        """x float32 [batch, frames x tokens, dim], audio [batch, frames, audio tokens, audio_dim] -> as x."""
        batch, frames = audio.shape[:2]
        per_frame = layer_norm(x, self.norm1_audio).type_as(audio).unflatten(1, (frames, -1)).flatten(0, 1)
        out: Tensor = self.audio_cross_attn(per_frame, audio.flatten(0, 1))
        tokens: Tensor = out.unflatten(0, (batch, frames)).flatten(1, 2)
        return tokens


class HumoBlock(nn.Module):
    """Self-attention, text, speech, feed-forward; only the first and the last are modulated and gated by time."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        dim, heads, eps = config.dim, config.num_heads, config.eps
        self.eps = eps
        self.modulation = nn.Parameter(torch.randn(1, _BLOCK_VECTORS, dim) / dim**0.5)
        self.self_attn = Attention(dim, heads, eps=eps)
        self.norm3 = nn.LayerNorm(dim, eps=eps)
        self.cross_attn = Attention(dim, heads, eps=eps)
        self.audio_cross_attn_wrapper = AudioAttention(config)
        self.ffn = nn.Sequential(
            nn.Linear(dim, config.ffn_dim), nn.GELU(approximate="tanh"), nn.Linear(config.ffn_dim, dim)
        )

    def forward(self, x: Tensor, time: Tensor, text: Tensor, audio: Tensor, table: Rotary) -> Tensor:
        """One block.

        x: float32 [batch, tokens, dim]; time: float32 [batch, 6, dim]; text: [batch, text_len, dim]; audio: [batch,
        frames, audio tokens, audio_dim]. Text and audio have the weights' dtype. Returns as x.
        """
        shift1, scale1, gate1, shift2, scale2, gate2 = (self.modulation.float() + time).chunk(_BLOCK_VECTORS, dim=1)
        x = x + gate1 * self.self_attn(modulated(x, shift1, scale1, self.eps).type_as(text), rotary=table).float()
        x = x + self.cross_attn(layer_norm(x, self.norm3).type_as(text), text).float()
        x = x + self.audio_cross_attn_wrapper(x, audio).float()
        y: Tensor = self.ffn(modulated(x, shift2, scale2, self.eps).type_as(text))
        return x + gate2 * y.float()


class Head(nn.Module):
    """Tokens to patches, in float32."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.eps = config.eps
        patch = config.patch_size[0] * config.patch_size[1] * config.patch_size[2]
        self.head = nn.Linear(config.dim, patch * config.out_dim)
        self.modulation = nn.Parameter(torch.randn(1, _HEAD_VECTORS, config.dim) / config.dim**0.5)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """x [batch, tokens, dim], time [batch, dim] -> [batch, tokens, patch x out_dim], all float32."""
        shift, scale = (self.modulation.float() + time[:, None]).chunk(_HEAD_VECTORS, dim=1)
        return linear32(modulated(x, shift, scale, self.eps), self.head)


class HumoTransformer(ModelMixin, ConfigMixin):
    """Predicts velocity (noise - data) of every latent slot from the noisy latent and its conditions.

    Built from the fields of a `TransformerConfig`.
    """

    config_name = "config.json"  # type: ignore[assignment]  # diffusers declares None, to be overridden
    _repeated_blocks = ("HumoBlock",)  # type: ignore[assignment]  # only searched; a class attribute stays immutable

    # The parameters are spelled out because diffusers reads this signature to restore a saved model.
    def __init__(
        self,
        *,
        model_type: str,
        in_dim: int,
        dim: int,
        ffn_dim: int,
        num_heads: int,
        num_layers: int,
        freq_dim: int,
        text_dim: int,
        text_len: int,
        out_dim: int,
        patch_size: Sequence[int],
        eps: float,
        audio_window: int,
        audio_bands: int,
        audio_channels: int,
        audio_hidden: int,
        audio_tokens: int,
        audio_dim: int,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # diffusers does not annotate it
        time_patch, row_patch, column_patch = patch_size
        config = TransformerConfig(
            model_type=model_type,
            in_dim=in_dim,
            dim=dim,
            ffn_dim=ffn_dim,
            num_heads=num_heads,
            num_layers=num_layers,
            freq_dim=freq_dim,
            text_dim=text_dim,
            text_len=text_len,
            out_dim=out_dim,
            patch_size=(time_patch, row_patch, column_patch),
            eps=eps,
            audio_window=audio_window,
            audio_bands=audio_bands,
            audio_channels=audio_channels,
            audio_hidden=audio_hidden,
            audio_tokens=audio_tokens,
            audio_dim=audio_dim,
        )
        self.register_to_config(**dataclasses.asdict(config))  # type: ignore[no-untyped-call]  # as above
        self.shape = config
        dim = config.dim
        self.patch_embedding = nn.Conv3d(config.in_dim, dim, kernel_size=config.patch_size, stride=config.patch_size)
        self.text_embedding = nn.Sequential(
            nn.Linear(config.text_dim, dim), nn.GELU(approximate="tanh"), nn.Linear(dim, dim)
        )
        self.time_embedding = nn.Sequential(nn.Linear(config.freq_dim, dim), nn.SiLU(), nn.Linear(dim, dim))
        self.time_projection = nn.Sequential(nn.SiLU(), nn.Linear(dim, _BLOCK_VECTORS * dim))
        self.blocks = nn.ModuleList(HumoBlock(config) for _ in range(config.num_layers))
        self.head = Head(config)
        self.audio_proj = AudioProjector(config)

    @classmethod
    def from_shape(cls, config: TransformerConfig) -> HumoTransformer:
        return cls(**dataclasses.asdict(config))

    @property
    def weight_dtype(self) -> torch.dtype:
        return self.patch_embedding.weight.dtype

    def forward(
        self, latents: Tensor, timestep: Tensor, text: Tensor, audio: Tensor, condition: Tensor | None = None
    ) -> Tensor:
        """Velocity, float32 [batch, out_dim, slots, H/8, W/8].

        Args:
            latents: [batch, 16, slots, H/8, W/8]; the last slots are the references.
            timestep: integer [batch], 0 to 999; large is noisy.
            text: [batch, at most text_len, text_dim].
            audio: windows [batch, slots, window, bands, channels]; all-zero ones say "no speech".
            condition: [batch, 20, slots, H/8, W/8] for the family that has it.
        """
        x = latents if condition is None else torch.cat((latents, condition), dim=1)
        frames, rows, columns = (size // patch for size, patch in zip(x.shape[2:], self.shape.patch_size, strict=True))
        table = rotary(self.shape.head_dim, frames=frames, rows=rows, columns=columns, device=x.device)
        vector, time = self.embed_time(timestep)
        words = self.embed_text(text)
        sounds = self.audio_proj(audio.to(self.weight_dtype))
        tokens = self.embed_patches(x)
        for block in self.blocks:
            tokens = block(tokens, time, words, sounds, table)
        return self.unpatchify(self.head(tokens, vector), frames, rows, columns)

    def embed_patches(self, x: Tensor) -> Tensor:
        """[batch, in_dim, slots, H/8, W/8] -> float32 tokens [batch, frames x rows x columns, dim], frame-major."""
        tokens: Tensor = self.patch_embedding(x.to(self.weight_dtype))
        return tokens.flatten(2).transpose(1, 2).float()

    def embed_time(self, timestep: Tensor) -> tuple[Tensor, Tensor]:
        """The time vector [batch, dim] and its six block vectors [batch, 6, dim], float32."""
        first, _, second = self.time_embedding
        vector = linear32(functional.silu(linear32(time_waves(timestep, self.shape.freq_dim), first)), second)
        blocks: Tensor = linear32(functional.silu(vector), self.time_projection[1]).unflatten(-1, (_BLOCK_VECTORS, -1))
        return vector, blocks

    def embed_text(self, text: Tensor) -> Tensor:
        """[batch, n, text_dim] -> [batch, text_len, dim]; zero rows are added before the layers, and attended to."""
        missing = self.shape.text_len - text.shape[1]
        if missing < 0:
            raise ValueError(f"{text.shape[1]} text tokens, expected at most {self.shape.text_len}")
        out: Tensor = self.text_embedding(functional.pad(text.to(self.weight_dtype), (0, 0, 0, missing)))
        return out

    def unpatchify(self, x: Tensor, frames: int, rows: int, columns: int) -> Tensor:
        """[batch, tokens, patch x out_dim] -> [batch, out_dim, slots, H/8, W/8]; channels vary fastest."""
        grid: Tensor = x.unflatten(1, (frames, rows, columns))
        grid = grid.unflatten(-1, (*self.shape.patch_size, self.shape.out_dim))
        return grid.permute(0, 7, 1, 4, 2, 5, 3, 6).flatten(6, 7).flatten(4, 5).flatten(2, 3)


def modulated(x: Tensor, shift: Tensor, scale: Tensor, eps: float) -> Tensor:
    """LayerNorm without parameters, then scaled and shifted by [batch, 1, dim]; float32."""
    return functional.layer_norm(x, x.shape[-1:], eps=eps) * (1 + scale) + shift


def linear32(x: Tensor, layer: nn.Module) -> Tensor:
    """A linear layer in float32 on weights of whatever dtype, inside autocast too."""
    assert isinstance(layer, nn.Linear)
    # Autocast knows nothing of meta tensors, on which costs are counted.
    with nullcontext() if x.is_meta else torch.autocast(x.device.type, enabled=False):
        return functional.linear(x.float(), layer.weight.float(), layer.bias.float())


def time_waves(timestep: Tensor, size: int) -> Tensor:
    """[batch] -> float32 [batch, size]: cosines, then sines, of t x 10000^(-k / (size / 2)); angles in float64."""
    half = size // 2
    exponents = -torch.arange(half, dtype=torch.float64, device=timestep.device) / half
    angles = torch.outer(timestep.double(), 10_000.0**exponents)
    return torch.cat((angles.cos(), angles.sin()), dim=-1).float()
