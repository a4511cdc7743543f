"""Hats. Each kind has its own colour, so that a hat is told from the next at any size."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from model_runtime.training.world.layers import Part
from model_runtime.training.world.person import Person
from model_runtime.training.world.shapes import BLACK, WHITE, Rgb, ellipse, mix, points, rounded_box, smooth
from model_runtime.training.world.vocabulary import Hat

_DEPTH = 0.25


def draw_hat(person: Person) -> None:
    draw = _DRAWN.get(person.role.hat)
    if draw is not None:
        draw(person)


def _dome(person: Person, edge_y: float, grow: float, colour: Rgb) -> None:
    top = person.skull.over_the_top(edge_y, grow)
    edge = points(f"{person.skull.rx * 0.6},{edge_y - 0.9} 0,{edge_y - 1.5} {-person.skull.rx * 0.6},{edge_y - 0.9}")
    paint = person.paint(colour, person.skull.rx * grow, person.skull.ry * grow, 0.3)
    person.rig.add(np.concatenate([top, edge]), paint, part=Part.PERSON, depth=_DEPTH)


def _cap(person: Person) -> None:
    red: Rgb = (214, 38, 44)
    _dome(person, -7.0, 1.12, red)
    right = person.skull.rx
    peak = smooth(points(f"-5,-8.6 4,-10.4 {right},-9 {right + 7.5},-5.8 {right + 6},-4.6 {right - 3},-6.2 3,-7"))
    person.rig.add(peak, mix(red, BLACK, 0.28), part=Part.PERSON, depth=0.6)
    person.rig.add(ellipse(-1, -12.6, 2.9, 2.2, 16), (250, 246, 240), depth=0.5)


def _beanie(person: Person) -> None:
    teal: Rgb = (16, 158, 172)
    top = person.skull.ry
    person.rig.add(ellipse(0, -top - 3.6, 3.9, 3.7, 20), (244, 244, 238), part=Part.PERSON, depth=_DEPTH)
    _dome(person, -7.4, 1.13, teal)
    fold = rounded_box(0, -8.6, person.skull.rx + 1.5, 2.6, 5)
    person.rig.add(fold, (232, 240, 236), part=Part.PERSON, depth=_DEPTH)
    for x in np.linspace(-12, 12, 7):
        rib = rounded_box(float(x) * person.skull.rx / 15, -8.6, 0.45, 2.0, 4)
        person.rig.add(rib, mix(teal, WHITE, 0.35), depth=_DEPTH)


def _top_hat(person: Person) -> None:
    felt: Rgb = (44, 42, 52)
    low = -person.skull.ry * 0.58
    crown = points(f"-10,{low} -11.2,{low - 15} -10.6,{low - 15.8} 10.6,{low - 15.8} 11.2,{low - 15} 10,{low}")
    person.rig.add(crown, person.paint(felt, 12, 9, 0.5), part=Part.PERSON, depth=_DEPTH)
    person.rig.add(points(f"-10,{low} -10.3,{low - 4.2} 10.3,{low - 4.2} 10,{low}"), (196, 38, 60), depth=_DEPTH)
    brim = rounded_box(0, low, person.skull.rx + 5.2, 1.9, 2.6)
    person.rig.add(brim, mix(felt, WHITE, 0.06), part=Part.PERSON, depth=0.35)


def _straw(person: Person) -> None:
    straw: Rgb = (240, 208, 122)
    low = -person.skull.ry * 0.5
    brim = rounded_box(0, low, person.skull.rx + 9.0, 3.6, 2.1)
    person.rig.add(brim, mix(straw, (120, 80, 20), 0.25), part=Part.PERSON, depth=0.4)
    top = -person.skull.ry - 3.8
    crown = smooth(points(f"-11.4,{low - 1} -10.6,{top + 3} -6.5,{top} 6.5,{top} 10.6,{top + 3} 11.4,{low - 1}"))
    person.rig.add(crown, person.paint(straw, 12, 9, 0.3), part=Part.PERSON, depth=_DEPTH)
    band = points(f"-11.5,{low - 0.6} -11.3,{low - 4.0} 11.3,{low - 4.0} 11.5,{low - 0.6} 0,{low + 0.4}")
    person.rig.add(band, (126, 58, 34), depth=_DEPTH)


def _crown(person: Person) -> None:
    gold: Rgb = (250, 196, 34)
    low, high, wide = -person.skull.ry * 0.62, -person.skull.ry - 6.8, 11.6
    tips = [[-wide, low], [-wide - 2.2, high + 1], [-wide * 0.55, low - 5.6], [-wide * 0.4, high - 0.6],
            [-wide * 0.12, low - 6], [0, high - 2], [wide * 0.12, low - 6], [wide * 0.4, high - 0.6],
            [wide * 0.55, low - 5.6], [wide + 2.2, high + 1], [wide, low], [0, low + 0.9]]  # fmt: skip
    person.rig.add(np.array(tips), person.paint(gold, 15, 9, 0.35), part=Part.PERSON, depth=_DEPTH)
    for x, colour in ((-7.0, (206, 28, 58)), (0.0, (40, 96, 220)), (7.0, (206, 28, 58))):
        person.rig.add(ellipse(x, low - 2.6, 1.5, 1.5, 14), colour, depth=0.3)


_DRAWN: dict[Hat, Callable[[Person], None]] = {
    Hat.CAP: _cap,
    Hat.BEANIE: _beanie,
    Hat.TOP_HAT: _top_hat,
    Hat.STRAW: _straw,
    Hat.CROWN: _crown,
}
