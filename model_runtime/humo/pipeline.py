"""A render as stages: noise -> conditions -> denoise -> decode. Tensors in, tensors out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan
from torch import Tensor

from model_runtime.engine import Frame
from model_runtime.humo import vae as video_vae
from model_runtime.humo.conditioning import Conditioning
from model_runtime.humo.config import Family
from model_runtime.humo.guidance import Branch, Scales, guidance
from model_runtime.humo.sampler import Sampler
from model_runtime.humo.transformer import HumoTransformer
from model_runtime.humo.vae import FRAMES_PER_LATENT
from schemas.mode import Mode


def latent_frames(num_frames: int) -> int:
    """Latent frames of 4n+1 video frames.

    Raises:
        ValueError: another number of frames.
    """
    if num_frames < 1 or num_frames % FRAMES_PER_LATENT != 1:
        raise ValueError(f"{num_frames} frames, expected {FRAMES_PER_LATENT}n + 1")
    return (num_frames - 1) // FRAMES_PER_LATENT + 1


def draw_noise(seed: int, *, channels: int, slots: int, rows: int, columns: int) -> Tensor:
    """N(0, 1), float32 [channels, slots, rows, columns], on the CPU: a seed means the same on every device."""
    generator = torch.Generator("cpu").manual_seed(seed)
    return torch.randn(channels, slots, rows, columns, generator=generator)


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """All that steers one clip, on the transformer's device."""

    text: Tensor
    """[tokens, text_dim] of the prompt."""
    negative: Tensor
    """[tokens, text_dim] of the negative prompt."""
    speech: Tensor
    """Windows [slots, 8, bands, channels]; all-zero where the mode has no speech."""
    references: Conditioning
    slots: int
    """Reference slots at the end; at least one, a placeholder without pictures."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How to denoise: what the conditions weigh, in which mode."""

    family: Family
    mode: Mode
    scales: Scales


@torch.no_grad()
def predict(
    transformer: HumoTransformer, conditions: Conditions, latents: Tensor, timestep: int, branch: Branch
) -> Tensor:
    """One forward pass: the velocity of latents [16, slots, h, w] under a branch's conditions, float32, same shape."""
    shown, channels = conditions.references.inputs(latents, image=branch.has_image)
    velocity: Tensor = transformer(
        latents=shown[None],
        timestep=torch.tensor([timestep], device=latents.device),
        text=(conditions.text if branch.has_text else conditions.negative)[None],
        audio=(conditions.speech if branch.has_speech else torch.zeros_like(conditions.speech))[None],
        condition=None if channels is None else channels[None],
    )
    return velocity[0]


OnStep = Callable[[int, Tensor], None]
"""Told the number of finished steps and the latents [16, slots, h, w]; raises to stop."""


def denoise(
    transformer: HumoTransformer,
    conditions: Conditions,
    noise: Tensor,
    *,
    sampler: Sampler,
    plan: Plan,
    on_step: OnStep,
) -> Tensor:
    """Noise [16, slots, h, w] -> the video's latents [16, slots - references, h, w], float32.

    Raises:
        FloatingPointError: the latents are no longer finite numbers.
    """
    latents = noise
    on_step(0, latents)
    for done, timestep in enumerate(sampler.timesteps, start=1):
        step = guidance(plan.family, plan.mode, plan.scales, timestep)
        predictions = {branch: predict(transformer, conditions, latents, timestep, branch) for branch in step.branches}
        latents = sampler.step(step.combine(predictions), latents, timestep)
        if not torch.isfinite(latents).all():
            raise FloatingPointError(
                f"the latents are not finite numbers after step {done} of {len(sampler.timesteps)}"
            )
        on_step(done, latents)
    return latents[:, : -conditions.slots]


def frames(vae: AutoencoderKLWan, latents: Tensor) -> Iterator[Frame]:
    """Latents [16, T, h, w] -> 4(T - 1) + 1 pictures, uint8 [H, W, 3], each as soon as it is decoded.

    Raises:
        FloatingPointError: a picture is not made of finite numbers.
    """
    for piece in video_vae.decode(vae, latents):
        if not torch.isfinite(piece).all():
            raise FloatingPointError("a decoded picture is not made of finite numbers")
        yield from video_vae.to_pixels(piece).cpu().numpy()
