"""Doing a thing again, and how long to pause."""

from __future__ import annotations

from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.objects.again import BrokenOff, again, full_jitter
from storage.objects.patience import Patience


@given(attempt=st.integers(0, 40), draw=st.floats(0, 1, exclude_max=True))
def test_a_pause_lies_below_an_exponential_cap(attempt: int, draw: float) -> None:
    """The pause is the draw times min(cap, base x 2^attempt)."""
    pause = full_jitter(attempt, base_s=0.25, cap_s=10.0, draw=lambda: draw)
    assert pause == draw * min(10.0, 0.25 * 2**attempt)
    assert 0 <= pause < 10.0


def test_it_is_done_again_as_often_as_agreed() -> None:
    """Named errors are swallowed `tries - 1` times, with the pause of each attempt between."""
    tries, pauses = count(), list[int]()

    def act() -> None:
        raise BrokenOff(f"try {next(tries)}")

    def pause(attempt: int) -> float:
        pauses.append(attempt)
        return 0.0

    with pytest.raises(BrokenOff, match="try 3"):
        again(act, on=(BrokenOff,), tries=4, pause=pause)
    assert pauses == [0, 1, 2]


def test_other_errors_are_not_done_again() -> None:
    """An error that was not named passes at once."""
    tries = count()

    def act() -> None:
        raise ValueError(f"try {next(tries)}")

    with pytest.raises(ValueError, match="try 0"):
        again(act, on=(BrokenOff,), tries=4, pause=lambda attempt: 0.0)


def test_what_succeeds_late_counts() -> None:
    """The value of the first try that succeeds is given."""
    left = [BrokenOff("once"), BrokenOff("twice")]

    def act() -> str:
        if left:
            raise left.pop()
        return "done"

    assert again(act, on=(BrokenOff,), tries=3, pause=lambda attempt: 0.0) == "done"


def test_a_larger_body_is_given_more_time() -> None:
    """The longest transfer grows with the size, at the slowest rate that is waited for."""
    patience = Patience(request_s=10.0, slowest_bytes_per_s=1000.0)
    assert patience.transfer_s(0) == 10.0
    assert patience.transfer_s(5000) == 15.0
