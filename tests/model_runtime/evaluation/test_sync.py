"""Correlation and lag have known answers for tracks that were made to have them."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from model_runtime.evaluation.sync import LAGS, best_lag, by_lag, correlation
from model_runtime.training.world.identity import Split
from model_runtime.training.world.world import World


def spoken(index: int, frames: int = 60) -> NDArray[np.float32]:
    """The opening of a clip of the world."""
    world = World(frames=frames)
    return world.speech(world.recipe(index, Split.TEST)).opening


@pytest.mark.parametrize("late", [-4, -1, 0, 2, 5])
def test_a_shifted_track_has_that_lag(late: int) -> None:
    """A mouth that opens `late` frames after the sound is found at exactly that lag, with r 1 there."""
    track = spoken(0, 80)
    read, heard = track[10 - late : 60 - late], track[10:60]
    curve = by_lag(read, heard)
    assert curve is not None
    assert best_lag(curve) == late
    assert curve[LAGS.index(late)] == pytest.approx(1.0, abs=1e-6)


def test_the_unit_and_the_zero_of_a_track_do_not_count() -> None:
    """r is 1 for any rising line of the truth and -1 for its mirror."""
    track = spoken(1)
    assert correlation(0.2 * track + 3, track) == pytest.approx(1.0, abs=1e-5)
    assert correlation(-track, track) == pytest.approx(-1.0, abs=1e-5)


def test_strangers_speech_has_no_correlation() -> None:
    """Over many pairs of clips that have nothing to do with each other the mean r is near 0."""
    found = [correlation(spoken(k, 40), spoken(k + 500, 40)) for k in range(50)]
    values = [r for r in found if r is not None]
    assert len(values) > 45
    assert abs(float(np.mean(values))) < 0.15


def test_what_does_not_move_is_not_judged() -> None:
    """Silence has no rhythm to follow; a still face before speech has r 0, which counts against it."""
    track = spoken(2)
    assert correlation(track, np.zeros_like(track)) is None
    assert correlation(np.ones_like(track), track) == 0.0
    assert by_lag(track[:10], track[:10]) is None
