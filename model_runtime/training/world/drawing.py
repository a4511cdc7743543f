"""A shot to pixels: background, people from back to front, light, and labels that say whose each pixel is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from model_runtime.training.world.acting import PAN, Acting, Floats
from model_runtime.training.world.backdrops import backdrop
from model_runtime.training.world.clothes import draw_body, draw_collar
from model_runtime.training.world.hair import draw_back_hair, draw_front_hair
from model_runtime.training.world.hats import draw_hat
from model_runtime.training.world.head import (
    draw_beard,
    draw_eyes,
    draw_head,
    draw_lenses,
    draw_mouth,
    draw_neck,
    draw_nose,
    draw_rims,
)
from model_runtime.training.world.held import draw_held
from model_runtime.training.world.identity import Identity
from model_runtime.training.world.layers import Layer, Rig, Sheet
from model_runtime.training.world.person import Person
from model_runtime.training.world.scene import Role
from model_runtime.training.world.vocabulary import Background

Pixels = NDArray[np.uint8]

UNITS = 64
"""Units along a picture's shorter side."""


@dataclass(frozen=True)
class Light:
    """Where it comes from and how warm it is; no prompt speaks of it."""

    side: float
    """How much brighter the right edge is than the middle."""
    warmth: float
    """How much redder; below 0 bluer."""
    level: float
    """Overall, 1 as painted."""

    def falls_on(self, frames: Pixels) -> Pixels:
        """[frames, h, w, 3] in this light."""
        across = np.linspace(-1, 1, frames.shape[2], dtype=np.float32)[None, :, None]
        down = np.linspace(1, -1, frames.shape[1], dtype=np.float32)[:, None, None]
        tint = np.array([1 + self.warmth, 1, 1 - self.warmth], np.float32)
        gain = self.level * (1 + self.side * across + 0.03 * down) * tint
        return np.minimum(frames * gain + 0.5, 255).astype(np.uint8)


def any_light(rng: np.random.Generator, strength: float) -> Light:
    """Light by chance; strength 1 is what reference pictures differ by."""
    side, warmth, level = (float(value) for value in rng.uniform(-1, 1, 3) * strength)
    return Light(side=0.14 * side, warmth=0.06 * warmth, level=1 + 0.07 * level)


@dataclass(frozen=True)
class Place:
    """Where somebody stands: the head's middle at rest, units from the picture's middle, and the scale."""

    x: float
    y: float
    scale: float
    spot: tuple[float, float]
    """Where a hand holds things up, in units of the body."""


@dataclass(frozen=True)
class Actor:
    """One person in a shot."""

    identity: Identity
    role: Role
    place: Place
    acting: Acting
    opening: Floats
    """[frames], of the mouth."""
    width: Floats


@dataclass(frozen=True)
class Shot:
    """All that drawing needs to know."""

    width: int
    height: int
    background: Background | None
    """None: white paper."""
    actors: tuple[Actor, ...]
    views: Floats
    """[frames, 3], see `acting.views`."""
    light: Light


def draw(shot: Shot, details: np.random.Generator, *, supersample: int) -> tuple[Pixels, Pixels]:
    """Frames uint8 [frames, h, w, 3] and labels uint8 [frames, h, w, 4]; `details` varies the background.

    A label's planes are the coverage of the first person, the second, the face and the mouth, 0 to 255.
    """
    canvas = _Canvas(shot, supersample)
    ground = canvas.ground(shot.background, details)
    moving: list[Layer] = []
    for place, actor in enumerate(shot.actors):
        body, layers = _layers(actor, canvas, place)
        # Bodies stand still: they are drawn once, with the background.
        ground.draw(body, 0)
        moving += layers
    frames, labels = zip(*(canvas.seen(ground, moving, frame) for frame in range(len(shot.views))), strict=True)
    lit = shot.light.falls_on(np.stack(frames)) if shot.background is not None else np.stack(frames)
    return lit, np.stack(labels)


@dataclass
class _Canvas:
    """The large picture and how it is seen."""

    shot: Shot
    supersample: int

    def __post_init__(self) -> None:
        shot = self.shot
        self.pixels = min(shot.width, shot.height) / UNITS
        self.scale = self.supersample * self.pixels
        # A pan shows more than one picture's width.
        self.margin = PAN if np.any(shot.views[:, 0]) else 0.0
        self.units = (shot.width / self.pixels + 2 * self.margin, shot.height / self.pixels)
        self.size = (round(self.units[0] * self.scale), round(self.units[1] * self.scale))

    def ground(self, background: Background | None, details: np.random.Generator) -> Sheet:
        picture = (
            Image.new("RGB", self.size, "white")
            if background is None
            else backdrop(background, *self.units, details).resize(self.size, Image.Resampling.BILINEAR)
        )
        return Sheet(picture, Image.new("CMYK", self.size))

    def seen(self, ground: Sheet, layers: Sequence[Layer], frame: int) -> tuple[Pixels, Pixels]:
        sheet = Sheet(ground.picture.copy(), ground.labels.copy())
        sheet.draw(layers, frame)
        return self._shown(sheet.picture, frame), self._shown(sheet.labels, frame)

    def _shown(self, large: Image.Image, frame: int) -> Pixels:
        """What the camera sees of a large picture, [h, w, planes]."""
        x, y, zoom = self.shot.views[frame]
        half = self.shot.width / self.pixels / zoom / 2, self.shot.height / self.pixels / zoom / 2
        left, top = ((self.units[k] / 2 + at - half[k]) * self.scale for k, at in enumerate((x, y)))
        if zoom == 1:
            # The plain average of whole blocks: six times as fast as resampling.
            corner = round(left), round(top)
            span = self.shot.width * self.supersample, self.shot.height * self.supersample
            return np.asarray(large.reduce(self.supersample, (*corner, corner[0] + span[0], corner[1] + span[1])))
        right, bottom = left + 2 * half[0] * self.scale, top + 2 * half[1] * self.scale
        view = (max(0.0, left), max(0.0, top), min(right, self.size[0]), min(bottom, self.size[1]))
        size = (self.shot.width, self.shot.height)
        return np.asarray(large.resize(size, Image.Resampling.HAMMING, box=view))


def _layers(actor: Actor, canvas: _Canvas, place: int) -> tuple[list[Layer], list[Layer]]:
    """The body, and what is drawn anew in every frame over all bodies."""
    acting, at = actor.acting, actor.place
    frames = len(acting.roll)
    scale = canvas.scale * at.scale
    origin = ((canvas.units[0] / 2 + at.x) * canvas.scale, (canvas.units[1] / 2 + at.y) * canvas.scale)
    rig = Rig(scale, origin, acting.shift, acting.roll, acting.turn, place)
    person = Person(
        actor.identity, actor.role, rig, actor.opening, actor.width, np.broadcast_to(acting.lids, frames), acting.gaze
    )
    lowest = (canvas.size[1] - origin[1]) / scale
    at_rest = np.zeros((1, 2)), np.zeros(1), np.zeros((1, 2))
    still = replace(person, rig=Rig(scale, origin, *at_rest, place, lowest))
    draw_body(still)
    for draw_part in _FROM_BACK_TO_FRONT:
        draw_part(person)
    draw_held(person, at.spot)
    return still.rig.layers, rig.layers


_FROM_BACK_TO_FRONT = (
    draw_back_hair,
    draw_neck,
    draw_collar,
    draw_head,
    draw_beard,
    draw_lenses,
    draw_eyes,
    draw_nose,
    draw_mouth,
    draw_rims,
    draw_front_hair,
    draw_hat,
)
