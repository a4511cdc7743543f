"""How reference pictures enter the transformer's input, for the two families (HuMo reference, conditioning)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

MASK_CHANNELS = 4


class Conditioning(Protocol):
    """What a forward pass is given besides text and speech."""

    def inputs(self, latents: Tensor, *, image: bool) -> tuple[Tensor, Tensor | None]:
        """Noisy latents [16, slots, h, w] -> the latents to show, and further channels [20, slots, h, w] or None."""
        ...


@dataclass(frozen=True, kw_only=True)
class ChannelConditioning:
    """17B: mask and conditioning latent as further channels; each [20, slots, h, w]."""

    present: Tensor | None
    absent: Tensor

    def inputs(self, latents: Tensor, *, image: bool) -> tuple[Tensor, Tensor | None]:
        return latents, self.present if image and self.present is not None else self.absent


@dataclass(frozen=True, kw_only=True)
class SlotConditioning:
    """1.7B: the last `slots` slots are overwritten, by the references [16, slots, h, w] or by zeros.

    The solver goes on integrating those slots from noise; what it makes of them is never seen.
    """

    slots: int
    references: Tensor | None

    def inputs(self, latents: Tensor, *, image: bool) -> tuple[Tensor, Tensor | None]:
        shown = latents.clone()
        shown[:, -self.slots :] = self.references if image and self.references is not None else 0
        return shown, None


def channel_conditioning(
    references: Tensor | None, zero: Tensor, *, slots: int, latent_frames: int
) -> ChannelConditioning:
    """The 17B's two forms.

    Args:
        references: [16, slots, h, w], or None without pictures.
        zero: latent of a mid-grey clip, [16, at least latent_frames + slots, h, w].
        slots: reference slots; one placeholder without pictures.
        latent_frames: latent frames of video.

    Raises:
        ValueError: the zero latent is too short.
    """
    total = latent_frames + slots
    if zero.shape[1] < total:
        raise ValueError(f"a zero latent of {zero.shape[1]} frames, expected at least {total}")
    mask = zero.new_zeros(MASK_CHANNELS, total, *zero.shape[2:])
    mask[:, latent_frames:] = 1
    absent = torch.cat((mask, zero[:, :total]))
    if references is None:
        return ChannelConditioning(present=None, absent=absent)
    filled = torch.cat((zero[:, :latent_frames], references), dim=1)
    return ChannelConditioning(present=torch.cat((mask, filled)), absent=absent)
