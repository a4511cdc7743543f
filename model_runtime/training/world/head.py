"""The face: head, beard, eyes, glasses, nose and the mouth that speech moves."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from model_runtime.training.world.layers import Part
from model_runtime.training.world.person import Person
from model_runtime.training.world.shapes import (
    BLACK,
    WHITE,
    Points,
    Rgb,
    circle,
    ellipse,
    luma,
    mix,
    points,
    ring,
    rounded_box,
    smooth,
    stroke,
)
from model_runtime.training.world.vocabulary import Beard, Eyes, FaceShape, Glasses

IRISES: dict[Eyes, Rgb] = {
    Eyes.BROWN: (84, 44, 20),
    Eyes.BLUE: (44, 116, 232),
    Eyes.GREEN: (30, 156, 70),
    Eyes.AMBER: (232, 138, 20),
}
_EYE_Y, _MOUTH_Y = -1.2, 8.2
_FEATURES = 0.9
"""Depth of eyes and mouth: how far they go when the head turns."""


def draw_neck(person: Person) -> None:
    """From the chin into the collar; the lower end stays where it is."""
    neck = points("-5.4,7 5.4,7 5.4,15.5 7,18.5 4.5,20.8 0,22 -4.5,20.8 -7,18.5 -5.4,15.5")
    follow = np.array([1.0, 1, 0.35, 0, 0, 0, 0, 0, 0.35])
    person.rig.add(neck, mix(person.skin, BLACK, 0.12), part=Part.PERSON, follow=follow)
    shadow = ellipse(0, person.skull.ry - 1.6, 5.2, 3.6)
    person.rig.add(shadow, mix(person.skin, (60, 20, 20), 0.34), follow=0.7)


def draw_head(person: Person) -> None:
    """Ears and the head itself."""
    skull, rig, skin = person.skull, person.rig, person.skin
    for side in (-1, 1):
        rig.add(ellipse(side * (skull.rx - 0.4), 0.8, 2.7, 3.6), mix(skin, (120, 40, 20), 0.16), part=Part.PERSON,
                depth=-0.35)  # fmt: skip
    rig.add(_dropped(person, skull.outline()), person.paint(skin, skull.rx, skull.ry + 1), part=Part.FACE)
    flush = mix(skin, (235, 80, 70), 0.24)
    for side in (-1, 1):
        rig.add(ellipse(side * min(8.4, skull.rx - 5.6), 5.0, 2.7, 1.9, 16), flush, depth=_FEATURES)


def _dropped(person: Person, outline: Points) -> Points:
    """The jaw goes down with the mouth: [frames, n, 2]."""
    below = np.clip(outline[:, 1] / person.skull.ry, 0, 1)
    drop = np.zeros((len(person.opening), *outline.shape))
    drop[..., 1] = 1.7 * person.opening[:, None] * below
    return outline + drop


def draw_beard(person: Person) -> None:
    skull, colour = person.skull, mix(person.hair, BLACK, 0.16)
    if person.identity.beard is Beard.FULL:
        jaw = skull.at(np.linspace(-0.06, math.pi + 0.06, 26), 1.03)
        edge = skull.rx - 2.6
        inner = points(f"{-edge},2.2 {-edge + 1.6},6.2 -6.0,7.2 -3.6,5.2 0,4.9 3.6,5.2 6.0,7.2 {edge - 1.6},6.2 "
                       f"{edge},2.2")  # fmt: skip
        person.rig.add(_dropped(person, np.concatenate([jaw, inner])), person.paint(colour, skull.rx, 10, 0.3))
    elif person.identity.beard is Beard.MOUSTACHE:
        right = points("0,4.6 3.2,4.5 6.2,6.0 7.6,8.6 5.0,7.6 2.2,6.9 0,6.9")
        both = np.concatenate([right, (right * (-1, 1))[::-1]])
        person.rig.add(both, colour, depth=_FEATURES)


def draw_eyes(person: Person) -> None:
    rig, jitter, lids = person.rig, person.identity.jitter, person.lids
    gap = 6.6 + 0.35 * jitter.eye_gap
    if person.identity.shape is FaceShape.LONG:
        gap -= 0.5
    lash = mix(person.skin, (24, 12, 14), 0.82)
    awake = lids > 0.22
    round_eye = circle(20)
    for side in (-1, 1):
        centre = np.array([side * gap, _EYE_Y])
        look = centre + person.gaze
        rig.add(_scaled(round_eye, 4.5, 3.75 * lids + 0.3) + centre + (0, -0.4), lash, depth=_FEATURES)
        rig.add(_scaled(round_eye, 4.0, 3.45 * lids) + centre, (250, 250, 248), depth=_FEATURES, shown=awake)
        iris = IRISES[person.identity.eyes]
        rig.add(_scaled(round_eye, 2.9, np.minimum(2.9, 3.3 * lids)) + look, mix(iris, BLACK, 0.25),
                depth=_FEATURES, shown=awake)  # fmt: skip
        rig.add(_scaled(round_eye, 2.45, np.minimum(2.45, 3.0 * lids)) + look, iris, depth=_FEATURES, shown=awake)
        rig.add(ellipse(look[0], look[1], 1.1, 1.1, 14), (14, 10, 12), depth=_FEATURES, shown=awake)
        rig.add(ellipse(look[0] - 0.85, look[1] - 0.95, 0.75, 0.75, 12), WHITE, depth=_FEATURES, shown=lids > 0.6)
        thick = 1.15 + 0.35 * jitter.brows
        brow = smooth(points(f"{-3.9 * side},-6.0 {-1.0 * side},-7.1 {4.2 * side},-5.7"), closed=False)
        rig.add(stroke(brow + centre + (0, 0.3), thick), mix(person.hair, BLACK, 0.3), depth=_FEATURES)


def _scaled(unit: Points, rx: float, ry: NDArray[np.float64]) -> Points:
    """An outline whose height changes by frame: [frames, n, 2]."""
    tall = np.broadcast_to(ry[:, None], (len(ry), len(unit)))
    return np.stack([np.broadcast_to(unit[:, 0] * rx, tall.shape), unit[:, 1] * tall], -1)


def draw_lenses(person: Person) -> None:
    """Tinted glass, under the eyes: it tells glasses from none on every skin."""
    if person.identity.glasses is not Glasses.NONE:
        tint = mix(person.skin, (206, 228, 246), 0.42)
        for side in (-1, 1):
            person.rig.add(_lens(person, side, 1.0), tint, depth=_FEATURES)


def draw_rims(person: Person) -> None:
    if person.identity.glasses is Glasses.NONE:
        return
    rim: Rgb = (20, 18, 24) if luma(person.skin) > 0.3 else (10, 8, 12)
    for side in (-1, 1):
        person.rig.add(ring(_lens(person, side, 1.13), _lens(person, side, 0.9)), rim, depth=1.0)
        arm = stroke(points(f"{side * 12.0},{_EYE_Y - 1} {side * (person.skull.rx + 0.4)},{_EYE_Y - 1.4}"), 1.2)
        person.rig.add(arm, rim, depth=0.5)
    person.rig.add(stroke(points(f"-1.9,{_EYE_Y - 0.6} 0,{_EYE_Y - 1.2} 1.9,{_EYE_Y - 0.6}"), 1.2), rim, depth=1.0)


def _lens(person: Person, side: int, grow: float) -> Points:
    gap = 6.6 + 0.35 * person.identity.jitter.eye_gap
    if person.identity.shape is FaceShape.LONG:
        gap -= 0.5
    if person.identity.glasses is Glasses.ROUND:
        return rounded_box(side * gap, _EYE_Y + 0.2, 5.0 * grow, 5.0 * grow, 2.0)
    return rounded_box(side * gap, _EYE_Y + 0.4, 5.1 * grow, 4.1 * grow, 9.0)


def draw_nose(person: Person) -> None:
    size = 1 + 0.18 * person.identity.jitter.nose
    shade = mix(person.skin, (110, 40, 20), 0.3)
    person.rig.add(ellipse(0, 3.0, 1.75 * size, 1.5 * size, 16), shade, depth=1.1)
    person.rig.add(ellipse(-0.3, 2.3, 1.15 * size, 1.2 * size, 14), mix(person.skin, WHITE, 0.22), depth=1.1)


def draw_mouth(person: Person) -> None:
    """Lips, and between them teeth and tongue: exactly as open and as wide as the tracks say."""
    rig, opening, width = person.rig, person.opening, person.width
    # By luma, so that lips stand out on dark skin as on light skin.
    lips = mix(mix(person.skin, (206, 44, 62), 0.62), WHITE, 0.0 if luma(person.skin) > 0.4 else 0.14)
    half_width, half_height = mouth_size(opening, width)
    middle = np.stack([np.zeros_like(opening), _MOUTH_Y + 0.4 * person.identity.jitter.mouth + 1.5 * opening], -1)
    around = circle(28)
    pout = 1.15 + 0.55 * (1 - width)
    outer = np.stack([half_width + pout, half_height + pout], -1)
    inner = np.stack([half_width, half_height], -1)
    rig.add(around * outer[:, None] + middle[:, None], lips, part=Part.MOUTH, depth=_FEATURES)
    rig.add(around * inner[:, None] + middle[:, None], (66, 12, 26), depth=_FEATURES)
    rig.add(_segment(inner, 0.62, -math.pi / 2) + middle[:, None], (196, 72, 84), depth=_FEATURES, shown=opening > 0.3)
    rig.add(_segment(inner, 0.55, math.pi / 2) + middle[:, None], (248, 246, 240), depth=_FEATURES,
            shown=opening > 0.1)  # fmt: skip


def mouth_size(
    opening: NDArray[np.float64], width: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Half width and half height of the gap between the lips, in units of the head."""
    return 2.7 + 3.6 * width, 0.22 + 4.3 * opening


def _segment(size: Points, share: float, side: float) -> Points:
    """The part of an ellipse of this half size [frames, 2] that a chord cuts off: the upper one, or the lower one."""
    half = math.acos(1 - share)
    turn = np.linspace(-half, half, 12) - side
    return np.stack([np.cos(turn), np.sin(turn)], -1) * size[:, None] * 0.97
