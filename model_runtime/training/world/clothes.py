"""Clothes: a body under the head, one colour and one kind."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from model_runtime.training.world.layers import Part
from model_runtime.training.world.person import Person
from model_runtime.training.world.shapes import (
    BLACK,
    WHITE,
    Points,
    Rgb,
    ellipse,
    luma,
    mirrored,
    mix,
    points,
    smooth,
    stroke,
)
from model_runtime.training.world.vocabulary import Clothes, Colour

COLOURS: dict[Colour, Rgb] = {
    Colour.RED: (206, 36, 46),
    Colour.ORANGE: (244, 128, 24),
    Colour.YELLOW: (250, 214, 48),
    Colour.GREEN: (40, 154, 70),
    Colour.BLUE: (36, 84, 212),
    Colour.PURPLE: (134, 58, 176),
    Colour.WHITE: (244, 244, 242),
    Colour.BLACK: (34, 34, 40),
}

_SIDE = points("5.5,17.2 12,19.2 20,21.6 25,26 27.5,34")
"""From the neck down over the shoulder."""


def draw_body(person: Person) -> None:
    """Everything below the neck that the neck is drawn upon; call before the neck."""
    colour = COLOURS[person.role.colour]
    if person.role.clothes is Clothes.HOODIE:
        hood = mirrored(points("0,12.5 8,13 14,17.5 14.5,21.5 6,25 0,25"))
        person.rig.add_fixed(smooth(hood, steps=4), mix(colour, BLACK, 0.3), part=Part.PERSON)
    hem = max(36.0, person.rig.lowest + 2)
    outline = mirrored(np.concatenate([points("0,18"), _SIDE, points(f"28.5,{hem} 0,{hem}")]))
    person.rig.add_fixed(outline, person.paint(colour, 29, (hem - 17) / 2, 0.22), part=Part.PERSON)
    for side in (-1, 1):
        fold = smooth(points(f"{side * 18},27 {side * 19.2},33 {side * 18.6},44"), closed=False)
        person.rig.add_fixed(stroke(fold, 0.8), _darker(colour))
    _BODIES.get(person.role.clothes, _plain)(person, colour)


def draw_collar(person: Person) -> None:
    """What goes over the neck."""
    _COLLARS.get(person.role.clothes, _plain)(person, COLOURS[person.role.colour])


def _darker(colour: Rgb, share: float = 0.25) -> Rgb:
    """A fold's colour: darker, and for black lighter, so that it is seen."""
    return mix(colour, BLACK, share) if luma(colour) > 0.2 else mix(colour, WHITE, share * 0.55)


def _contrast(colour: Rgb) -> Rgb:
    """For patterns."""
    return (26, 30, 66) if luma(colour) > 0.62 else (248, 248, 246)


def _plain(person: Person, colour: Rgb) -> None:
    """Nothing more."""


def _inside(outline: Points) -> Points:
    """Pushed in at the sides to where the body is."""
    limit = np.interp(outline[:, 1], [18, 21.6, 26, 34, 60], [12.5, 19.6, 24.4, 27.0, 28.0])
    return np.stack([np.clip(outline[:, 0], -limit, limit), outline[:, 1]], -1)


def _stripes(person: Person, colour: Rgb) -> None:
    for y in np.arange(21.4, person.rig.lowest, 4.6):
        x = np.linspace(-28, 28, 9)
        sag = y + 1.2 - 1.2 * (x / 28) ** 2
        path = np.concatenate([np.stack([x, sag], -1), np.stack([x, sag + 2.1], -1)[::-1]])
        person.rig.add_fixed(_inside(path), _contrast(colour))
    _round_neckline(person, colour)


def _dots(person: Person, colour: Rgb) -> None:
    for row, y in enumerate(np.arange(21.8, person.rig.lowest, 4.4)):
        for x in np.arange(-27.5 + 2.75 * (row % 2), 28, 5.5):
            if abs(x) < np.interp(y, [18, 21.6, 26, 34, 60], [11, 18, 23, 25.6, 27]):
                person.rig.add_fixed(ellipse(float(x), float(y), 1.35, 1.35, 12), _contrast(colour))
    _round_neckline(person, colour)


def _round_neckline(person: Person, colour: Rgb) -> None:
    rim = smooth(points("-7.6,17.4 -5.6,21.2 0,23.4 5.6,21.2 7.6,17.4"), closed=False)
    person.rig.add_fixed(stroke(rim, 1.8), _darker(colour, 0.3))


def _suit(person: Person, colour: Rgb) -> None:
    shirt: Rgb = (176, 206, 240) if luma(colour) > 0.75 else (250, 250, 250)
    person.rig.add_fixed(points("-7.6,17.6 7.6,17.6 1.4,36 -1.4,36"), shirt)


def _suit_collar(person: Person, colour: Rgb) -> None:
    tie: Rgb = (26, 28, 48) if luma(colour) > 0.16 else (200, 32, 48)
    shirt: Rgb = (196, 220, 246) if luma(colour) > 0.75 else WHITE
    for side in (-1, 1):
        wing = points("6.6,16.8 0.3,21.6 4.0,25.4 8.0,19") * (side, 1)
        person.rig.add_fixed(wing, shirt, part=Part.PERSON)
    person.rig.add_fixed(points("-1.9,21 1.9,21 1.3,24 2.7,33 0,36.5 -2.7,33 -1.3,24"), tie, part=Part.PERSON)
    for side in (-1, 1):
        lapel = points("7.4,17.2 11.4,20 12.6,25.4 9.6,26 10.4,28 1.6,38 0.6,38 6.4,23") * (side, 1)
        person.rig.add_fixed(lapel, _darker(colour, 0.2), part=Part.PERSON)


def _roll_neck(person: Person, colour: Rgb) -> None:
    roll = mirrored(points("0,14.2 6.4,13.6 7.4,15.4 7.8,20.6 6,22.6 0,23.6"))
    light = mix(colour, WHITE, 0.16) if luma(colour) < 0.85 else _darker(colour, 0.1)
    person.rig.add_fixed(smooth(roll, steps=3), light, part=Part.PERSON)
    for x in (-4.6, -1.6, 1.6, 4.6):
        person.rig.add_fixed(stroke(points(f"{x},15.2 {x * 1.06},22.4"), 0.5), _darker(colour, 0.22))


def _hood(person: Person, colour: Rgb) -> None:
    for side in (-1, 1):
        edge = points("6,15.6 9.6,14.8 13,18.4 11.4,22.6 4.4,26.6 0,27.2 0,24.6 4.6,22.2") * (side, 1)
        person.rig.add_fixed(smooth(edge, steps=3), _darker(colour, 0.16), part=Part.PERSON)
        cord = points("3.8,25.6 4.6,29.4 4.2,34") * (side, 1)
        person.rig.add_fixed(stroke(cord, 1.2), (250, 250, 250) if luma(colour) < 0.8 else (60, 64, 84))


_BODIES: dict[Clothes, Callable[[Person, Rgb], None]] = {
    Clothes.STRIPES: _stripes,
    Clothes.DOTS: _dots,
    Clothes.SUIT: _suit,
}
_COLLARS: dict[Clothes, Callable[[Person, Rgb], None]] = {
    Clothes.JUMPER: _roll_neck,
    Clothes.SUIT: _suit_collar,
    Clothes.HOODIE: _hood,
}
