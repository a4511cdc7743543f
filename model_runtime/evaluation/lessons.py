"""What the reader learns from: views of people of the world, with all that is true of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model_runtime.evaluation.attributes import EVERY, OF_THE_SCENE, alike, index_of
from model_runtime.evaluation.crops import Box, boxes, views
from model_runtime.evaluation.reader import POSES
from model_runtime.training.world.acting import PAN, ZOOM
from model_runtime.training.world.acting import views as camera_views
from model_runtime.training.world.clip import Clip
from model_runtime.training.world.identity import Split
from model_runtime.training.world.speech import PAUSE
from model_runtime.training.world.vocabulary import IDENTITY, Hair
from model_runtime.training.world.world import World


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """One person of one clip of T frames."""

    view: Tensor
    """uint8 [T, 3, 64, 64]."""
    truth: dict[str, int]
    """Index of each attribute's value, by name."""
    hair: Tensor
    """float32 [styles]: 1 for each that this picture cannot tell from the true one."""
    mouth: Tensor
    """float32 [T, 2]: opening and width."""
    pose: Tensor
    """float32 [T, 7], see `reader.POSES`."""


def lessons(clip: Clip) -> list[Lesson]:
    """One per person from left to right."""
    people, (_, height, width, _) = len(clip.recipe.identities), clip.frames.shape
    seen = views(torch.from_numpy(clip.frames), people=people)
    places = boxes(width=width, height=height, people=people)
    return [_lesson(clip, place, seen[place], places[place]) for place in range(people)]


def truth_of(clip: Clip, place: int) -> dict[str, int]:
    """Index of every attribute's value for one person."""
    truth = clip.truth
    values = {name: truth[_flat(name, place)] for name in EVERY}
    return {name: index_of(name, EVERY[name](value)) for name, value in values.items()}


def _flat(name: str, place: int) -> str:
    """Its name in `Clip.truth`."""
    if name in OF_THE_SCENE:
        return name
    return f"{place}/identity/{name}" if name in IDENTITY else f"{place}/{name}"


def mouth_of(clip: Clip, place: int) -> NDArray[np.float32]:
    """[T, 2]: opening and width of one person's mouth; a listener's is shut."""
    if place == clip.recipe.scene.speaker:
        return np.stack([clip.speech.opening, clip.speech.width], -1)
    frames = len(clip.frames)
    return np.stack([np.zeros(frames), np.full(frames, PAUSE.width)], -1).astype(np.float32)


def _lesson(clip: Clip, place: int, view: Tensor, box: Box) -> Lesson:
    identity, role = clip.recipe.identities[place], clip.recipe.scene.roles[place]
    hair = torch.zeros(len(Hair))
    hair[list(alike(role.hat, identity.hair))] = 1
    return Lesson(
        view=view,
        truth=truth_of(clip, place),
        hair=hair,
        mouth=torch.from_numpy(mouth_of(clip, place)),
        pose=torch.from_numpy(_pose(clip, place, box)),
    )


def _pose(clip: Clip, place: int, box: Box) -> NDArray[np.float32]:
    """Scaled so that each motion's reach is about 1."""
    acting, camera = clip.acting[place], camera_views(clip.recipe.scene.camera, len(clip.frames))
    middle = _face_middle(clip.masks.faces[place], box)
    columns = [
        acting.roll / 0.24,
        acting.turn[:, 0] / 3.6,
        acting.turn[:, 1] / 2.7,
        middle[:, 0],
        middle[:, 1],
        np.log(camera[:, 2]) / np.log(ZOOM),
        camera[:, 0] / PAN,
    ]
    assert len(columns) == len(POSES)
    return np.stack(columns, -1).astype(np.float32)


def _face_middle(mask: NDArray[np.bool_], box: Box) -> NDArray[np.float64]:
    """[T, 2]: mean place of a face's pixels in its view, -4 to 4 from edge to edge; a hidden face is in the middle."""
    inside = mask[:, box.top : box.bottom, box.left : box.right].astype(np.float64)
    area = np.maximum(1.0, inside.sum((1, 2)))
    x = (inside.sum(1) * np.linspace(-4, 4, inside.shape[2])).sum(1) / area
    y = (inside.sum(2) * np.linspace(-4, 4, inside.shape[1])).sum(1) / area
    return np.stack([x, y], -1)


def draw_lessons(world: World, split: Split, clips: int) -> Iterator[list[Lesson]]:
    """The lessons of the first clips of a split, clip by clip."""
    for index in range(clips):
        yield lessons(world.clip(index, split))
