"""Hair: what is behind the head and what lies over it."""

from __future__ import annotations

import numpy as np

from model_runtime.training.world.layers import Part
from model_runtime.training.world.person import Person
from model_runtime.training.world.shapes import BLACK, WHITE, Points, ellipse, mirrored, mix, points, smooth, stroke
from model_runtime.training.world.vocabulary import COVERING_HATS, Hair


def draw_back_hair(person: Person) -> None:
    """Behind the neck and over the shoulders."""
    skull, style, hat = person.skull, person.identity.hair, person.role.hat in COVERING_HATS
    dark = mix(person.hair, BLACK, 0.22)
    wide = skull.rx + 3.4
    if style is Hair.LONG:
        half = points(f"0,{-skull.ry - 2} {wide * 0.7},{-skull.ry * 0.85} {wide},-4 {wide + 0.8},9 {wide + 1.4},21 "
                      f"{wide - 1.5},24.5 {wide - 5.5},24 0,21")  # fmt: skip
        sway = np.clip(1 - np.concatenate([half, half])[:, 1] / 24, 0.3, 1)
        sway[8:] = sway[:8][::-1]
        person.rig.add(mirrored(half), person.paint(dark, wide + 2, 24, 0.25), part=Part.PERSON, follow=sway)
    elif style is Hair.BOB:
        half = points(f"0,{-skull.ry - 2} {wide * 0.75},{-skull.ry * 0.8} {wide + 0.6},-3 {wide + 1.0},6 "
                      f"{wide - 0.8},11.5 {wide - 4.5},11.8 0,10")  # fmt: skip
        person.rig.add(smooth(mirrored(half), steps=3), person.paint(dark, wide + 2, 15, 0.25), part=Part.PERSON)
    elif style is Hair.AFRO:
        y, ry = (0.0, 15.0) if hat else (-5.0, skull.ry + 3.0)
        cloud = _frizzy(skull.rx + 6.2, ry) + np.array([0, y])
        person.rig.add(cloud, person.paint(person.hair, skull.rx + 7, 20, 0.3), part=Part.PERSON, depth=-0.2)
    elif style is Hair.BUN and not hat:
        person.rig.add(ellipse(0, -skull.ry - 3.4, 6.0, 5.2), person.paint(person.hair, 6, 6, 0.3), part=Part.PERSON)


def _frizzy(rx: float, ry: float) -> Points:
    turn = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    bumps = 1 + 0.045 * np.abs(np.sin(turn * 9))
    return np.stack([np.cos(turn) * rx * bumps, np.sin(turn) * ry * bumps], -1)


def draw_front_hair(person: Person) -> None:
    """Over the forehead, and what stands up from it."""
    style, hat = person.identity.hair, person.role.hat in COVERING_HATS
    if style is Hair.BALD:
        if not hat:
            shine = ellipse(-4.5, -person.skull.ry * 0.66, 3.4, 1.5, 16)
            person.rig.add(shine, mix(person.skin, WHITE, 0.4), depth=0.3)
        return
    if hat and style in {Hair.CROP, Hair.QUIFF, Hair.BUN, Hair.SPIKES}:
        style = Hair.CROP
    if style in {Hair.QUIFF, Hair.SPIKES}:
        _draw_crest(person, style)
    side_y, line = _HAIRLINES[style]
    top = person.skull.over_the_top(side_y, 1.08)
    paint = person.paint(person.hair, person.skull.rx + 1.5, person.skull.ry + 2, 0.32)
    forehead = smooth(points(line) * (person.skull.rx * 0.985, 1), closed=False, steps=4)
    # Its shadow tells blond from tanned and ginger from brown.
    shadow = stroke(forehead[4:-5] * (0.97, 1) + np.array([0, 0.5]), 1.3)
    person.rig.add(shadow, mix(person.skin, (50, 20, 16), 0.4), depth=0.12)
    person.rig.add(np.concatenate([top, forehead]), paint, part=Part.PERSON, depth=0.12)
    light = mix(person.hair, WHITE, 0.28)
    if style in {Hair.CROP, Hair.BUN, Hair.LONG, Hair.BOB} and not hat:
        gleam = smooth(points(f"-9,{-person.skull.ry * 0.62} -5,{-person.skull.ry * 0.82} "
                              f"0.5,{-person.skull.ry * 0.88}"), closed=False)  # fmt: skip
        person.rig.add(stroke(gleam, 1.1), light, depth=0.2)


_HAIRLINES: dict[Hair, tuple[float, str]] = {
    Hair.CROP: (-1.0, "1,-1 0.88,-3 0.82,-7.2 0.4,-9.4 -0.1,-9.8 -0.5,-9.2 -0.82,-7.2 -0.88,-3 -1,-1"),
    Hair.QUIFF: (-1.0, "1,-1 0.88,-3 0.84,-8 0.4,-10.6 -0.2,-9.6 -0.6,-8.4 -0.84,-6.6 -0.88,-3 -1,-1"),
    Hair.LONG: (9.0, "1,9 0.93,2 0.85,-4.5 0.5,-8.4 0.06,-12.4 -0.06,-12.4 -0.5,-8.4 -0.85,-4.5 -0.93,2 -1,9"),
    Hair.BOB: (8.0, "1,8 0.9,1 0.88,-5.2 0.5,-6.3 0.0,-6.6 -0.5,-6.3 -0.88,-5.2 -0.9,1 -1,8"),
    Hair.AFRO: (-2.0, "1,-2 0.9,-4.6 0.7,-8.2 0.3,-9.6 -0.3,-9.6 -0.7,-8.2 -0.9,-4.6 -1,-2"),
    Hair.BUN: (-3.0, "1,-3 0.9,-5.5 0.72,-9.2 0.3,-11.8 -0.3,-11.8 -0.72,-9.2 -0.9,-5.5 -1,-3"),
    Hair.SPIKES: (-2.0, "1,-2 0.88,-4 0.8,-8 0.4,-9.8 0.0,-10.2 -0.4,-9.8 -0.8,-8 -0.88,-4 -1,-2"),
}
"""Where hair ends: at the sides, and along the forehead from right to left (x as a share of the head's half width)."""


def _draw_crest(person: Person, style: Hair) -> None:
    top = person.skull.ry
    if style is Hair.QUIFF:
        wave = points(f"-13,-9 -14,{-top} -8,{-top - 4.6} 1,{-top - 5.4} 9,{-top - 3.0} 13,{-top + 3.5} 12,-9")
        person.rig.add(smooth(wave), person.paint(person.hair, 15, 12, 0.3), part=Part.PERSON, depth=0.2)
        return
    tips = []
    for k, x in enumerate(np.linspace(-12.5, 12.5, 6)):
        root = -top * np.sqrt(max(0.12, 1 - (x / 16) ** 2))
        tips += [[x - 2.3, root + 2.5], [x * 1.18, root - 6.4 + 0.5 * abs(k - 2.5)], [x + 2.3, root + 2.5]]
    crest = np.concatenate([np.array(tips), points("11,-7 -11,-7")])
    person.rig.add(crest, person.paint(person.hair, 16, 14, 0.3), part=Part.PERSON, depth=0.1)
