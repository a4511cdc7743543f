"""Kernels follow Muon, flattened to matrices; the first and last convolutions, gains and biases follow AdamW."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import nn

from model_runtime.training.optimiser import Together

_APART = ("encoder.conv_in.", "decoder.conv_out.", "quant_conv.", "post_quant_conv.")
"""Their rows are pixels or latents, each with a scale of its own: orthogonal updates would level that."""
_KERNELS_TO_OTHERS = 1.5
"""Rate of kernels over that of all else."""


class KernelOptimiser:
    """Both as one, with one state to save.

    Args:
        parameters: what is trained, by diffusers' name.
        learning_rate: AdamW's full rate; the kernels' is half as much again.
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter], learning_rate: float) -> None:
        is_kernel = {name: value.ndim > 2 and not name.startswith(_APART) and not name.endswith("gamma")
                     for name, value in parameters.items()}  # fmt: skip
        self._kernels = [value for name, value in parameters.items() if is_kernel[name]]
        # Muon takes matrices alone. These share the kernels' memory: a step on them is a step on the kernels.
        self._matrices = [nn.Parameter(value.detach().view(len(value), -1)) for value in self._kernels]
        self._others = [value for name, value in parameters.items() if not is_kernel[name]]
        muon = torch.optim.Muon(
            self._matrices,
            lr=_KERNELS_TO_OTHERS * learning_rate,
            weight_decay=0.0,
            adjust_lr_fn="match_rms_adamw",
        )
        adamw = torch.optim.AdamW(self._others, lr=learning_rate, betas=(0.9, 0.99), weight_decay=0.0)
        self._both = Together((muon, adamw))
        self._full = (_KERNELS_TO_OTHERS * learning_rate, learning_rate)

    def set_rate(self, share: float) -> None:
        """Use that share of the full rates from now on."""
        for group, full in zip(self._both.param_groups, self._full, strict=True):
            group["lr"] = share * full

    def step(self) -> None:
        """Follow the gradients, and forget them."""
        for kernel, matrix in zip(self._kernels, self._matrices, strict=True):
            matrix.grad = None if kernel.grad is None else kernel.grad.reshape(matrix.shape)
        self._both.step()
        for value in self._everything():
            value.grad = None

    def _everything(self) -> Iterable[nn.Parameter]:
        return (*self._kernels, *self._matrices, *self._others)

    def state_dict(self) -> dict[str, Any]:
        """As one optimiser would give it: Muon's parameters first, then AdamW's, numbered on."""
        return self._both.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """What `state_dict` gave."""
        self._both.load_state_dict(dict(state))
