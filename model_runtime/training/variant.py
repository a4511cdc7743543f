"""The paper's ablation: stage 2 as it is meant, and with one of its parts left out."""

from __future__ import annotations

from enum import StrEnum

from model_runtime.training.mixing import Mixing, TaskMix

_FOCUS_WEIGHT = 0.1


class Variant(StrEnum):
    """How stage 2 is trained (paper, ablation studies); all else is equal."""

    PAPER = "paper"
    """Self-attention and speech modules, a mix from 80/20 to 50/50, focus by predicting."""
    UNMIXED = "unmixed"
    """Half of all samples learn speech from the first step on: no progressive mix."""
    UNFOCUSED = "unfocused"
    """No mask predictor and no mask loss."""
    FULL = "full"
    """Every weight of the transformer is trained."""

    @property
    def mixing(self) -> Mixing:
        mixing = Mixing()
        if self is not Variant.UNMIXED:
            return mixing
        return Mixing(dropout=mixing.dropout, tasks=TaskMix(start=mixing.tasks.end, end=mixing.tasks.end))

    @property
    def focus_weight(self) -> float:
        """Of the mask loss."""
        return 0.0 if self is Variant.UNFOCUSED else _FOCUS_WEIGHT

    @property
    def is_full(self) -> bool:
        """Are all weights trained, and not those alone that the paper trains in that stage?"""
        return self is Variant.FULL
