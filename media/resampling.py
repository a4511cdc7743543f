"""Another sample rate, and an exact length."""

from __future__ import annotations

import numpy as np
import soxr

from media.sound import Samples


class Resampler:
    """soxr's high quality, fed in pieces; the identity between equal rates. [samples] or [samples, channels]."""

    def __init__(self, source: int, target: int, channels: int = 1) -> None:
        same = source == target
        self._channels = channels
        self._soxr = None if same else soxr.ResampleStream(source, target, channels, dtype="float32", quality="HQ")

    def feed(self, samples: Samples, *, last: bool = False) -> Samples:
        """What is ready so far; with `last`, all the rest."""
        if self._soxr is None:
            return samples
        return np.asarray(self._soxr.resample_chunk(samples, last=last), np.float32)

    def end(self) -> Samples:
        shape = (0,) if self._channels == 1 else (0, self._channels)
        return self.feed(np.zeros(shape, np.float32), last=True)


def fit(samples: Samples, length: int) -> Samples:
    """Exactly `length` samples: silence added at the end, or the end cut off."""
    missing = length - len(samples)
    if missing <= 0:
        return samples[:length]
    return np.concatenate([samples, np.zeros((missing, *samples.shape[1:]), np.float32)])
