"""Whose each pixel is: exact, because the picture was drawn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]

_HALF = 129
"""Of 255, more than half: two people who share a pixel equally both lose it."""


@dataclass(frozen=True)
class Masks:
    """Boolean, each [people, frames, h, w]; a pixel belongs to what covers more than half of it.

    What hides a face (hair, hat, a hand, another person) takes the pixel from it: these are the pixels that are seen.
    """

    people: Mask
    """With clothes, hat and what they hold."""
    faces: Mask
    """Skin of the head with eyes, glasses, beard and mouth; without ears, hair and hat."""
    mouths: Mask
    """Lips and what is between them."""

    @classmethod
    def of(cls, labels: NDArray[np.uint8], people: int) -> Masks:
        """From the label planes of `drawing.draw`, [frames, h, w, 4]."""
        belongs = labels >= _HALF
        persons = np.stack([belongs[..., place] for place in range(people)])
        return cls(people=persons, faces=persons & belongs[..., 2], mouths=persons & belongs[..., 3])

    @property
    def face(self) -> Mask:
        """Any face, [frames, h, w]: what the mask predictor learns."""
        return np.asarray(self.faces.any(0))

    @property
    def mouth(self) -> Mask:
        return np.asarray(self.mouths.any(0))

    @property
    def face_weight(self) -> NDArray[np.float32]:
        """[frames]: h*w over the face's pixels, the size-aware weight of the paper's mask loss; 0 without a face."""
        area = self.face.sum((1, 2))
        whole = self.face.shape[1] * self.face.shape[2]
        return np.where(area > 0, whole / np.maximum(area, 1), 0).astype(np.float32)
