"""What somebody wears and stands before, as colours: the measure where nothing better is known."""

from __future__ import annotations

import numpy as np

from model_runtime.dataset.seams import Box, Pixels, Vector

_LEVELS = 4


def colours(pixels: Pixels) -> Vector:
    """Square roots of the shares of 64 colours, so that the cosine of two is Bhattacharyya's coefficient.

    Args:
        pixels: uint8 [n, 3] or [h, w, 3]; none at all give a descriptor that is like no other.
    """
    flat = pixels.reshape(-1, 3).astype(np.int64) * _LEVELS // 256
    counts = np.bincount(flat @ np.array([_LEVELS**2, _LEVELS, 1]), minlength=_LEVELS**3)
    return np.asarray(np.sqrt(counts / max(1, counts.sum())), np.float32)


def person_box(face: Box, width: int, height: int) -> Box:
    """Head and shoulders around a face: what a reference shows. HuMo's authors advise crops over whole scenes."""
    wide, high = face.right - face.left, face.bottom - face.top
    return Box(
        max(0.0, face.left - wide),
        max(0.0, face.top - 0.7 * high),
        min(float(width), face.right + wide),
        min(float(height), face.bottom + 1.8 * high),
    )


def worn(pixels: Pixels, face: Box) -> Vector:
    """Colours below the chin, as wide as the shoulders."""
    height, width = pixels.shape[:2]
    shown = person_box(face, width, height)
    return colours(
        pixels[
            int(min(height - 1, face.bottom + 0.2 * (face.bottom - face.top))) : int(shown.bottom),
            int(shown.left) : int(shown.right),
        ]
    )


def behind(pixels: Pixels, face: Box) -> Vector:
    """Colours of what is beside and above head and shoulders."""
    height, width = pixels.shape[:2]
    shown = person_box(face, width, height)
    outside = np.ones((height, width), np.bool_)
    outside[int(shown.top) :, int(shown.left) : int(shown.right)] = False
    return colours(pixels[outside])
