"""Classifier-free guidance over text, speech and pictures (HuMo reference, guidance; paper, equation 4).

A step's guided velocity is a chain of differences on top of a base: `sum scale (f(high) - f(low)) + f(base)`. The
17B's chain changes with time: the noisy end leans on text, the rest holds the pictures' identity.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from torch import Tensor

from model_runtime.humo.config import Family
from schemas.guidance import Chain
from schemas.mode import Mode


class Branch(StrEnum):
    """One forward pass, named by its conditions; without text it is given the negative prompt."""

    NULL = "null"
    I = "i"  # noqa: E741 - HuMo's own letter for image
    T = "t"
    TI = "ti"
    TA = "ta"
    TIA = "tia"

    @property
    def has_text(self) -> bool:
        return "t" in self.value

    @property
    def has_image(self) -> bool:
        return "i" in self.value

    @property
    def has_speech(self) -> bool:
        return "a" in self.value


@dataclass(frozen=True, kw_only=True)
class Scales:
    """How strongly each condition pulls; `image` is used by the 1.7B alone."""

    text: float
    audio: float
    image: float = 4.0
    switch: int = 980
    """17B: timesteps above this one are the noisy end (0.98 of the schedule)."""
    late_reduction: float = 2.0
    """17B: how much weaker text pulls after the noisy end."""
    chain: Chain | None = None
    """Another than the family's own."""


@dataclass(frozen=True, kw_only=True)
class Pull:
    """One difference: `scale (f(high) - f(low))`."""

    scale: float
    high: Branch
    low: Branch


@dataclass(frozen=True, kw_only=True)
class Guidance:
    """One step's chain."""

    pulls: tuple[Pull, ...]
    base: Branch

    @property
    def branches(self) -> tuple[Branch, ...]:
        """The forward passes it needs, each once."""
        named = [branch for pull in self.pulls for branch in (pull.high, pull.low)]
        return tuple(dict.fromkeys([*named, self.base]))

    def combine(self, predictions: Mapping[Branch, Tensor]) -> Tensor:
        """The guided velocity; summed in the chain's order, so that rounding is the reference's."""
        first, *rest = (pull.scale * (predictions[pull.high] - predictions[pull.low]) for pull in self.pulls)
        guided = first
        for term in rest:
            guided = guided + term
        return guided + predictions[self.base]


_OWN = {Family.CHANNELS: Chain.TIME_ADAPTIVE, Family.SLOTS: Chain.CONSTANT}


def guidance(family: Family, mode: Mode, scales: Scales, timestep: int) -> Guidance:
    """The chain of one denoising step.

    TI is no mode of the published code; it is TIA with the speech left out.
    """
    if mode is Mode.TA:
        return _chain(
            Pull(scale=scales.audio, high=Branch.TA, low=Branch.T),
            Pull(scale=scales.text, high=Branch.T, low=Branch.NULL),
        )
    if (scales.chain or _OWN[family]) is Chain.TIME_ADAPTIVE:
        return _time_adaptive(mode, scales, timestep)
    if mode is Mode.TI:
        return _chain(
            Pull(scale=scales.image, high=Branch.TI, low=Branch.T),
            Pull(scale=scales.text, high=Branch.T, low=Branch.NULL),
        )
    return _chain(
        Pull(scale=scales.image, high=Branch.TIA, low=Branch.TA),
        Pull(scale=scales.audio, high=Branch.TA, low=Branch.T),
        Pull(scale=scales.text, high=Branch.T, low=Branch.NULL),
    )


def _time_adaptive(mode: Mode, scales: Scales, timestep: int) -> Guidance:
    is_noisy = timestep > scales.switch
    text = scales.text if is_noisy else scales.text - scales.late_reduction
    speech = (Pull(scale=scales.audio, high=Branch.TIA, low=Branch.TI),) if mode is Mode.TIA else ()
    return _chain(*speech, Pull(scale=text, high=Branch.TI, low=Branch.I if is_noisy else Branch.NULL))


def _chain(*pulls: Pull) -> Guidance:
    return Guidance(pulls=pulls, base=pulls[-1].low)
