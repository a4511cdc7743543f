"""How loud a sound is, per window of time, without holding it in memory."""

from __future__ import annotations

import numpy as np

from media.sound import Samples
from schemas.model_spec import FPS

SILENCE_DB = -100.0
"""The floor: digital silence has no logarithm."""

_WINDOWS_PER_S = 10
"""Whether a sound is silent is judged over 100 ms."""


class Levels:
    """RMS over windows of 1/`per_second` s, fed in pieces, so that ten minutes need no memory."""

    def __init__(self, rate: int, per_second: int) -> None:
        self._rate = rate
        self._per_second = per_second
        self._energy: list[float] = []

    def add(self, mono: Samples, start: int) -> None:
        """Count samples whose first one is number `start` of the sound."""
        if not len(mono):
            return
        window = np.arange(start, start + len(mono), dtype=np.int64) * self._per_second // self._rate
        first = int(window[0])
        energy = np.bincount(window - first, weights=np.square(mono, dtype=np.float64))
        self._energy.extend([0.0] * (first + len(energy) - len(self._energy)))
        for offset, value in enumerate(energy):
            self._energy[first + offset] += float(value)

    def levels(self, samples: int) -> tuple[float, ...]:
        """dB of every window of a sound of `samples` samples, to a hundredth; the last window may be short."""
        edges = -(-np.arange(len(self._energy) + 1, dtype=np.int64) * self._rate // self._per_second)
        counts = np.diff(np.minimum(edges, samples))
        power = np.asarray(self._energy) / np.maximum(counts, 1)
        decibels = 10 * np.log10(np.maximum(power, 10 ** (SILENCE_DB / 10)))
        return tuple(round(float(level), 2) for level in decibels)


class Meter:
    """Length, peak and loudness of a mono sound, fed in pieces."""

    def __init__(self, rate: int) -> None:
        self.samples = 0
        self.peak = 0.0
        self.frames = Levels(rate, FPS)
        self.windows = Levels(rate, _WINDOWS_PER_S)

    def add(self, mono: Samples) -> None:
        self.frames.add(mono, self.samples)
        self.windows.add(mono, self.samples)
        self.peak = max(self.peak, float(np.abs(mono).max(initial=0.0)))
        self.samples += len(mono)
