"""What sound tells of the mouth: the measure that shows that a level meter is not enough."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from model_runtime.training.world.speech import RATE, SAMPLES_PER_FRAME

BANDS = 80
_WINDOW = 1024

Floats = NDArray[np.float64]


def loudness(audio: NDArray[np.float32]) -> Floats:
    """Level of each frame's 40 ms in dB, [frames, 1]."""
    frames = audio.astype(np.float64).reshape(-1, SAMPLES_PER_FRAME)
    return np.asarray(10 * np.log10((frames**2).mean(1, keepdims=True) + 1e-7), np.float64)


def log_mel(audio: NDArray[np.float32]) -> Floats:
    """[frames, 80]: one window of 64 ms in the middle of each frame, log10 of the mel energies."""
    extra = (_WINDOW - SAMPLES_PER_FRAME) // 2
    padded = np.pad(audio.astype(np.float64), (extra, extra))
    windows = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[::SAMPLES_PER_FRAME]
    power = np.abs(np.fft.rfft(windows * np.hanning(_WINDOW))) ** 2
    return np.asarray(np.log10(power @ _mel_bank().T + 1e-4), np.float64)


@lru_cache(maxsize=1)
def _mel_bank() -> Floats:
    """Triangles [80, 513], equally spaced in mels from 60 Hz to 7.6 kHz."""
    mels = np.linspace(2595 * np.log10(1 + 60 / 700), 2595 * np.log10(1 + 7600 / 700), BANDS + 2)
    edges = 700 * (10 ** (mels / 2595) - 1)
    hertz = np.fft.rfftfreq(_WINDOW, 1 / RATE)
    rising = (hertz - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - hertz) / (edges[2:] - edges[1:-1])[:, None]
    return np.asarray(np.clip(np.minimum(rising, falling), 0, None), np.float64)


def correlation_of_fit(features: list[Floats], targets: list[NDArray[np.float32]], *, ridge: float = 1.0) -> float:
    """Pearson's r between the targets and a linear fit on the features, on clips that the fit has not seen.

    One [frames, n] and one [frames] per clip; the first half of the clips is fitted, the second half is judged.
    """
    half = len(features) // 2
    known, unseen = np.concatenate(features[:half]), np.concatenate(features[half:])
    middle, scale = known.mean(0), known.std(0) + 1e-9
    known, unseen = (known - middle) / scale, (unseen - middle) / scale
    wanted = np.concatenate(targets[:half]).astype(np.float64)
    gram = known.T @ known + ridge * np.eye(known.shape[1])
    weights = np.linalg.solve(gram, known.T @ (wanted - wanted.mean()))
    return float(np.corrcoef(unseen @ weights, np.concatenate(targets[half:]))[0, 1])
