"""Where: backgrounds. Drawn coarsely and enlarged, so that they are a little out of focus behind the person."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from model_runtime.training.world.shapes import Points, Rgb, mix
from model_runtime.training.world.vocabulary import Background

DOTS_PER_UNIT = 2


@dataclass
class Backdrop:
    """A picture in units, (0, 0) in its middle."""

    width: float
    height: float
    rng: np.random.Generator

    def __post_init__(self) -> None:
        size = (round(self.width * DOTS_PER_UNIT), round(self.height * DOTS_PER_UNIT))
        self.picture = Image.new("RGB", size)
        self._pen = ImageDraw.Draw(self.picture)

    def near(self, value: float, by: float) -> float:
        """A little chance."""
        return value + by * float(self.rng.uniform(-1, 1))

    def sky(self, top: Rgb, bottom: Rgb, *, until: float | None = None) -> None:
        """A gradient from the top edge down to `until`, or to the bottom edge."""
        height = self.picture.height if until is None else self._at([[0, until]])[0][1]
        ramp = np.linspace(0, 1, max(2, round(height)))[:, None, None]
        tones = np.asarray(top) + (np.asarray(bottom) - np.asarray(top)) * ramp
        column = Image.fromarray(tones.round().astype(np.uint8))
        self.picture.paste(column.resize((self.picture.width, column.height)), (0, 0))

    def shape(self, outline: Points | Sequence[Sequence[float]], colour: Rgb) -> None:
        self._pen.polygon(self._at(outline), fill=colour)

    def box(self, left: float, top: float, right: float, bottom: float, colour: Rgb) -> None:
        self.shape([[left, top], [right, top], [right, bottom], [left, bottom]], colour)

    def band(self, top: float, bottom: float, colour: Rgb) -> None:
        self.box(-self.width, top, self.width, bottom, colour)

    def disc(self, x: float, y: float, rx: float, ry: float, colour: Rgb) -> None:
        (left, top), (right, bottom) = self._at([[x - rx, y - ry], [x + rx, y + ry]])
        self._pen.ellipse((left, top, right, bottom), fill=colour)

    def _at(self, outline: Points | Sequence[Sequence[float]]) -> list[tuple[float, float]]:
        middle = (self.width / 2, self.height / 2)
        return [((x + middle[0]) * DOTS_PER_UNIT, (y + middle[1]) * DOTS_PER_UNIT) for x, y in np.asarray(outline)]


def backdrop(background: Background, width: float, height: float, rng: np.random.Generator) -> Image.Image:
    """The background for a picture of this many units, at two dots per unit; `rng` varies details."""
    drawn = Backdrop(width, height, rng)
    _DRAWN[background](drawn)
    return drawn.picture


def _beach(b: Backdrop) -> None:
    sea, sand = b.near(-7, 1.5), b.near(9, 1.5)
    b.sky((120, 190, 240), (205, 232, 248), until=sea)
    b.disc(b.near(22, 3), b.near(-23, 2), 5, 5, (255, 246, 190))
    b.band(sea, sand, (30, 130, 185))
    b.band(sea, sea + 4, (22, 105, 165))
    b.band(sand - 2.2, sand, (225, 242, 245))
    b.band(sand, b.height, (238, 214, 160))
    x = b.near(-22, 4)
    b.shape([[x - 6, sea + 2], [x + 6, sea + 2], [x + 4, sea + 4.6], [x - 4, sea + 4.6]], (200, 60, 50))
    b.shape([[x, sea + 1], [x, sea - 10], [x + 7, sea + 1]], (250, 250, 250))


def _forest(b: Backdrop) -> None:
    b.sky((120, 165, 105), (28, 62, 36))
    for row, (tone, girth) in enumerate((((58, 92, 58), 3.0), ((62, 46, 34), 4.6))):
        for x in np.arange(-b.width / 2 - 4 + 5 * row, b.width / 2 + 8, 11.0):
            left = b.near(float(x), 1.8)
            b.box(left, -b.height, left + girth, b.height, tone)
    for x in np.arange(-b.width / 2, b.width / 2 + 10, 9.0):
        b.disc(b.near(float(x), 2), -b.height / 2 + b.near(2, 2), 8, 7.5, (34, 98, 48))
    b.band(b.near(24, 1), b.height, (30, 66, 34))


def _city(b: Backdrop) -> None:
    b.sky((14, 16, 52), (86, 62, 128))
    b.disc(b.near(-22, 3), b.near(-24, 2), 4, 4, (244, 240, 214))
    x = -b.width / 2 - b.near(4, 3)
    while x < b.width / 2:
        wide, top = b.near(11, 2), b.near(-9, 9)
        b.box(x, top, x + wide, b.height, (24, 25, 50))
        for wx in np.arange(x + 1.6, x + wide - 2.2, 3.4):
            for wy in np.arange(top + 2, b.height / 2, 4.4):
                if b.rng.random() < 0.62:
                    b.box(wx, wy, wx + 1.8, wy + 2.2, (250, 206, 96))
        x += wide + 1


def _library(b: Backdrop) -> None:
    b.sky((94, 58, 36), (70, 42, 28))
    tones = ((168, 52, 46), (48, 92, 130), (202, 164, 84), (66, 116, 78), (122, 74, 120), (226, 214, 190))
    top = -b.height / 2 - b.near(6, 4)
    while top < b.height / 2:
        x = -b.width / 2
        while x < b.width / 2:
            wide, tall = b.near(3.1, 1.0), b.near(11.5, 1.5)
            b.box(x, top + 14 - tall, x + wide - 0.4, top + 14, tones[int(b.rng.integers(len(tones)))])
            x += wide
        b.band(top + 14, top + 16.4, (126, 82, 50))
        top += 16.4


def _bricks(b: Backdrop) -> None:
    b.sky((206, 180, 164), (188, 162, 148))
    tall, wide = 6.0, 12.0
    top, row = -b.height / 2 - b.near(2, 2), 0
    while top < b.height / 2:
        for x in np.arange(-b.width / 2 - wide * (1 + row % 2 / 2), b.width / 2, wide):
            b.box(x, top, x + wide - 1.1, top + tall - 1.1, mix((168, 74, 56), (132, 52, 42), float(b.rng.random())))
        top, row = top + tall, row + 1


def _mountains(b: Backdrop) -> None:
    b.sky((78, 142, 214), (198, 224, 242))
    for x, y, base, rock in ((-23.0, -17.0, 24.0, (104, 116, 144)), (20.0, -22.0, 28.0, (84, 98, 128))):
        px, py = b.near(x, 4), b.near(y, 3)
        b.shape([[px, py], [px + base, 22], [px - base, 22]], rock)
        snow = 0.36 * (22 - py)
        side = base * 0.36
        zigzag = [[px + side * 0.4, py + snow * 0.7], [px, py + snow * 1.1], [px - side * 0.5, py + snow * 0.75]]
        b.shape([[px, py], [px + side, py + snow], *zigzag, [px - side, py + snow]], (246, 249, 252))
    b.shape([[-b.width, 20], [-12, b.near(12, 2)], [10, 19], [30, b.near(13, 2)], [b.width, 20], [b.width, b.height],
             [-b.width, b.height]], (58, 100, 78))  # fmt: skip


def _sunset(b: Backdrop) -> None:
    b.sky((76, 38, 112), (255, 150, 62))
    x, y = b.near(-20, 4), b.near(4, 2)
    b.disc(x, y, 10.5, 10.5, (255, 190, 84))
    b.disc(x, y, 8, 8, (255, 236, 150))
    for top in (-20.0, -10.0):
        b.disc(b.near(14, 14), b.near(top, 2), 16, 1.7, (226, 96, 104))
    b.band(b.near(17, 1), b.height, (74, 32, 62))


def _studio(b: Backdrop) -> None:
    b.sky((146, 149, 156), (112, 115, 122))
    for share in np.linspace(0, 1, 24):
        radius = 42 - 30 * share
        b.disc(0, -4, radius, radius, mix((140, 143, 150), (206, 208, 212), float(share)))


def _classroom(b: Backdrop) -> None:
    b.sky((236, 224, 196), (226, 210, 178))
    low = b.near(17, 1)
    b.box(-b.width / 2 + 1.5, -b.height / 2 + 2.5, b.width / 2 - 1.5, low, (150, 100, 58))
    b.box(-b.width / 2 + 4, -b.height / 2 + 5, b.width / 2 - 4, low - 2.5, (38, 88, 68))
    chalk = (214, 228, 220)
    for side in (-1, 1):
        for row in range(3):
            x, y = side * b.near(23, 1), b.near(-18 + 9 * row, 1)
            b.box(x - 3.6, y, x + b.near(3, 1), y + 1.2, chalk)
    b.band(low + 5, b.height, (178, 138, 96))


def _meadow(b: Backdrop) -> None:
    b.sky((96, 176, 244), (196, 228, 250))
    for x, y in ((-20.0, -22.0), (21.0, -16.0)):
        cx, cy = b.near(x, 4), b.near(y, 3)
        for dx, dy, r in ((-4.5, 0.8, 3.4), (0.0, -0.8, 4.4), (4.8, 0.8, 3.2)):
            b.disc(cx + dx, cy + dy, r * 1.15, r * 0.8, (252, 253, 255))
    x = b.near(-14, 5)
    b.disc(x, 30, 46, 24, (118, 186, 76))
    b.disc(x + 46, 34, 44, 24, (88, 160, 64))
    for _ in range(16):
        b.disc(b.near(0, b.width / 2), b.near(22, 9), 0.8, 0.8, ((250, 240, 120), (250, 250, 250))[b.rng.integers(2)])


_DRAWN: dict[Background, Callable[[Backdrop], None]] = {
    Background.BEACH: _beach,
    Background.FOREST: _forest,
    Background.CITY: _city,
    Background.LIBRARY: _library,
    Background.BRICKS: _bricks,
    Background.MOUNTAINS: _mountains,
    Background.SUNSET: _sunset,
    Background.STUDIO: _studio,
    Background.CLASSROOM: _classroom,
    Background.MEADOW: _meadow,
}
