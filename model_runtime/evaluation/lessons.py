"""What the reader learns from: views of people of the world, with all that is true of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model_runtime.evaluation.attributes import EVERY, OF_THE_SCENE, alike, index_of
from model_runtime.evaluation.crops import Box, boxes, views
from model_runtime.evaluation.reader import POSES
from model_runtime.training.world.acting import PAN, ZOOM, Acting, Floats, act
from model_runtime.training.world.acting import views as camera_views
from model_runtime.training.world.clip import Clip, Recipe
from model_runtime.training.world.drawing import Actor, Shot, any_light, draw
from model_runtime.training.world.identity import Split
from model_runtime.training.world.masks import Masks
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


def truth_of(recipe: Recipe, place: int) -> dict[str, int]:
    """Index of every attribute's value for one person."""
    known = recipe.scene.attributes | {
        f"{place}/identity/{name}": value for name, value in recipe.identities[place].attributes.items()
    }
    return {name: index_of(name, known[_flat(name, place)]) for name in EVERY}


def _flat(name: str, place: int) -> str:
    """Its name among a clip's truths."""
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
    camera = camera_views(clip.recipe.scene.camera, len(clip.frames))
    return Lesson(
        view=view,
        truth=truth_of(clip.recipe, place),
        hair=_hair(clip.recipe, place),
        mouth=torch.from_numpy(mouth_of(clip, place)),
        pose=torch.from_numpy(_pose(clip.acting[place], camera, clip.masks.faces[place], box)),
    )


def _hair(recipe: Recipe, place: int) -> Tensor:
    hair = torch.zeros(len(Hair))
    hair[list(alike(recipe.scene.roles[place].hat, recipe.identities[place].hair))] = 1
    return hair


def _pose(acting: Acting, camera: Floats, face: NDArray[np.bool_], box: Box) -> NDArray[np.float32]:
    """Scaled so that each motion's reach is about 1."""
    middle = _face_middle(face, box)
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


def draw_glimpses(world: World, split: Split, clips: int, *, start: int, frames: int) -> Iterator[list[Lesson]]:
    """From clip `start` on, of each clip a few frames here and there, with a mouth by chance: many people for little.

    A whole clip shows one person as often as it has frames; who learns from few clips learns these people.
    """
    for index in range(start, start + clips):
        yield _glimpses(world, world.recipe(index, split), np.random.default_rng((index, frames)), frames)


def _glimpses(world: World, recipe: Recipe, rng: np.random.Generator, frames: int) -> list[Lesson]:
    # What `World.draw` does, of chosen frames only.
    streams = world._streams(recipe.split, recipe.index)
    people, at = len(recipe.identities), rng.choice(world.frames, frames, replace=False)
    camera = camera_views(recipe.scene.camera, world.frames)[at]
    mouth = rng.random((frames, 2))
    mouth[:, 0] *= rng.random(frames) < 0.8
    shut = np.stack([np.zeros(frames), np.full(frames, PAUSE.width)], -1)
    mouths = [mouth if place == recipe.scene.speaker else shut for place in range(people)]
    acting = [
        _at(act(role.motion, world.frames, streams.of(f"acting/{place}")), at)
        for place, role in enumerate(recipe.scene.roles)
    ]
    places = world._places(streams, people)
    actors = tuple(
        Actor(recipe.identities[k], recipe.scene.roles[k], places[k], acting[k], mouths[k][:, 0], mouths[k][:, 1])
        for k in range(people)
    )
    light = any_light(streams.of("light"), 0.5)
    shot = Shot(world.width, world.height, recipe.scene.background, actors, camera, light)
    pictures, labels = draw(shot, streams.of("background"), supersample=world.supersample)
    faces = Masks.of(labels, people).faces
    seen = views(torch.from_numpy(pictures), people=people)
    around = boxes(width=world.width, height=world.height, people=people)
    return [
        Lesson(
            view=seen[k],
            truth=truth_of(recipe, k),
            hair=_hair(recipe, k),
            mouth=torch.from_numpy(mouths[k].astype(np.float32)),
            pose=torch.from_numpy(_pose(acting[k], camera, faces[k], around[k])),
        )
        for k in range(people)
    ]


def _at(acting: Acting, frames: NDArray[np.intp]) -> Acting:
    return replace(
        acting,
        shift=acting.shift[frames],
        roll=acting.roll[frames],
        turn=acting.turn[frames],
        lids=acting.lids[frames],
    )
