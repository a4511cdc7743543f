"""How weights follow their gradients: AdamW, a warm-up, and a straight decay at the end."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import nn

Optimise = Callable[[Mapping[str, nn.Parameter], float], torch.optim.Optimizer]
"""(parameters, learning rate) -> an optimiser whose groups hold their full rate as `full_lr`: the seam for others."""


def adamw(parameters: Mapping[str, nn.Parameter], learning_rate: float) -> torch.optim.Optimizer:
    """AdamW; matrices and kernels decay, gains, biases and modulations do not."""
    decaying = [value for name, value in parameters.items() if value.ndim > 1 and not name.endswith("modulation")]
    others = [value for name, value in parameters.items() if value.ndim <= 1 or name.endswith("modulation")]
    groups = [
        {"params": decaying, "weight_decay": 0.02, "full_lr": learning_rate},
        {"params": others, "weight_decay": 0.0, "full_lr": learning_rate},
    ]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=learning_rate, betas=(0.9, 0.99))


def rate(step: int, *, steps: int, warmup: int, decay_share: float) -> float:
    """What step `step` has of the full rate: it rises over `warmup` steps and falls over the last `decay_share`.

    The last step has a little left: one part of the decay's length.
    """
    rising = min(1.0, (step + 1) / max(1, warmup))
    falling = min(1.0, (steps - step) / max(1.0, decay_share * steps))
    return rising * falling
