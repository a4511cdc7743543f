"""Contact sheets: references, some frames, what was asked, what was said."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from itertools import count

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from model_runtime.training.world.clip import Clip, Pixels
from model_runtime.training.world.scene import Role, Scene
from model_runtime.training.world.speech import SAMPLES_PER_FRAME
from model_runtime.training.world.vocabulary import (
    IDENTITY,
    ROLE,
    SCENE,
    Background,
    Beard,
    Camera,
    Clothes,
    Colour,
    FaceShape,
    Glasses,
    Hair,
    Hat,
    Held,
    Motion,
)
from model_runtime.training.world.world import World

FRAMES = 6
_SHOWN = 128
"""Height of a picture on the sheet."""
_GAP, _TRACK, _LINE = 6, 30, 13
_LINES = 3
"""Of caption: what the wordiest one needs."""
_INK, _PAPER = (40, 40, 48), (252, 252, 250)
_WAVE, _OPENING, _WIDTH = (176, 186, 206), (212, 44, 58), (40, 110, 200)


def contact_sheet(clips: Sequence[Clip], *, columns: int = 2) -> Image.Image:
    """Cells of clips, left to right and down."""
    cells = [_cell(clip) for clip in clips]
    width, height = max(cell.width for cell in cells), max(cell.height for cell in cells)
    columns = min(columns, len(cells))
    rows = -(-len(cells) // columns)
    sheet = Image.new("RGB", (columns * (width + 2 * _GAP), rows * (height + 2 * _GAP)), _PAPER)
    for place, cell in enumerate(cells):
        sheet.paste(cell, (place % columns * (width + 2 * _GAP) + _GAP, place // columns * (height + 2 * _GAP) + _GAP))
    return sheet


def _cell(clip: Clip) -> Image.Image:
    length, height, width, _ = clip.frames.shape
    times = np.linspace(0, length - 1, min(FRAMES, length)).round().astype(int)
    shown = (_SHOWN * width // height, _SHOWN)
    # Room for two references in every cell, so that all cells align.
    left = 2 * (shown[0] // 2 + 2) + _GAP
    cell = Image.new("RGB", (left + len(times) * (shown[0] + 2), _SHOWN + _TRACK + _LINES * _LINE + _GAP), _PAPER)
    for place, reference in enumerate(clip.references):
        small = shown if len(clip.references) == 1 else (shown[0] // 2, shown[1] // 2)
        _frame(cell, reference, (0, place * (small[1] + 2)), small)
    for column, time in enumerate(times):
        _frame(cell, clip.frames[time], (left + column * (shown[0] + 2), 0), shown)
    cell.paste(_tracks(clip, cell.width - left - 2), (left, _SHOWN + 2))
    letters = ImageFont.load_default(11)
    pen = ImageDraw.Draw(cell)
    for row, line in enumerate(textwrap.wrap(clip.caption, cell.width // 6)[:_LINES]):
        pen.text((0, _SHOWN + _TRACK + 4 + row * _LINE), line, fill=_INK, font=letters)
    return cell


def _frame(cell: Image.Image, picture: Pixels, at: tuple[int, int], size: tuple[int, int]) -> None:
    smooth = Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC)
    cell.paste(smooth, at)
    ImageDraw.Draw(cell).rectangle((*at, at[0] + size[0] - 1, at[1] + size[1] - 1), outline=(206, 206, 206))


def _tracks(clip: Clip, width: int) -> Image.Image:
    """The sound's envelope, the opening (red) and the lip width (blue) over time."""
    strip = Image.new("RGB", (width, _TRACK), "white")
    pen = ImageDraw.Draw(strip)
    middle = _TRACK / 2
    loudest = float(np.abs(clip.audio).max()) or 1.0
    for x, part in enumerate(np.array_split(clip.audio, width)):
        reach = float(np.abs(part).max()) / loudest * (middle - 1)
        pen.line((x, middle - reach, x, middle + reach), fill=_WAVE)
    for track, colour in ((clip.speech.width, _WIDTH), (clip.speech.opening, _OPENING)):
        pen.line(_curve(track, width, len(clip.audio) / SAMPLES_PER_FRAME), fill=colour, width=2)
    return strip


def _curve(track: NDArray[np.float32], width: int, frames: float) -> list[tuple[float, float]]:
    return [((k + 0.5) * width / frames, (_TRACK - 3) * (1 - float(value)) + 1) for k, value in enumerate(track)]


def vocabulary_sheet(world: World) -> Image.Image:
    """Every value of every list once, all else the same: can they be told apart by eye?"""
    recipe = next(recipe for recipe in map(world.recipe, count()) if len(recipe.identities) == 1)
    plain_role = Role(colour=Colour.BLUE, clothes=Clothes.JUMPER, hat=Hat.NONE, held=Held.NONE, motion=Motion.STILL)
    plain = Scene(background=Background.STUDIO, camera=Camera.STILL, roles=(plain_role,))
    who = replace(recipe.identities[0], glasses=Glasses.NONE, beard=Beard.NONE, hair=Hair.CROP, shape=FaceShape.ROUND)
    recipe = replace(recipe, scene=plain, identities=(who,))
    rows = [
        [(str(value), replace(recipe, scene=_with(plain, plain_role, name, value))) for value in kind]
        for name, kind in (SCENE | ROLE).items()
        if name not in _SEEN_IN_TIME
    ]
    rows += [
        [(str(value), replace(recipe, identities=(replace(who, **{name: value}),))) for value in kind]  # type: ignore[arg-type]
        for name, kind in IDENTITY.items()
    ]
    return _table([[(label, world.draw(shown).frames[0]) for label, shown in row] for row in rows])


_SEEN_IN_TIME = frozenset({"camera", "motion"})


def _with(scene: Scene, role: Role, name: str, value: StrEnum) -> Scene:
    if name in SCENE:
        return replace(scene, **{name: value})  # type: ignore[arg-type]
    return replace(scene, roles=(replace(role, **{name: value}),))  # type: ignore[arg-type]


def _table(rows: Sequence[Sequence[tuple[str, Pixels]]]) -> Image.Image:
    height, width = rows[0][0][1].shape[:2]
    shown = (_SHOWN * width // height, _SHOWN)
    wide, high = shown[0] + _GAP, shown[1] + _LINE + _GAP
    sheet = Image.new("RGB", (wide * max(map(len, rows)) + _GAP, high * len(rows) + _GAP), _PAPER)
    pen, letters = ImageDraw.Draw(sheet), ImageFont.load_default(11)
    for y, row in enumerate(rows):
        for x, (label, picture) in enumerate(row):
            at = (_GAP + x * wide, _GAP + y * high)
            _frame(sheet, picture, at, shown)
            pen.text((at[0], at[1] + shown[1]), label, fill=_INK, font=letters)
    return sheet
