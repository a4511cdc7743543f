"""What is drawn is what is said to be drawn: masks, mouths, motion, camera, and values that differ."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray

from model_runtime.training.world.clip import Clip, Recipe
from model_runtime.training.world.identity import Identity
from model_runtime.training.world.speech import PAUSE
from model_runtime.training.world.vocabulary import (
    IDENTITY,
    ROLE,
    SCENE,
    Background,
    Beard,
    Camera,
    FaceShape,
    Glasses,
    Hair,
    HairColour,
    Motion,
    Skin,
)
from model_runtime.training.world.world import World

Staged = Callable[..., Recipe]


def grown(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """With its neighbours in both directions: half covered pixels belong to no mask and change all the same."""
    found = mask.copy()
    for axis in (-1, -2):
        found |= np.roll(found, 1, axis) | np.roll(found, -1, axis)
    return found


def changed(one: Clip, other: Clip, by: int = 8) -> NDArray[np.bool_]:
    """Pixels that differ visibly, [frames, h, w]."""
    return np.asarray((np.abs(one.frames.astype(int) - other.frames) > by).any(-1))


def as_somebody(recipe: Recipe, **attributes: object) -> Recipe:
    return replace(recipe, identities=(replace(recipe.identities[0], **attributes),))  # type: ignore[arg-type]


def test_masks_lie_in_each_other(clips: list[Clip], duos: list[Clip]) -> None:
    """A mouth is a part of its face, a face of its person; no pixel has two owners."""
    for clip in clips + duos:
        masks = clip.masks
        assert not (masks.mouths & ~masks.faces).any()
        assert not (masks.faces & ~masks.people).any()
        assert (masks.people.sum(0) <= 1).all()
        assert np.array_equal(masks.face, masks.faces.any(0))


def test_faces_are_large_enough_to_survive_compression(clips: list[Clip]) -> None:
    """A face covers several 8x8 cells, and its weight is the picture over its area."""
    for clip in clips:
        area = clip.masks.face.sum((1, 2))
        assert area.min() > 300
        assert clip.masks.mouth.sum((1, 2)).min() > 20
        assert np.allclose(clip.masks.face_weight * area, 64 * 64)


def test_the_person_is_where_the_mask_says(world: World, clips: list[Clip]) -> None:
    """Another background changes no pixel of the person, and nearly every other pixel."""
    for clip in clips[:6]:
        scene = clip.recipe.scene
        other = Background.MEADOW if scene.background is not Background.MEADOW else Background.BRICKS
        moved = changed(clip, world.draw(replace(clip.recipe, scene=replace(scene, background=other))), by=3)
        person = clip.masks.people[0]
        outside = ~grown(person)
        inside = ~grown(~person)
        # A few pixels in the corners between two parts are half background and still nobody else's.
        assert (moved & inside).sum() <= 0.001 * inside.sum()
        assert moved[outside].mean() > 0.85


def test_the_face_mask_is_the_skin(world: World, staged: Staged) -> None:
    """Another skin changes most of the face and nothing that is not of the person."""
    for index in range(4):
        recipe = as_somebody(staged(index), skin=Skin.PORCELAIN, glasses=Glasses.NONE, beard=Beard.NONE)
        clip, darker = world.draw(recipe), world.draw(as_somebody(recipe, skin=Skin.BROWN))
        repainted = changed(clip, darker)
        assert repainted[clip.masks.face].mean() > 0.7
        assert not (repainted & ~grown(clip.masks.people[0])).any()
        assert np.array_equal(clip.masks.faces, darker.masks.faces)


def test_only_the_face_speaks(world: World, clips: list[Clip]) -> None:
    """With a shut mouth nothing but the face differs."""
    for clip in clips[:6]:
        still = np.zeros_like(clip.speech.opening)
        silent = world.draw(clip.recipe, replace(clip.speech, opening=still, width=still + PAUSE.width))
        moved = changed(clip, silent)
        assert moved.any()
        # The jaw drops with the mouth: it uncovers and covers what is below it.
        faces = grown(grown(clip.masks.faces[0] | silent.masks.faces[0]))
        assert not (moved & ~faces).any()


def test_the_mouth_is_as_open_as_the_track(world: World, staged: Staged) -> None:
    """Height and width of the mouth's mask follow opening and lip width."""
    heights, widths, openings, spreads = [], [], [], []
    for index in range(8):
        clip = world.draw(staged(index))
        mouth = clip.masks.mouth
        heights.append(mouth.any(2).sum(1))
        widths.append(mouth.any(1).sum(1))
        openings.append(clip.speech.opening)
        spreads.append(clip.speech.width)
    assert np.corrcoef(np.concatenate(heights), np.concatenate(openings))[0, 1] > 0.93
    assert np.corrcoef(np.concatenate(widths), np.concatenate(spreads))[0, 1] > 0.85


def test_one_talks_and_the_other_listens(duos: list[Clip]) -> None:
    """The listener's mouth stays as it is; the speaker's does not."""
    for clip in duos:
        speaker = clip.recipe.scene.speaker
        spread = clip.masks.mouths.any(3).sum(2).std(1)
        if clip.speech.opening.std() > 0.1 and clip.recipe.scene.camera is Camera.STILL:
            assert spread[speaker] > spread[1 - speaker]
    assert {clip.recipe.scene.speaker for clip in duos} == {0, 1}


def middles(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Centre of a mask by frame, [frames, 2] as x, y."""
    ys, xs = np.mgrid[: mask.shape[1], : mask.shape[2]]
    return np.stack([(mask * xs).sum((1, 2)), (mask * ys).sum((1, 2))], -1) / mask.sum((1, 2))[:, None]


def test_heads_move_as_asked(world: World, staged: Staged) -> None:
    """The mouth's way: up and down in a nod, sideways in a shake, with the roll in a tilt, hardly at all otherwise."""
    longer = replace(world, frames=25)
    way = {}
    for motion in Motion:
        clip = longer.draw(as_somebody(staged(0, motion=motion), beard=Beard.NONE))
        way[motion] = np.ptp(middles(clip.masks.mouth), axis=0), float(np.ptp(clip.acting[0].roll))
    assert way[Motion.NOD][0][1] > 6
    assert way[Motion.SHAKE][0][0] > 6
    assert way[Motion.SHAKE][0][0] > 2 * way[Motion.NOD][0][0]
    assert way[Motion.TILT][1] > 0.3
    assert max(way[motion][1] for motion in Motion if motion is not Motion.TILT) < 0.01
    assert way[Motion.STILL][0].max() < 4


def test_the_camera_moves_as_asked(world: World, staged: Staged) -> None:
    """Faces grow, shrink, go right when the camera pans left, or stay."""
    clip = {camera: world.draw(staged(0, camera=camera)) for camera in Camera}
    areas = {camera: one.masks.face.sum((1, 2)) for camera, one in clip.items()}
    goes = {camera: np.diff(middles(one.masks.face)[[0, -1], 0])[0] for camera, one in clip.items()}
    assert areas[Camera.ZOOM_IN][-1] > 1.3 * areas[Camera.ZOOM_IN][0]
    assert areas[Camera.ZOOM_OUT][0] > 1.3 * areas[Camera.ZOOM_OUT][-1]
    assert goes[Camera.PAN_LEFT] > 7
    assert goes[Camera.PAN_RIGHT] < -7
    assert abs(goes[Camera.STILL]) < 2


@pytest.mark.parametrize("name", [*SCENE, *ROLE, *IDENTITY])
def test_values_can_be_told_apart(name: str, world: World, staged: Staged) -> None:
    """Any two values of an attribute make clips that differ by more than a trace, all else the same."""
    short = replace(world, frames=9 if name in {"camera", "motion"} else 1)
    who = {"hair": Hair.CROP, "hair_colour": HairColour.GINGER, "shape": FaceShape.ROUND, "beard": Beard.NONE,
           "skin": Skin.PEACH, "glasses": Glasses.NONE}  # fmt: skip
    kind = (SCENE | ROLE | IDENTITY)[name]
    shown = []
    for value in kind:
        recipe = staged(1, **({} if name in IDENTITY else {name: value}))
        recipe = as_somebody(recipe, **(who | ({name: value} if name in IDENTITY else {})))
        shown.append(short.draw(recipe).frames.astype(float))
    apart = [np.abs(one - other).mean() for one, other in combinations(shown, 2)]
    # Eyes are the smallest thing there is: some 40 of 4,096 pixels.
    assert min(apart) > (0.25 if name == "eyes" else 0.6)


def test_jitter_makes_people_of_one_combination_differ(world: World, staged: Staged) -> None:
    recipe = staged(0)
    one = recipe.identities[0]
    moved = replace(one.jitter, width=-one.jitter.width, eye_gap=1.0, tone=-one.jitter.tone)
    twin: Identity = replace(one, jitter=moved)
    assert twin.attributes == one.attributes
    assert changed(world.draw(recipe), world.draw(replace(recipe, identities=(twin,)))).any()
