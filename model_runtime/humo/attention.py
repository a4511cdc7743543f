"""Attention as HuMo has it: queries and keys normalised over the full width before they are split into heads."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from model_runtime.humo.rope import Rotary, rotate

Attend = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(q, k, v), each [batch, tokens, heads, head_dim] -> the same shape as q. The seam for other kernels and for
attention spread over ranks."""


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """softmax(q k^T / sqrt(head_dim)) v, by torch's best kernel for the device."""
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    return functional.scaled_dot_product_attention(q, k, v).transpose(1, 2)


class RMSNorm(nn.Module):
    """Normalised in float32, scaled in the input's dtype (HuMo reference, precision)."""

    def __init__(self, dim: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        wide = x.float()
        normed = wide * torch.rsqrt(wide.square().mean(dim=-1, keepdim=True) + self.eps)
        # Under autocast the weight is wider than the input, and would widen everything behind it.
        return normed.type_as(x) * self.weight.type_as(x)


class Attention(nn.Module):
    """Queries from `dim` wide tokens, keys and values from `context_dim` wide ones.

    `attend` may be replaced, per module, by another kernel.
    """

    def __init__(self, dim: int, num_heads: int, *, eps: float, context_dim: int | None = None) -> None:
        super().__init__()
        context_dim = context_dim or dim
        self.num_heads = num_heads
        self.q = nn.Linear(dim, dim)
        self.k = nn.Linear(context_dim, dim)
        self.v = nn.Linear(context_dim, dim)
        self.o = nn.Linear(dim, dim)
        self.norm_q = RMSNorm(dim, eps)
        self.norm_k = RMSNorm(dim, eps)
        self.attend: Attend = attend

    def forward(self, x: Tensor, context: Tensor | None = None, rotary: Rotary | None = None) -> Tensor:
        """x [batch, tokens, dim], context [batch, tokens, context_dim] (None: x itself) -> as x.

        Every context token is attended to: there is no mask, not even for padding (HuMo reference, text).
        """
        context = x if context is None else context
        q = self._heads(self.norm_q(self.q(x)))
        k = self._heads(self.norm_k(self.k(context)))
        v = self._heads(self.v(context))
        if rotary is not None:
            q, k = rotate(q, rotary), rotate(k, rotary)
        out: Tensor = self.o(self.attend(q, k, v).flatten(2))
        return out

    def _heads(self, x: Tensor) -> Tensor:
        heads: Tensor = x.unflatten(-1, (self.num_heads, -1))
        return heads
