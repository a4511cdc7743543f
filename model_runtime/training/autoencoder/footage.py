"""What the autoencoder learns from: clips and references of the world, drawn once, with marks of what counts."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model_runtime.training.world.clip import Pixels, Recipe
from model_runtime.training.world.identity import Split
from model_runtime.training.world.vocabulary import Eyes
from model_runtime.training.world.world import World
from schemas.errors import InvalidInput

FACE, MOUTH, EYES = 1, 2, 4
"""Bits of a mark."""

_ABOUT = "footage.json"
_ARRAYS = ("frames", "marks", "pictures", "picture_marks", "openings")
_SEEN = 12
"""Levels of 255 by which another eye colour has to change a pixel."""


@dataclass(frozen=True, kw_only=True)
class Footage:
    """Memory-mapped: only what is looked at is read."""

    frames: Pixels
    """[clips, frames, h, w, 3]."""
    marks: NDArray[np.uint8]
    """[clips, frames, h, w]: whose each pixel is, bit by bit."""
    pictures: Pixels
    """[clips, variants, h, w, 3]: references of somebody in the clip."""
    picture_marks: NDArray[np.uint8]
    """[clips, variants, h, w]: eyes alone; nothing says where else a reference's face is."""
    openings: NDArray[np.float32]
    """[clips, frames], of the speaker's mouth."""

    def __len__(self) -> int:
        return len(self.frames)


def footage(
    world: World,
    folder: Path,
    *,
    clips: int,
    split: Split = Split.TRAIN,
    variants: int = 2,
    on_clip: Callable[[int], None] = lambda _done: None,
) -> Footage:
    """The first clips of a split: read where they are drawn already, else drawn, whole or not at all.

    Args:
        variants: reference pictures per clip.
        on_clip: told how many clips are drawn.

    Raises:
        InvalidInput: the folder holds other footage, or the world's clips have no latents.
    """
    if clips < 1 or variants < 1 or world.frames % 4 != 1:
        raise InvalidInput(f"{clips} clips of {world.frames} frames, expected at least one, of 4n + 1 frames")
    about: dict[str, str | int] = {"world": world.digest, "clips": clips, "split": split.value, "variants": variants}
    if not folder.exists():
        _draw(world, folder, about, split, on_clip)
    try:
        found = json.loads((folder / _ABOUT).read_text(encoding="utf-8"))
        arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in _ARRAYS}
    except (OSError, ValueError) as error:
        raise InvalidInput(
            f"{folder} holds no footage: {error}", fix="remove it, or name another folder with --footage"
        ) from error
    if found != about:
        raise InvalidInput(f"{folder} holds {found}, expected {about}", fix="name another folder with --footage")
    return Footage(**arrays)


def _draw(
    world: World, folder: Path, about: dict[str, str | int], split: Split, on_clip: Callable[[int], None]
) -> None:
    clips, variants = int(about["clips"]), int(about["variants"])
    work = folder.with_name(f".{folder.name}")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    still = world.height, world.width
    arrays = {
        "frames": _array(work / "frames.npy", np.uint8, clips, world.frames, *still, 3),
        "marks": _array(work / "marks.npy", np.uint8, clips, world.frames, *still),
        "pictures": _array(work / "pictures.npy", np.uint8, clips, variants, *still, 3),
        "picture_marks": _array(work / "picture_marks.npy", np.uint8, clips, variants, *still),
        "openings": _array(work / "openings.npy", np.float32, clips, world.frames),
    }
    for index in range(clips):
        recipe = world.recipe(index, split)
        other = _with_other_eyes(recipe)
        speech = world.speech(recipe)
        clip, changed = world.draw(recipe, speech), world.draw(other, speech)
        arrays["frames"][index] = clip.frames
        arrays["marks"][index] = (
            FACE * clip.masks.face + MOUTH * clip.masks.mouth + EYES * _differ(clip.frames, changed.frames)
        )
        arrays["openings"][index] = speech.opening
        for variant in range(variants):
            place = variant % len(recipe.identities)
            picture = world.reference(recipe, place, variant)
            arrays["pictures"][index, variant] = picture
            arrays["picture_marks"][index, variant] = EYES * _differ(picture, world.reference(other, place, variant))
        on_clip(index + 1)
    for array in arrays.values():
        array.flush()
    (work / _ABOUT).write_text(json.dumps(about, sort_keys=True) + "\n", encoding="utf-8")
    work.rename(folder)


def _array(path: Path, kind: type[np.generic], *shape: int) -> np.memmap:
    return np.lib.format.open_memmap(path, mode="w+", dtype=kind, shape=shape)


def _with_other_eyes(recipe: Recipe) -> Recipe:
    """The same people with eyes of another colour: what differs then are the irises, exactly."""
    everyone = tuple(
        replace(person, eyes=Eyes.BROWN if person.eyes is Eyes.BLUE else Eyes.BLUE) for person in recipe.identities
    )
    return replace(recipe, identities=everyone)


def _differ(one: Pixels, other: Pixels) -> NDArray[np.bool_]:
    distance = np.abs(one.astype(np.int16) - other.astype(np.int16)).max(-1)
    return np.asarray(distance >= _SEEN)
