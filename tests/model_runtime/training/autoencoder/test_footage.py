"""Clips are drawn once, whole or not at all, and marked exactly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from model_runtime.training.autoencoder.footage import EYES, FACE, MOUTH, Footage, footage
from model_runtime.training.world.identity import Split
from model_runtime.training.world.world import World
from schemas.errors import InvalidInput

WORLD = World(width=32, height=32, frames=5, supersample=2, duos=0.3)


def test_it_is_the_worlds_own_clips(tmp_path: Path) -> None:
    """Frames, masks, references and openings are those of the world's clips of that split."""
    found = footage(WORLD, tmp_path / "f", clips=2, split=Split.VAL)
    for index in range(2):
        clip = WORLD.clip(index, Split.VAL)
        assert np.array_equal(found.frames[index], clip.frames)
        assert np.array_equal(found.pictures[index, 0], clip.references[0])
        assert np.array_equal((found.marks[index] & FACE) > 0, clip.masks.face)
        assert np.array_equal((found.marks[index] & MOUTH) > 0, clip.masks.mouth)
        assert np.array_equal(found.openings[index], clip.speech.opening)


def test_eyes_are_marked_where_they_are(seen: Footage) -> None:
    """Marked eyes are a small part of faces, in clips and in references, and move with them."""
    eyes, face = (seen.marks & EYES) > 0, (seen.marks & FACE) > 0
    # A pixel at the edge of an eye may be the hair's that hides the rest of it.
    assert (eyes & face).sum() > 0.8 * eyes.sum()
    assert 0.02 < eyes.sum() / face.sum() < 0.3
    assert ((seen.picture_marks & EYES) > 0).any((1, 2, 3)).all()


def test_what_is_drawn_is_only_read(tmp_path: Path) -> None:
    """A second call draws nothing; one for other clips is refused; a drawing that died leaves nothing in the way."""
    told: list[int] = []
    (tmp_path / ".f").mkdir()
    (tmp_path / ".f" / "frames.npy").write_bytes(b"half")
    footage(WORLD, tmp_path / "f", clips=2, on_clip=told.append)
    footage(WORLD, tmp_path / "f", clips=2, on_clip=told.append)
    assert told == [1, 2]
    with pytest.raises(InvalidInput, match="expected"):
        footage(WORLD, tmp_path / "f", clips=3)
    (tmp_path / "f" / "marks.npy").unlink()
    with pytest.raises(InvalidInput, match="holds no footage"):
        footage(WORLD, tmp_path / "f", clips=2)


def test_clips_without_latents_are_refused(tmp_path: Path) -> None:
    """Latents stand for 4n + 1 frames."""
    with pytest.raises(InvalidInput, match="4n \\+ 1"):
        footage(World(width=32, height=32, frames=6), tmp_path / "f", clips=1)
    assert not (tmp_path / "f").exists()
