"""Which part of which clip a step looks at, and what counts in it: a function of seed and step alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from model_runtime.training.autoencoder.footage import EYES, FACE, MOUTH, Footage
from model_runtime.training.world.streams import Streams
from schemas.errors import InvalidInput

_COUNTS = {FACE: 1.0, MOUTH: 6.0, EYES: 5.0}
"""By how much more than 1 a pixel there is worth."""
_AIMS = ((MOUTH, 0.45), (EYES, 0.25), (FACE, 0.1))
"""What a crop lies around, and how often; what is left lies anywhere."""
_SWAY = 9
"""Pixels by which the middle of a crop may miss its aim."""
_PICTURES_EVERY = 6
"""One step in so many looks at reference pictures: clips of one frame, which is what a clip's first frame is."""
_PICTURES_MORE = 4
"""Windows of such a step, for each one of another."""


@dataclass(frozen=True, kw_only=True)
class Window:
    """What is cut out of the clips; whole clips where it is None."""

    side: int = 32
    frames: int = 9

    def __post_init__(self) -> None:
        if self.side < 16 or self.side % 8 or self.frames % 4 != 1:
            raise InvalidInput(f"a window of {self.side} pixels and {self.frames} frames, expected 8n and 4n + 1")


@dataclass(frozen=True, kw_only=True)
class Batch:
    """One step's clips, or pictures: clips of one frame."""

    video: Tensor
    """float32 [B, 3, frames, h, w] in -1 to 1."""
    weight: Tensor
    """float32 [B, 1, frames, h, w], 1 where nothing special is."""


def weights(marks: NDArray[np.uint8]) -> Tensor:
    """Marks [..., frames, h, w] -> float32 [..., 1, frames, h, w]; a marked pixel's neighbours count as it does.

    Blur takes from the neighbours what a lip or an iris loses.
    """
    total = torch.ones(marks.shape)
    for bit, worth in _COUNTS.items():
        marked = torch.from_numpy((marks & bit) > 0).float()
        total += worth * functional.max_pool2d(marked.flatten(0, -3)[:, None], 3, 1, 1)[:, 0].view_as(total)
    return total.unsqueeze(-4)


def pixels(frames: NDArray[np.uint8]) -> Tensor:
    """[..., frames, h, w, 3] of 0 to 255 -> float32 [..., 3, frames, h, w] in -1 to 1."""
    return torch.from_numpy(np.array(frames)).movedim(-1, -4).float() / 127.5 - 1


class Windows:
    """Steps' batches, the same at every asking.

    Args:
        footage: what there is.
        batch: windows per step; of whole clips as many as have about as many pixels.
        window: how large.
        seed: decides what is cut out.

    Raises:
        InvalidInput: the window is larger than the clips.
    """

    def __init__(self, footage: Footage, *, batch: int, window: Window, seed: int) -> None:
        _, self._length, self._height, self._width, _ = footage.frames.shape
        if window.side > min(self._height, self._width) or window.frames > self._length:
            raise InvalidInput(
                f"a window of {window.side} pixels and {window.frames} frames is larger than the clips, "
                f"{self._width}x{self._height} of {self._length} frames",
                fix="take a smaller window or larger clips",
            )
        self._footage = footage
        self._batch = batch
        self._window = window
        self._seed = seed
        self._pixels = batch * window.side**2 * window.frames

    def batch(self, step: int, *, is_whole: bool) -> Batch:
        """The batch of step `step`, of windows or of whole clips."""
        rng = Streams((self._seed, step)).of("windows")
        cut, size = self._clip, self._whole_clips if is_whole else self._batch
        if step % _PICTURES_EVERY == _PICTURES_EVERY - 1:
            cut, size = self._still, _PICTURES_MORE * size
        frames, marks = zip(*(cut(rng, is_whole=is_whole) for _ in range(size)), strict=True)
        return Batch(video=pixels(np.stack(frames)), weight=weights(np.stack(marks)))

    @property
    def _whole_clips(self) -> int:
        return max(1, round(float(self._pixels / (self._height * self._width * self._length))))

    def _clip(self, rng: np.random.Generator, *, is_whole: bool) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        index = int(rng.integers(len(self._footage)))
        frames, marks = self._footage.frames[index], self._footage.marks[index]
        if not is_whole:
            start = int(rng.integers(self._length - self._window.frames + 1))
            frames, marks = (array[start : start + self._window.frames] for array in (frames, marks))
            frames, marks = self._cut(rng, frames, marks)
        return _maybe_mirrored(rng, frames, marks)

    def _still(self, rng: np.random.Generator, *, is_whole: bool) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        index, variant = (int(rng.integers(count)) for count in self._footage.pictures.shape[:2])
        frames = self._footage.pictures[index, variant][None]
        marks = self._footage.picture_marks[index, variant][None]
        if not is_whole:
            frames, marks = self._cut(rng, frames, marks)
        return _maybe_mirrored(rng, frames, marks)

    def _cut(
        self, rng: np.random.Generator, frames: NDArray[np.uint8], marks: NDArray[np.uint8]
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        side = self._window.side
        row, column = self._middle(rng, marks[len(marks) // 2])
        top = int(np.clip(row - side // 2, 0, self._height - side))
        left = int(np.clip(column - side // 2, 0, self._width - side))
        part = slice(None), slice(top, top + side), slice(left, left + side)
        return frames[part], marks[part]

    def _middle(self, rng: np.random.Generator, marks: NDArray[np.uint8]) -> tuple[int, int]:
        """Row and column near some pixel of the aim; anywhere, where the aim is not seen."""
        choice, place, sway = rng.random(), rng.random(), rng.integers(-_SWAY, _SWAY + 1, 2)
        anywhere = rng.integers((self._height, self._width))
        for bit, often in _AIMS:
            choice -= often
            if choice < 0:
                found = np.argwhere(marks & bit)
                if len(found):
                    row, column = found[int(place * len(found))] + sway
                    return int(row), int(column)
                break
        return int(anywhere[0]), int(anywhere[1])


def _maybe_mirrored(
    rng: np.random.Generator, frames: NDArray[np.uint8], marks: NDArray[np.uint8]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    if rng.random() < 0.5:
        return frames, marks
    return frames[:, :, ::-1], np.ascontiguousarray(marks[:, :, ::-1])
