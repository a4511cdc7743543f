"""What a hand holds up in front of the chest."""

from __future__ import annotations

import math
from collections.abc import Callable

from model_runtime.training.world.clothes import COLOURS
from model_runtime.training.world.layers import Part
from model_runtime.training.world.person import Person
from model_runtime.training.world.shapes import (
    BLACK,
    Points,
    Rgb,
    ellipse,
    mix,
    points,
    ring,
    rounded_box,
    smooth,
    stroke,
    turned,
)
from model_runtime.training.world.vocabulary import Held

Spot = tuple[float, float]


def draw_held(person: Person, spot: Spot) -> None:
    """The thing, the hand and a sleeve, with the thing's middle at `spot` in units of the body."""
    draw = _DRAWN.get(person.role.held)
    if draw is None:
        return
    x, y = spot
    sleeve = mix(COLOURS[person.role.colour], BLACK, 0.18)
    arm = stroke(points(f"{x + 1.0},{y + 20} {x + 0.6},{y + 7.5}"), 8.6)
    person.rig.add_fixed(arm, sleeve, part=Part.PERSON)
    draw(person, spot)
    _draw_fingers(person, x, y + 6.2)


def _draw_fingers(person: Person, x: float, y: float) -> None:
    person.rig.add_fixed(rounded_box(x + 0.4, y, 4.0, 3.0, 3), person.skin, part=Part.PERSON)
    for k in range(3):
        knuckle = rounded_box(x - 2.6 + 2.6 * k, y - 0.2, 0.3, 1.9, 3)
        person.rig.add_fixed(knuckle, mix(person.skin, (80, 30, 20), 0.3))


def _put(person: Person, outline: Points, colour: Rgb) -> None:
    person.rig.add_fixed(outline, colour, part=Part.PERSON)


def _mug(person: Person, spot: Spot) -> None:
    x, y = spot
    _put(person, ring(ellipse(x + 5.6, y, 3.7, 3.9), ellipse(x + 5.6, y, 2.0, 2.2)), (226, 228, 234))
    _put(person, rounded_box(x, y, 5.4, 6.2, 7), (246, 247, 250))
    _put(person, rounded_box(x + 3.6, y, 1.6, 5.8, 7), (216, 220, 230))
    _put(person, points(f"{x - 5.3},{y - 2} {x + 5.3},{y - 2} {x + 5.3},{y + 1.8} {x - 5.3},{y + 1.8}"), (36, 96, 206))
    _put(person, ellipse(x, y - 5.5, 4.6, 1.2), (92, 54, 30))


def _flower(person: Person, spot: Spot) -> None:
    x, y = spot
    _put(person, stroke(points(f"{x},{y - 2} {x + 0.4},{y + 10}"), 1.5), (34, 128, 52))
    _put(person, ellipse(x + 2.8, y + 2.6, 2.9, 1.3), (44, 150, 62))
    for k in range(6):
        turn = k * math.pi / 3
        petal = ellipse(x + 3.5 * math.cos(turn), y - 4 + 3.5 * math.sin(turn), 2.7, 2.7, 16)
        _put(person, petal, ((250, 106, 176), (236, 76, 152))[k % 2])
    _put(person, ellipse(x, y - 4, 2.5, 2.5, 16), (255, 214, 40))


def _book(person: Person, spot: Spot) -> None:
    x, y = spot
    lean = -0.14
    _put(person, turned(rounded_box(x + 0.9, y - 0.4, 6.3, 7.6, 14), lean, x, y), (244, 238, 220))
    _put(person, turned(rounded_box(x, y, 6.2, 7.6, 14), lean, x, y), (20, 92, 76))
    _put(person, turned(rounded_box(x - 5.1, y, 1.0, 7.5, 14), lean, x, y), (12, 62, 52))
    _put(person, turned(rounded_box(x + 0.8, y - 3.4, 3.4, 1.5, 10), lean, x, y), (244, 206, 92))


def _ball(person: Person, spot: Spot) -> None:
    x, y = spot
    r, seam = 6.8, (74, 34, 14)
    person.rig.add_fixed(ellipse(x, y - 0.6, r, r, 32), person.paint((240, 126, 30), r, r, 0.35), part=Part.PERSON)
    _put(person, stroke(points(f"{x},{y - 0.6 - r} {x},{y - 0.6 + r}"), 0.9), seam)
    _put(person, stroke(points(f"{x - r},{y - 0.6} {x + r},{y - 0.6}"), 0.9), seam)
    for side in (-1, 1):
        curve = points(f"{x + side * 4.7},{y - 5.6} {x + side * 2.9},{y - 0.6} {x + side * 4.7},{y + 4.4}")
        _put(person, stroke(smooth(curve, closed=False), 0.8), seam)


def _microphone(person: Person, spot: Spot) -> None:
    x, y = spot
    _put(person, stroke(points(f"{x - 1.8},{y - 3} {x + 0.4},{y + 9}"), 3.8), (70, 78, 104))
    _put(person, ellipse(x - 2.4, y - 5.6, 5.0, 5.0, 24), (120, 126, 140))
    _put(person, ellipse(x - 3.2, y - 6.6, 3.5, 3.3, 20), (196, 202, 214))
    _put(person, stroke(points(f"{x - 6.6},{y - 3.4} {x + 2.2},{y - 2.8}"), 1.6), (226, 60, 60))


_DRAWN: dict[Held, Callable[[Person, Spot], None]] = {
    Held.MUG: _mug,
    Held.FLOWER: _flower,
    Held.BOOK: _book,
    Held.BALL: _ball,
    Held.MICROPHONE: _microphone,
}
