"""The average of the weights over the last steps: what is published, steadier than the weights themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Average:
    """An exponential moving average, float32, of what is trained; it follows quickly while it is young."""

    def __init__(self, parameters: Mapping[str, nn.Parameter], *, decay: float = 0.998) -> None:
        self.decay = decay
        self.tensors = {name: value.detach().float().clone() for name, value in parameters.items()}

    @torch.no_grad()
    def update(self, parameters: Mapping[str, nn.Parameter], step: int) -> None:
        """Take in the weights after `step` steps, from 1 on."""
        decay = min(self.decay, step / (step + 19))
        for name, value in parameters.items():
            self.tensors[name].lerp_(value.detach().float(), 1 - decay)

    @contextmanager
    @torch.no_grad()
    def in_place(self, parameters: Mapping[str, nn.Parameter]) -> Iterator[None]:
        """Inside the block the parameters hold the average."""
        own: dict[str, Tensor] = {name: value.detach().clone() for name, value in parameters.items()}
        try:
            for name, value in parameters.items():
                value.copy_(self.tensors[name])
            yield
        finally:
            for name, value in parameters.items():
                value.copy_(own[name])
