"""Where people stand in a picture: one square view of each, whatever the picture's size."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from model_runtime.training.world.drawing import UNITS

SIDE = 64
"""Pixels of a view."""
_DUO_WIDTH, _DUO_HEIGHT, _DUO_SCALE = 36.0, 60.0, 0.7
"""Units around one of two people who stand as far apart as in a square picture."""


@dataclass(frozen=True)
class Box:
    """In pixels; right and bottom are outside."""

    left: int
    top: int
    right: int
    bottom: int


def boxes(*, width: int, height: int, people: int) -> list[Box]:
    """One per person from left to right, around where the world puts people (`World.draw`), inside the picture."""
    pixels = min(width, height) / UNITS
    wide, high = width / pixels, height / pixels
    drop = -0.1 * (high - UNITS)
    if people == 1:
        return [_box(0.0, drop, UNITS, UNITS, wide=wide, high=high, pixels=pixels)]
    grow = min(0.95, _DUO_SCALE * wide / UNITS) / _DUO_SCALE
    size = _DUO_WIDTH * grow, _DUO_HEIGHT * grow
    return [
        _box(side * wide * 0.244, 2.0 * grow + drop, *size, wide=wide, high=high, pixels=pixels) for side in (-1, 1)
    ]


def _box(x: float, y: float, width: float, height: float, *, wide: float, high: float, pixels: float) -> Box:
    """Around a point given from the middle, in units, pushed into the picture."""
    width, height = min(width, wide), min(height, high)
    left = min(max(0.0, wide / 2 + x - width / 2), wide - width)
    top = min(max(0.0, high / 2 + y - height / 2), high - height)
    corners = (left, top, left + width, top + height)
    return Box(*(round(corner * pixels) for corner in corners))


def views(frames: Tensor, *, people: int) -> list[Tensor]:
    """uint8 [T, H, W, 3] -> one uint8 [T, 3, 64, 64] per person from left to right."""
    _, height, width, _ = frames.shape
    planes = frames.permute(0, 3, 1, 2)
    return [_view(planes, box) for box in boxes(width=width, height=height, people=people)]


def _view(planes: Tensor, box: Box) -> Tensor:
    seen = planes[:, :, box.top : box.bottom, box.left : box.right]
    if seen.shape[-2:] == (SIDE, SIDE):
        return seen.contiguous()
    resized = functional.interpolate(
        seen.float(), size=(SIDE, SIDE), mode="bilinear", antialias=True, align_corners=False
    )
    return resized.round().clamp(0, 255).to(torch.uint8)
