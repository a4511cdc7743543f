"""Where a shot is cut into clips: on the shot's one 25-fps frame grid, in pauses of the speech.

A shot becomes the fewest clips that the model's length allows. Among all ways to place that many cuts, the one
whose cuts are quietest together is taken; equally quiet ones are spread most evenly. The kept frames add up to the
shot's length exactly, because a clip's surplus (the model renders 4n+1 frames) and its lead (a crossfade's overlap)
are rendered on top and never counted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from schemas.errors import InvalidInput

PAUSE_BELOW_PEAK_DB = 40.0
"""What lies this far below the loudest frame is a pause; one pause is as good a place to cut as another."""

LEAD_SHARE = 4
"""A crossfade takes at most this fraction (1/4) of the model's length: a clip never ends inside its own lead."""


class Cut(NamedTuple):
    """One clip of a shot, in frames at 25 fps.

    The clip shows `[start_frame - lead_frames, start_frame + keep_frames)` of the shot. The model renders
    `num_frames` from the clip's first shown frame on, and what is beyond `lead_frames + keep_frames` is dropped.
    """

    start_frame: int
    """Where the kept part begins; the first clip begins at 0."""
    keep_frames: int
    """Frames that count towards the shot's length; the lead is not among them."""
    num_frames: int
    """What is rendered: the next `frame_step * n + 1` at or above lead and kept frames together."""
    lead_frames: int
    """Frames before `start_frame` that are rendered again for the crossfade; 0 for the first clip."""


def cut(
    frames: int,
    envelope: Sequence[float],
    *,
    max_frames: int,
    frame_step: int = 4,
    crossfade_frames: int = 0,
    min_frames: int = 25,
) -> tuple[Cut, ...]:
    """The clips of a shot of `frames` frames whose loudness per frame, in dB, is `envelope`.

    A frame without an entry in `envelope` counts as silent. No clip keeps fewer than `min_frames` frames, unless
    the shot itself is shorter, or the model's clips are so short that it cannot be; then none keeps fewer than an
    even share of the shot, or than its lead leaves of the model's length.

    Raises:
        InvalidInput: a length that no clip can have.
    """
    count, lengths = _division(frames, max_frames, frame_step, crossfade_frames, min_frames)
    if count == 1:
        return (_make_cut(0, frames, 0, frame_step),)
    ends = _quietest_ends(count, lengths, _cut_costs(frames, envelope))
    starts = (0, *ends[:-1])
    return tuple(
        _make_cut(start, end, lengths.lead if start else 0, frame_step) for start, end in zip(starts, ends, strict=True)
    )


@lru_cache(maxsize=1024, typed=True)
def _division(
    frames: int, max_frames: int, frame_step: int, crossfade_frames: int, min_frames: int
) -> tuple[int, _Lengths]:
    """How many clips, and how long each may be. Most shots of a campaign are as long as some other."""
    longest = _longest_clip(max_frames, frame_step)
    _check(frames, max_frames, crossfade_frames, min_frames)
    lead = min(crossfade_frames, longest // LEAD_SHARE)
    count = _fewest_clips(frames, longest, lead)
    shortest = min(max(min_frames, lead), frames // count, longest - lead)
    return count, _Lengths(shortest=shortest, longest=longest, lead=lead)


def _longest_clip(max_frames: int, frame_step: int) -> int:
    """The largest `frame_step * n + 1` within the model's length."""
    if frame_step < 1:
        raise InvalidInput(f"frame_step is {frame_step}, expected 1 or more")
    return (max_frames - 1) // frame_step * frame_step + 1


def _check(frames: int, max_frames: int, crossfade_frames: int, min_frames: int) -> None:
    if min(frames, max_frames, min_frames) >= 1 and crossfade_frames >= 0:
        return
    for name, value, least in (
        ("frames", frames, 1),
        ("max_frames", max_frames, 1),
        ("crossfade_frames", crossfade_frames, 0),
        ("min_frames", min_frames, 1),
    ):
        if value < least:
            raise InvalidInput(f"{name} is {value}, expected {least} or more")


def _fewest_clips(frames: int, longest: int, lead: int) -> int:
    """The first clip keeps up to `longest` frames, each later one loses its lead."""
    return 1 + max(0, math.ceil((frames - longest) / (longest - lead)))


def _make_cut(start: int, end: int, lead: int, frame_step: int) -> Cut:
    shown = end - start + lead
    rendered = -(-(shown - 1) // frame_step) * frame_step + 1
    return Cut(start_frame=start, keep_frames=end - start, num_frames=rendered, lead_frames=lead)


def _cut_costs(frames: int, envelope: Sequence[float]) -> list[float]:
    """Loudness at a cut before each frame, in dB above a pause: the louder of its two neighbours.

    The shot's end, where no cut is, costs nothing.
    """
    heard = [level if math.isfinite(level) else -math.inf for level in envelope[:frames]]
    heard += [-math.inf] * (frames - len(heard))
    pause = max(heard) - PAUSE_BELOW_PEAK_DB
    above = [level - pause if level > pause else 0.0 for level in heard]
    return [above[0], *(max(sides) for sides in pairwise(above)), 0.0]


@dataclass(frozen=True, kw_only=True)
class _Lengths:
    """How many frames a clip may keep."""

    shortest: int
    longest: int
    lead: int

    def most(self, clip: int) -> int:
        """The most that the clip of that 0-based number keeps: the first one has no lead."""
        return self.longest - self.lead if clip else self.longest


def _quietest_ends(count: int, lengths: _Lengths, costs: Sequence[float]) -> tuple[int, ...]:
    """Where each of `count` clips ends, by dynamic programming over (clip, end frame).

    A score is (sum of costs, sum of squared lengths). The fewest clips leave less than one clip of slack, so that
    each clip has fewer than `lengths.longest` possible ends.
    """
    frames = len(costs) - 1
    best: dict[int, tuple[float, int]] = {0: (0.0, 0)}
    came_from: list[dict[int, int]] = []
    for clip in range(count):
        after, most = count - clip - 1, lengths.most(clip)
        first = max(min(best) + lengths.shortest, frames - after * lengths.most(clip + 1))
        last = min(max(best) + most, frames - after * lengths.shortest)
        here: dict[int, tuple[float, int]] = {}
        back: dict[int, int] = {}
        for end in range(first, last + 1):
            starts = range(max(min(best), end - most), min(max(best), end - lengths.shortest) + 1)
            loudness, squares, back[end] = min(
                (best[start][0] + costs[end], best[start][1] + (end - start) ** 2, start) for start in starts
            )
            here[end] = (loudness, squares)
        best = here
        came_from.append(back)
    ends = [frames]
    for back in reversed(came_from[1:]):
        ends.append(back[ends[-1]])
    return tuple(reversed(ends))
