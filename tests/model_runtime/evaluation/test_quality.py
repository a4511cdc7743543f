"""Picture quality has known answers."""

from __future__ import annotations

import math

import numpy as np
import pytest

from model_runtime.evaluation import quality
from model_runtime.training.world.world import World

FRAMES = World(frames=2).clip(0).frames


def test_equal_pictures_are_perfect() -> None:
    assert quality.psnr(FRAMES, FRAMES) == quality.MOST_DB
    assert quality.ssim(FRAMES, FRAMES) == pytest.approx(1.0)
    assert quality.sharpness(FRAMES, FRAMES) == 1.0


def test_a_known_error_has_a_known_ratio() -> None:
    """Ten levels everywhere are 20 log10(255 / 10) dB, and a mask looks only where it is."""
    grey = np.full((1, 16, 16, 3), 100, np.uint8)
    wrong = grey + np.uint8(10)
    assert quality.psnr(wrong, grey) == pytest.approx(20 * math.log10(25.5), abs=1e-3)
    half = grey.copy()
    half[:, :8] += 10
    mask = np.zeros((1, 16, 16), bool)
    mask[:, :8] = True
    assert quality.masked_psnr(half, grey, mask) == pytest.approx(20 * math.log10(25.5), abs=1e-3)
    assert quality.masked_psnr(half, grey, ~mask) == quality.MOST_DB
    assert quality.masked_psnr(half, grey, mask & False) is None


def test_blur_is_less_sharp() -> None:
    soft = ((FRAMES.astype(int) + np.roll(FRAMES, 1, 2) + np.roll(FRAMES, -1, 2)) // 3).astype(np.uint8)
    assert quality.sharpness(soft, FRAMES) < 0.9
    assert quality.ssim(soft, FRAMES) < 0.99
