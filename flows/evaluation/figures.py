"""From clips' tallies to figures with intervals: the bootstrap over clips.

Intervals are the percentile bootstrap's (Efron & Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13): clips
are drawn anew with replacement, 2,000 times, and the middle 95 % of the figure's values are its interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas.evaluation import Asked, ClipScores, Gate, ShardScores
from schemas.object_ref import Value

RESAMPLES = 2000
_TAILS = (2.5, 97.5)

Floats = NDArray[np.float64]


class Figure(Value):
    """One metric over a suite."""

    mean: float
    low: float
    high: float
    count: float
    """Things that were judged."""
    chance: float | None = None


class Result(Value):
    """One run over a suite, with everything that it was computed from."""

    asked: Asked
    weights: str
    gate: Gate
    figures: dict[str, Figure]
    lags: dict[str, Figure]
    """By track: the lag, in frames, at which the mean correlation over clips is highest."""
    offsets: tuple[int, ...]
    """The lags that were tried."""
    missing: dict[str, str]
    """Scores of the field that could not be taken, and what each needs."""
    clips: tuple[ClipScores, ...]


@dataclass(frozen=True)
class Sample:
    """Sums and counts of one metric, clip by clip; a clip without it counts nothing."""

    sums: Floats
    counts: Floats

    @classmethod
    def of(cls, clips: Sequence[ClipScores], metric: str) -> Sample:
        tallies = [clip.tallies.get(metric) for clip in clips]
        return cls(
            np.array([tally.sum if tally else 0.0 for tally in tallies]),
            np.array([tally.count if tally else 0.0 for tally in tallies]),
        )

    @property
    def mean(self) -> float:
        return float(self.sums.sum() / self.counts.sum())

    def means(self, drawn: NDArray[np.intp]) -> Floats:
        """Of each resample [resamples, clips], by index; without those that hold nothing to judge."""
        counts = self.counts[drawn].sum(1)
        return np.asarray((self.sums[drawn].sum(1)[counts > 0]) / counts[counts > 0])


def resamples(clips: int, *, seed: int = 0) -> NDArray[np.intp]:
    """[2000, clips]: which clips are drawn each time; always the same for the same number."""
    return np.random.default_rng(seed).integers(clips, size=(RESAMPLES, clips))


def interval(values: Floats) -> tuple[float, float]:
    """The middle 95 %."""
    low, high = np.percentile(values, _TAILS)
    return float(low), float(high)


def metrics(clips: Sequence[ClipScores]) -> list[str]:
    """Every metric that any clip has."""
    return list(dict.fromkeys(name for clip in clips for name in clip.tallies))


def result_of(shards: Sequence[ShardScores]) -> Result:
    """The shards of one run as one."""
    first = shards[0]
    clips = tuple(sorted((clip for shard in shards for clip in shard.clips), key=lambda clip: clip.index))
    drawn = resamples(len(clips))
    return Result(
        asked=first.asked,
        weights=first.weights,
        gate=first.gate,
        figures={name: _figure(Sample.of(clips, name), drawn, first.chances.get(name)) for name in metrics(clips)},
        lags=_lags(clips, first.lags),
        offsets=first.lags,
        missing=first.missing,
        clips=clips,
    )


def _figure(sample: Sample, drawn: NDArray[np.intp], chance: float | None) -> Figure:
    low, high = interval(sample.means(drawn))
    return Figure(mean=sample.mean, low=low, high=high, count=float(sample.counts.sum()), chance=chance)


def _lags(clips: Sequence[ClipScores], offsets: Sequence[int]) -> dict[str, Figure]:
    found = {}
    for track in dict.fromkeys(track for clip in clips for track in clip.lags):
        curves = np.array([clip.lags[track] for clip in clips if track in clip.lags])
        best = np.asarray(offsets, np.float64)
        means = curves[resamples(len(curves))].mean(1)
        low, high = interval(best[means.argmax(1)])
        found[track] = Figure(mean=float(best[curves.mean(0).argmax()]), low=low, high=high, count=len(curves))
    return found
