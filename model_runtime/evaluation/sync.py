"""Does the mouth go with the sound, and if so how many frames late."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Track = NDArray[np.floating]

LAGS = tuple(range(-5, 6))
"""Frames that the picture may be late (early below 0)."""
_LEAST = 8
"""Frames that a correlation is taken over."""
_FLAT = 0.05
"""Standard deviation below which a track says nothing: nobody can be in step with it."""


def correlation(read: Track, spoken: Track) -> float | None:
    """Pearson's r of two tracks [T]. None where the speech's own hardly moves; 0 where only the read one does not."""
    if len(spoken) < _LEAST or float(np.std(spoken)) < _FLAT:
        return None
    if float(np.std(read)) < 1e-6:
        return 0.0
    return float(np.corrcoef(read, spoken)[0, 1])


def by_lag(read: Track, spoken: Track) -> tuple[float, ...] | None:
    """r at each of `LAGS`, over the frames that both have; None where any of them says nothing."""
    found = [correlation(*_overlap(read, spoken, lag)) for lag in LAGS]
    return None if any(r is None for r in found) else tuple(r for r in found if r is not None)


def best_lag(curve: tuple[float, ...]) -> int:
    """The lag of the highest r; of equals the one nearest to 0."""
    return max(LAGS, key=lambda lag: (curve[LAGS.index(lag)], -abs(lag)))


def _overlap(read: Track, spoken: Track, lag: int) -> tuple[Track, Track]:
    """Frame t + lag of what was read beside frame t of what was spoken."""
    if lag >= 0:
        return read[lag:], spoken[: len(spoken) - lag]
    return read[:lag], spoken[-lag:]
