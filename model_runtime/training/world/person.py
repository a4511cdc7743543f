"""One drawn person: what all the parts of the body need to know to be put on top of each other."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from model_runtime.training.world.identity import Identity
from model_runtime.training.world.layers import Ball, Rig, shaded
from model_runtime.training.world.scene import Role
from model_runtime.training.world.shapes import Points, Rgb
from model_runtime.training.world.vocabulary import FaceShape, HairColour, Skin

SKINS: dict[Skin, Rgb] = {
    Skin.PORCELAIN: (255, 226, 208),
    Skin.PEACH: (244, 190, 156),
    Skin.OLIVE: (212, 160, 116),
    Skin.TAN: (186, 124, 78),
    Skin.BROWN: (146, 92, 62),
    Skin.EBONY: (88, 54, 40),
}
HAIR_COLOURS: dict[HairColour, Rgb] = {
    HairColour.BLACK: (34, 30, 36),
    HairColour.BROWN: (92, 48, 22),
    HairColour.BLOND: (250, 216, 100),
    HairColour.GINGER: (216, 70, 20),
    HairColour.SILVER: (196, 200, 208),
    HairColour.TEAL: (24, 148, 156),
}


@dataclass(frozen=True)
class Skull:
    """The outline of a head, in units about its centre."""

    rx: float
    ry: float
    power: float
    """2 is an ellipse, more is squarer."""
    taper: float
    """How much narrower the chin is."""

    def at(self, turn: NDArray[np.float64], grow: float = 1.0) -> Points:
        """Points of the outline; 0 is right, a quarter turn the chin."""
        cos, sin = np.cos(turn), np.sin(turn)
        x = np.sign(cos) * np.abs(cos) ** (2 / self.power)
        y = np.sign(sin) * np.abs(sin) ** (2 / self.power)
        x = x * (1 - self.taper * np.clip(y, 0, 1) ** 1.4)
        return np.stack([x * self.rx, y * self.ry], -1) * grow

    def outline(self, grow: float = 1.0) -> Points:
        return self.at(np.linspace(0, 2 * math.pi, 48, endpoint=False), grow)

    def over_the_top(self, side_y: float, grow: float = 1.0) -> Points:
        """From the left at `side_y` over the crown to the right at `side_y`."""
        low = math.copysign(math.asin(min(1.0, abs(side_y / self.ry) ** (self.power / 2))), side_y)
        return self.at(np.linspace(math.pi - low, 2 * math.pi + low, 32), grow)


_SKULLS = {
    FaceShape.ROUND: Skull(15.8, 15.6, 2.0, 0.0),
    FaceShape.LONG: Skull(12.9, 18.4, 2.1, 0.08),
    FaceShape.SQUARE: Skull(14.8, 16.6, 3.6, 0.0),
    FaceShape.HEART: Skull(16.4, 17.6, 2.1, 0.58),
}


@dataclass(frozen=True)
class Person:
    """Who, what they wear and do, and how they move in each frame."""

    identity: Identity
    role: Role
    rig: Rig
    opening: NDArray[np.float64]
    """[frames], of the mouth."""
    width: NDArray[np.float64]
    lids: NDArray[np.float64]
    """[frames], 1 open to 0 shut."""
    gaze: tuple[float, float]

    @cached_property
    def skull(self) -> Skull:
        kind, jitter = _SKULLS[self.identity.shape], self.identity.jitter
        return Skull(kind.rx + 0.45 * jitter.width, kind.ry + 0.45 * jitter.height, kind.power, kind.taper)

    @cached_property
    def skin(self) -> Rgb:
        red, green, blue = SKINS[self.identity.skin]
        tone = 1 + 0.03 * self.identity.jitter.tone
        return min(255, round(red * tone)), min(255, round(green * tone)), min(255, round(blue * tone))

    @property
    def hair(self) -> Rgb:
        return HAIR_COLOURS[self.identity.hair_colour]

    def paint(self, colour: Rgb, half_width: float, half_height: float, depth: float = 0.2) -> Image.Image:
        """Rounded paint that covers a part of this half size however the head turns."""
        halves = half_width + 0.28 * half_height, half_height + 0.28 * half_width
        # In steps of 32 pixels, so that clips share their paint.
        width, height = (math.ceil((2.1 * half * self.rig.scale + 8) / 32) * 32 for half in halves)
        return shaded(Ball(colour, width, height, depth))
