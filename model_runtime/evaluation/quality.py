"""How near a clip is to the world's own drawing of the same recipe, by torchmetrics."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

MOST_DB = 60.0
"""Of equal pictures, whose ratio is infinite."""

Pixels = NDArray[np.uint8]


def psnr(frames: Pixels, true: Pixels) -> float:
    """dB over all pixels of a clip, uint8 [T, H, W, 3] both; at most `MOST_DB`."""
    return _limited(peak_signal_noise_ratio(_as_tensor(frames), _as_tensor(true), data_range=1.0))


def masked_psnr(frames: Pixels, true: Pixels, mask: NDArray[np.bool_]) -> float | None:
    """dB over the pixels of `mask` [T, H, W]; None where it is empty."""
    if not mask.any():
        return None
    shown, wanted = (torch.from_numpy(pixels[mask]).float() / 255 for pixels in (frames, true))
    return _limited(peak_signal_noise_ratio(shown, wanted, data_range=1.0))


def ssim(frames: Pixels, true: Pixels) -> float:
    """Structural similarity (Wang et al. 2004; Gaussian window of 11), the mean over a clip's frames."""
    found = structural_similarity_index_measure(_as_tensor(frames), _as_tensor(true), data_range=1.0)
    assert isinstance(found, Tensor)
    return float(found)


def sharpness(frames: Pixels, true: Pixels) -> float:
    """Mean absolute difference between neighbouring pixels over that of the true clip: below 1 is softer."""
    return _edges(frames) / max(1e-6, _edges(true))


def _edges(frames: Pixels) -> float:
    pixels = frames.astype(np.float32)
    return float(np.abs(np.diff(pixels, axis=1)).mean() + np.abs(np.diff(pixels, axis=2)).mean())


def _as_tensor(frames: Pixels) -> Tensor:
    return torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255


def _limited(value: Tensor) -> float:
    return min(MOST_DB, float(value))
