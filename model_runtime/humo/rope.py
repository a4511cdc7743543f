"""Rotary positions in three dimensions: time, rows, columns (HuMo reference, DiT forward)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

BASE = 10_000.0


class Rotary(NamedTuple):
    """Cosine and sine per token and rotated pair, each float32 [tokens, head_dim / 2]."""

    cos: Tensor
    sin: Tensor

    def narrow(self, start: int, length: int) -> Rotary:
        """Those of a run of tokens, for a rank that holds only these."""
        return Rotary(self.cos.narrow(0, start, length), self.sin.narrow(0, start, length))


def split(head_dim: int) -> tuple[int, int, int]:
    """How many of a head's channels turn with time, row and column: D - 4 floor(D/6), then twice 2 floor(D/6)."""
    space = 2 * (head_dim // 6)
    return head_dim - 2 * space, space, space


def axis_angles(size: int, positions: Tensor) -> Tensor:
    """float32 [positions, size / 2]: position times 10000^(-2j / size) for pair j, computed in float64."""
    frequencies = BASE ** (-torch.arange(0, size, 2, dtype=torch.float64, device=positions.device) / size)
    return torch.outer(positions.double(), frequencies).float()


def rotary(head_dim: int, *, frames: int, rows: int, columns: int, device: torch.device | str = "cpu") -> Rotary:
    """The table of a grid of tokens, ordered by frame, then row, then column.

    Reference slots need nothing of their own: they are the last positions in time.
    """
    grid = (frames, rows, columns)
    parts = []
    for axis, size in enumerate(split(head_dim)):
        angles = axis_angles(size, torch.arange(grid[axis], device=device))
        shape = [1, 1, 1, angles.shape[1]]
        shape[axis] = grid[axis]
        parts.append(angles.view(shape).expand(*grid, -1))
    angles = torch.cat(parts, dim=-1).flatten(0, 2)
    return Rotary(angles.cos(), angles.sin())


def rotate(x: Tensor, table: Rotary) -> Tensor:
    """Turn the interleaved pairs (2j, 2j+1) of x [batch, tokens, heads, head_dim], in float32; the dtype is kept."""
    even, odd = x.float().unflatten(-1, (-1, 2)).unbind(-1)
    cos, sin = table.cos[:, None], table.sin[:, None]
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1).flatten(-2).type_as(x)
