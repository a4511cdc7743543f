"""Which pixels a step sees, and what they are worth."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from model_runtime.training.autoencoder.footage import EYES, FACE, MOUTH, Footage
from model_runtime.training.autoencoder.windows import Window, Windows, pixels, weights
from schemas.errors import InvalidInput

WINDOW = Window(side=16, frames=5)


def _windows(footage: Footage, *, batch: int = 8, seed: int = 0) -> Windows:
    return Windows(footage, batch=batch, window=WINDOW, seed=seed)


def test_a_step_is_the_same_at_every_asking(seen: Footage) -> None:
    """Seed and step decide everything, whatever was asked before; another step or seed is another batch."""
    first, again = _windows(seen), _windows(seen)
    again.batch(7, is_whole=False)
    one, other = first.batch(3, is_whole=False), again.batch(3, is_whole=False)
    assert torch.equal(one.video, other.video)
    assert torch.equal(one.weight, other.weight)
    assert not torch.equal(one.video, first.batch(4, is_whole=False).video)
    assert not torch.equal(one.video, _windows(seen, seed=1).batch(3, is_whole=False).video)


def test_windows_and_whole_clips_have_about_as_many_pixels(seen: Footage) -> None:
    """8 windows of 16x16 and 5 frames, or one whole clip of 32x32 and 9; each sixth step, pictures of one frame."""
    part, whole = (_windows(seen).batch(0, is_whole=flag) for flag in (False, True))
    parts, pictures = (_windows(seen).batch(5, is_whole=flag) for flag in (False, True))
    assert part.video.shape == (8, 3, 5, 16, 16)
    assert part.weight.shape == (8, 1, 5, 16, 16)
    assert whole.video.shape == (1, 3, 9, 32, 32)
    assert parts.video.shape == (32, 3, 1, 16, 16)
    assert pictures.video.shape == (4, 3, 1, 32, 32)
    assert pictures.weight.shape == (4, 1, 1, 32, 32)
    assert pictures.weight.unique().tolist() == [1, 6]


def test_mouths_are_seen_more_often_than_by_chance(seen: Footage) -> None:
    """Most windows hold a mouth, although it is a small part of the picture; weights lie where the window does."""
    share = [
        float((_windows(seen).batch(step, is_whole=False).weight.amax((1, 2, 3, 4)) >= 7).float().mean())
        for step in range(5)
    ]
    assert np.mean(share) > 0.5


def test_mirrored_marks_go_with_mirrored_pixels(seen: Footage) -> None:
    """Whole clips come as they are or mirrored, always with their own weights."""
    windows = _windows(seen, batch=32)
    known = {pixels(seen.frames[index]).numpy().tobytes(): weights(seen.marks[index]) for index in range(len(seen))}
    mirrored = 0
    for step in range(5):
        batch = windows.batch(step, is_whole=True)
        for video, weight in zip(batch.video, batch.weight, strict=True):
            is_mirrored = video.numpy().tobytes() not in known
            mirrored += is_mirrored
            straight, at = (video.flip(-1), weight.flip(-1)) if is_mirrored else (video, weight)
            assert torch.equal(known[straight.contiguous().numpy().tobytes()], at)
    assert 0 < mirrored < 5 * len(batch.video)


def test_marked_pixels_and_their_neighbours_count_more() -> None:
    """1 anywhere, 2 on a face, 8 on its mouth, 7 on its eyes."""
    marks = np.zeros((1, 1, 9, 9), np.uint8)
    assert weights(marks).unique().tolist() == [1]
    marks[..., 4, 4] = FACE | MOUTH
    found = weights(marks)
    assert found.shape == (1, 1, 1, 9, 9)
    assert found[0, 0, 0, 3:6, 3:6].unique().tolist() == [8]
    assert found.sum() == 81 + 9 * 7
    marks[..., 4, 4] = FACE | EYES
    assert weights(marks).max() == 7


def test_pixels_are_the_engines() -> None:
    """0 is -1 and 255 is 1, channels before frames."""
    found = pixels(np.array([0, 255], np.uint8)[:, None, None, None].repeat(3, -1))
    assert found.shape == (3, 2, 1, 1)
    assert found[:, :, 0, 0].tolist() == [[-1, 1]] * 3


def test_windows_that_cannot_be_cut_are_refused(seen: Footage) -> None:
    """Larger than the clips, or nothing that latents stand for."""
    with pytest.raises(InvalidInput, match="larger than the clips"):
        Windows(seen, batch=1, window=Window(side=64), seed=0)
    with pytest.raises(InvalidInput, match="8n and 4n"):
        Window(side=20)
    with pytest.raises(InvalidInput, match="8n and 4n"):
        Window(frames=8)
