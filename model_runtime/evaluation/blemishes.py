"""What generated pictures have and drawn ones have not: softness, blocks, noise, ghosts, a shade of colour.

The reader is trained with them, so that it reads what is shown and not how cleanly it is shown.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

_BLOCK = 8


def blemished(frames: Tensor, neighbours: Tensor, generator: torch.Generator) -> Tensor:
    """float32 [B, 3, H, W] in -1 to 1, and for each frame one close to it in time; the same shape comes back.

    A quarter has ghosts of its neighbour, two quarters are soft, a third is blocky; all have noise and a shade.
    """
    frames = frames.clone()
    quarter, third = len(frames) // 4, len(frames) // 3
    rows = torch.randperm(len(frames), generator=generator)
    ghosts = rows[:quarter]
    strength = 0.45 * _uniform(quarter, generator)
    frames[ghosts] = torch.lerp(frames[ghosts], neighbours[ghosts], strength)
    for part, scale in ((rows[quarter // 2 : quarter + quarter // 2], 0.66), (rows[2 * quarter : 3 * quarter], 0.45)):
        frames[part] = _soft(frames[part], scale)
    blocky = torch.randperm(len(frames), generator=generator)[:third]
    frames[blocky] = _blocky(frames[blocky], 0.5 * _uniform(third, generator))
    count = len(frames)
    gain = 1 + 0.04 * torch.randn(count, 3, 1, 1, generator=generator)
    shade = 0.02 * torch.randn(count, 3, 1, 1, generator=generator)
    noise = torch.randn(frames.shape, generator=generator) * (0.14 * _uniform(count, generator) ** 2)
    return frames * gain + shade + noise


def _uniform(count: int, generator: torch.Generator) -> Tensor:
    return torch.rand(count, 1, 1, 1, generator=generator)


def _soft(frames: Tensor, scale: float) -> Tensor:
    """Shrunk and grown again."""
    small = functional.interpolate(frames, scale_factor=scale, mode="bilinear", antialias=True)
    return functional.interpolate(small, size=frames.shape[-2:], mode="bilinear")


def _blocky(frames: Tensor, step: Tensor) -> Tensor:
    """Rounded in the cosine transform of blocks of 8x8, coarser where frequency is higher; `step` [B, 1, 1, 1]."""
    basis = _cosines()
    count, planes, height, width = frames.shape
    blocks = frames.reshape(count, planes, height // _BLOCK, _BLOCK, width // _BLOCK, _BLOCK).transpose(3, 4)
    parts = basis @ blocks @ basis.T
    order = torch.arange(_BLOCK)
    coarse = step[..., None, None] * (order[:, None] + order[None, :] + 1) / 4 + 1e-3
    rounded = basis.T @ ((parts / coarse).round() * coarse) @ basis
    return rounded.transpose(3, 4).reshape(frames.shape)


def _cosines() -> Tensor:
    """The orthonormal DCT-II of length 8, [frequency, place]."""
    frequency, place = torch.arange(_BLOCK)[:, None], torch.arange(_BLOCK)[None]
    basis = torch.cos(math.pi * (2 * place + 1) * frequency / (2 * _BLOCK)) * math.sqrt(2 / _BLOCK)
    basis[0] /= math.sqrt(2)
    return basis
