"""Focus by predicting: to say where the face is, the hidden states after the speech attention must know (paper)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from model_runtime.humo.transformer import AudioAttention, HumoTransformer

LAST_BLOCKS = 4
_HALF = 0.5


class FocusPredictor(nn.Module):
    """A mask of faces from the hidden states of the last blocks, one head per block, their logits averaged.

    It reads the transformer by hooks and is no part of it: published weights and their names do not change.
    """

    def __init__(self, transformer: HumoTransformer, *, blocks: int = LAST_BLOCKS) -> None:
        super().__init__()
        shape = transformer.shape
        self._patch = shape.patch_size
        self.blocks = min(blocks, shape.num_layers)
        cells = shape.patch_size[0] * shape.patch_size[1] * shape.patch_size[2]
        self.heads = nn.ModuleList(
            nn.Sequential(
                nn.LayerNorm(shape.dim),
                nn.Linear(shape.dim, shape.dim // 4),
                nn.GELU(),
                nn.Linear(shape.dim // 4, cells),
            )
            for _ in range(self.blocks)
        )

    @contextmanager
    def watching(self, transformer: HumoTransformer) -> Iterator[list[Tensor]]:
        """Inside the block, forward passes leave the hidden states here: one [batch, tokens, dim] per watched block."""
        seen: list[Tensor] = []

        def keep(_: nn.Module, given: tuple[Any, ...], added: Tensor) -> None:
            # The residual stream as it is after the block has added what speech says.
            seen.append(given[0] + added.float())

        handles = [module.register_forward_hook(keep) for module in self._watched(transformer)]
        try:
            yield seen
        finally:
            for handle in handles:
                handle.remove()

    def _watched(self, transformer: HumoTransformer) -> list[AudioAttention]:
        return [module for module in transformer.modules() if isinstance(module, AudioAttention)][-self.blocks :]

    def forward(self, states: list[Tensor], *, slots: int, rows: int, columns: int) -> Tensor:
        """Hidden states -> logits [batch, slots, rows, columns] at latent resolution, float32.

        Raises:
            ValueError: not one state per watched block.
        """
        if len(states) != self.blocks:
            raise ValueError(f"hidden states of {len(states)} blocks, expected {self.blocks}")
        mean = torch.stack([head(state) for head, state in zip(self.heads, states, strict=True)]).mean(0).float()
        time, high, wide = self._patch
        grid = mean.unflatten(1, (slots // time, rows // high, columns // wide)).unflatten(-1, self._patch)
        cells: Tensor = grid.permute(0, 1, 4, 2, 5, 3, 6).flatten(5, 6).flatten(3, 4).flatten(1, 2)
        return cells


def focus_loss(logits: Tensor, face: Tensor) -> Tensor:
    """Cross-entropy against the binary face mask, times cells over face cells of each latent frame; float32.

    Args:
        logits: [batch, latent frames, h, w].
        face: share of each cell that is face, 0 to 1, as logits; more than half makes a face cell.

    Returns:
        The mean over all latent frames. Those without a face have no weight: h w / 0 says nothing about them.
    """
    mask = (face > _HALF).float()
    area = mask.sum((-2, -1))
    cells = mask.shape[-2] * mask.shape[-1]
    weight = torch.where(area > 0, cells / area.clamp_min(1), 0)
    per_frame = functional.binary_cross_entropy_with_logits(logits.float(), mask, reduction="none").mean((-2, -1))
    return (weight * per_frame).mean()
