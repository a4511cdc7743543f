"""Cutting adds up, prefers pauses and is as short a list as the model's length allows."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.cutting import PAUSE_BELOW_PEAK_DB, Cut, cut
from schemas.errors import InvalidInput

levels = st.one_of(st.floats(-100, 0), st.just(-math.inf), st.just(math.nan))
lengths = st.sampled_from([1, 5, 9, 17, 33, 81, 97, 98, 100, 129])


@st.composite
def shots(draw: st.DrawFn) -> tuple[int, list[float]]:
    """A length in frames and an envelope that may be shorter or longer than it."""
    frames = draw(st.integers(1, 700))
    envelope = draw(st.lists(levels, max_size=min(frames + 3, 120)))
    return frames, envelope * draw(st.integers(1, 6))


@given(shot=shots(), max_frames=lengths, step=st.sampled_from([1, 4, 8]), crossfade=st.integers(0, 60))
def test_kept_frames_add_up_and_every_clip_can_be_rendered(
    shot: tuple[int, list[float]], max_frames: int, step: int, crossfade: int
) -> None:
    """Clips follow each other without gap, sum to the shot, and are rendered as step*n+1 frames within limits."""
    frames, envelope = shot
    cuts = cut(frames, envelope, max_frames=max_frames, frame_step=step, crossfade_frames=crossfade)
    assert sum(piece.keep_frames for piece in cuts) == frames
    ends = [0, *(piece.start_frame + piece.keep_frames for piece in cuts)]
    assert [piece.start_frame for piece in cuts] == ends[:-1]
    for piece in cuts:
        shown = piece.keep_frames + piece.lead_frames
        assert piece.keep_frames >= 1
        assert shown <= piece.num_frames < shown + step
        assert piece.num_frames % step == 1 % step
        assert piece.num_frames <= max_frames


@given(shot=shots(), crossfade=st.integers(0, 12), max_frames=st.sampled_from([81, 97, 129]))
def test_no_clip_is_shorter_than_a_second(shot: tuple[int, list[float]], crossfade: int, max_frames: int) -> None:
    """A shot of a second or more has no clip under 25 frames; a shorter one is one clip."""
    frames, envelope = shot
    cuts = cut(frames, envelope, max_frames=max_frames, crossfade_frames=crossfade)
    if frames < 25:
        assert len(cuts) == 1
    else:
        assert min(piece.keep_frames for piece in cuts) >= 25


@given(shot=shots(), crossfade=st.integers(0, 60), max_frames=lengths)
def test_a_lead_lies_inside_the_clip_before(shot: tuple[int, list[float]], crossfade: int, max_frames: int) -> None:
    """The first clip has no lead; a later one's overlaps only the kept frames of its neighbour."""
    cuts = cut(*shot, max_frames=max_frames, crossfade_frames=crossfade)
    assert cuts[0].lead_frames == 0
    for before, after in itertools.pairwise(cuts):
        assert after.lead_frames <= min(crossfade, before.keep_frames)
    assert len({piece.lead_frames for piece in cuts[1:]}) <= 1


@given(shot=shots(), crossfade=st.integers(0, 12), max_frames=lengths)
def test_no_shorter_list_of_clips_would_do(shot: tuple[int, list[float]], crossfade: int, max_frames: int) -> None:
    """One clip less could not hold the shot, even with every clip at the model's length."""
    frames, _ = shot
    cuts = cut(*shot, max_frames=max_frames, crossfade_frames=crossfade)
    longest = (max_frames - 1) // 4 * 4 + 1
    lead = cuts[-1].lead_frames
    if len(cuts) > 1:
        assert longest + (len(cuts) - 2) * (longest - lead) < frames


def loudness(cuts: tuple[Cut, ...], envelope: list[float]) -> float:
    """How loud the cuts are together, written down naively."""
    pause = max(envelope) - PAUSE_BELOW_PEAK_DB
    return sum(
        max(0.0, max(envelope[piece.start_frame - 1], envelope[piece.start_frame]) - pause) for piece in cuts[1:]
    )


@given(envelope=st.lists(st.integers(-60, 0).map(float), min_size=18, max_size=40), crossfade=st.integers(0, 2))
def test_the_cuts_are_the_quietest_of_all_ways_to_place_them(envelope: list[float], crossfade: int) -> None:
    """No other placement of the same number of clips within the same limits is quieter at its cuts."""
    frames = len(envelope)
    cuts = cut(frames, envelope, max_frames=13, min_frames=4, crossfade_frames=crossfade)
    lead = cuts[-1].lead_frames
    shortest = min(4, frames // len(cuts))
    best = math.inf
    for inner in itertools.combinations(range(1, frames), len(cuts) - 1):
        bounds = (0, *inner, frames)
        kept = [end - start for start, end in itertools.pairwise(bounds)]
        if min(kept) < shortest or kept[0] > 13 or any(k + lead > 13 for k in kept[1:]):
            continue
        pause = max(envelope) - PAUSE_BELOW_PEAK_DB
        best = min(best, sum(max(0.0, max(envelope[at - 1], envelope[at]) - pause) for at in inner))
    assert loudness(cuts, envelope) == pytest.approx(best)


def test_a_cut_falls_into_the_pause() -> None:
    """With one pause in reach, both sides of the cut are silent although an even split lies elsewhere."""
    envelope = [-20.0] * 150
    envelope[80:85] = [-90.0] * 5
    _, second = cut(150, envelope, max_frames=97)
    assert 81 <= second.start_frame <= 84


def test_without_any_loudness_the_clips_are_even() -> None:
    """A shot without speech is cut into equal parts."""
    assert [piece.keep_frames for piece in cut(200, (), max_frames=97)] == [66, 67, 67]


def test_ten_minutes_are_cut_without_search_growing() -> None:
    """The longest speech allowed is cut into the fewest clips."""
    envelope = [-20.0 - 30 * math.sin(frame / 7) ** 2 for frame in range(15_000)]
    cuts = cut(15_000, envelope, max_frames=97)
    assert len(cuts) == math.ceil(15_000 / 97)
    assert sum(piece.keep_frames for piece in cuts) == 15_000


def test_what_one_model_says_wrongly_harms_no_other() -> None:
    """97.0 equals 97, and a length is divided once."""
    with pytest.raises(TypeError):
        cut(1_234, (), max_frames=97.0)  # type: ignore[arg-type]
    assert sum(piece.keep_frames for piece in cut(1_234, (), max_frames=97)) == 1_234


@pytest.mark.parametrize(
    ("frames", "limits"),
    [
        (0, {"max_frames": 97}),
        (10, {"max_frames": 0}),
        (10, {"max_frames": 97, "frame_step": 0}),
        (10, {"max_frames": 97, "crossfade_frames": -1}),
        (10, {"max_frames": 97, "min_frames": 0}),
    ],
)
def test_impossible_lengths_are_refused(frames: int, limits: dict[str, int]) -> None:
    """A length that no clip can have is named."""
    with pytest.raises(InvalidInput, match="expected"):
        cut(frames, (), **limits)
