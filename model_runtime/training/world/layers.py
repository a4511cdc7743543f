"""A drawn clip as a list of layers: outlines in pixels for every frame, each with its paint and its mark.

Everything is drawn several times as large as it is shown and averaged down, which is what makes edges soft. Beside the
picture a second one is kept, whose planes say to whom a pixel belongs; both pass through the same averaging.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from model_runtime.training.world.shapes import Points, Rgb

Mark = tuple[int, int, int, int]
"""Planes of the label picture: first person, second person, face, mouth; 255 inside."""


class Part:
    """What a layer is of."""

    PERSON = (0, 0)
    FACE = (255, 0)
    MOUTH = (255, 255)


def mark(place: int, part: tuple[int, int]) -> Mark:
    """The label of a part of the person at `place`."""
    return (255 if place == 0 else 0, 255 if place == 1 else 0, *part)


class Ball(NamedTuple):
    """Paint with light from above left: a colour, brighter in the middle than at the rim."""

    colour: Rgb
    width: int
    height: int
    depth: float


@dataclass(frozen=True)
class Layer:
    """One filled outline, frame by frame."""

    outlines: Sequence[Sequence[float]]
    """Flat x, y, x, y in pixels of the large picture; an empty one is not drawn."""
    paint: Rgb | Image.Image
    """A colour, or a picture that shows through the outline, centred on it."""
    label: Mark | None = None
    boxes: Sequence[tuple[int, int, int, int]] = ()
    """For a picture as paint: the outlines' bounds."""
    windows: Sequence[Sequence[float]] = ()
    """For a picture as paint: the outlines from their bounds' corner."""


@dataclass
class Rig:
    """Where a person's parts are in the large picture, frame by frame."""

    scale: float
    """Pixels per unit."""
    origin: tuple[float, float]
    """Pixels of the head's centre at rest."""
    shift: Points
    """[frames, 2], units."""
    roll: NDArray[np.float64]
    """[frames], radians, about the neck."""
    turn: Points
    """[frames, 2]: yaw and pitch as how many units the nearest part of the face moves."""
    place: int
    lowest: float = 64.0
    """Units below the head's centre that can be seen."""
    layers: list[Layer] = field(default_factory=list)

    PIVOT = (0.0, 13.0)

    @property
    def frames(self) -> int:
        return len(self.roll)

    def moved(self, outline: Points, *, depth: float = 0.0, follow: float | NDArray[np.float64] = 1.0) -> Points:
        """Units of the head to pixels, [frames, n, 2].

        `depth` is how near to the viewer a part is (1 the nose, below 0 behind the head), `follow` how far each point
        goes with the head (0 stays with the shoulders).
        """
        pixels = outline @ self._turning + (depth * self._leaning + self._going)
        if isinstance(follow, float) and follow == 1:
            return np.asarray(pixels, np.float64)
        resting = outline * self.scale + self.origin
        return np.asarray(resting + (pixels - resting) * np.asarray(follow)[..., None], np.float64)

    @cached_property
    def _turning(self) -> Points:
        """[frames, 2, 2]: a row of units times this is a row of pixels."""
        sin, cos = np.sin(self.roll), np.cos(self.roll)
        return np.stack([np.stack([cos, sin], -1), np.stack([-sin, cos], -1)], 1) * self.scale

    @cached_property
    def _leaning(self) -> Points:
        """[frames, 1, 2]: pixels that depth 1 is moved by."""
        return self.turn[:, None, :] @ self._turning

    @cached_property
    def _going(self) -> Points:
        """[frames, 1, 2]: pixels of the point (0, 0)."""
        pivot = np.array([self.PIVOT])
        return (pivot + self.shift[:, None, :]) * self.scale + self.origin - pivot @ self._turning

    def add(
        self,
        outline: Points,
        paint: Rgb | Image.Image,
        *,
        part: tuple[int, int] | None = None,
        depth: float = 0.0,
        follow: float | NDArray[np.float64] = 1.0,
        shown: NDArray[np.bool_] | None = None,
    ) -> None:
        """Put a part on top; `part` labels its pixels, `shown` hides it in some frames."""
        pixels = self.moved(outline, depth=depth, follow=follow)
        flat = pixels.reshape(self.frames, -1).tolist()
        if shown is not None:
            flat = [line if here else [] for line, here in zip(flat, shown, strict=True)]
        label = None if part is None else mark(self.place, part)
        boxes, windows = _windows(pixels) if isinstance(paint, Image.Image) else ([], [])
        self.layers.append(Layer(flat, paint, label, boxes, windows))

    def add_fixed(self, outline: Points, paint: Rgb | Image.Image, *, part: tuple[int, int] | None = None) -> None:
        """Put something on top that stays with the shoulders."""
        pixels = (outline * self.scale + self.origin)[None]
        label = None if part is None else mark(self.place, part)
        boxes, windows = _windows(pixels) if isinstance(paint, Image.Image) else ([], [])
        flat = [pixels.reshape(-1).tolist()]
        self.layers.append(Layer(flat * self.frames, paint, label, boxes * self.frames, windows * self.frames))


def _windows(pixels: Points) -> tuple[list[tuple[int, int, int, int]], list[list[float]]]:
    """Bounds (left, top, width, height) of each frame's outline, and the outlines as seen from there."""
    low, high = np.floor(pixels.min(1)).astype(int), np.ceil(pixels.max(1)).astype(int) + 1
    boxes = np.concatenate([low, high - low], 1).tolist()
    return [(x, y, w, h) for x, y, w, h in boxes], (pixels - low[:, None]).reshape(len(pixels), -1).tolist()


@lru_cache(maxsize=8)
def _relief(depth: float) -> NDArray[np.float32]:
    """Brightness of a ball that fills the box, [32, 32, 1]: 1 in the middle."""
    y, x = np.mgrid[-1:1:32j, -1:1:32j]
    light = 1 + 0.35 * depth - depth * np.clip((x + 0.35) ** 2 * 0.75 + (y + 0.4) ** 2 * 0.6, 0, 1.6)
    return np.asarray(light[..., None], np.float32)


@lru_cache(maxsize=96)
def shaded(ball: Ball) -> Image.Image:
    """The paint of a rounded thing."""
    tones = np.asarray(ball.colour, np.float32) * _relief(ball.depth)
    small = Image.fromarray(np.clip(tones, 0, 255).astype(np.uint8))
    # A smooth thing can be enlarged: four times as fast as computing every pixel.
    return small.resize((ball.width, ball.height), Image.Resampling.BILINEAR)


class Sheet:
    """The large picture and its labels while they are drawn."""

    def __init__(self, picture: Image.Image, labels: Image.Image) -> None:
        self.picture, self.labels = picture, labels
        self._pen, self._marker = ImageDraw.Draw(picture), ImageDraw.Draw(labels)

    def draw(self, layers: Sequence[Layer], frame: int) -> None:
        for layer in layers:
            outline = layer.outlines[frame]
            if not outline:
                continue
            if isinstance(layer.paint, Image.Image):
                self._show_through(layer.windows[frame], layer.paint, layer.boxes[frame])
            else:
                self._pen.polygon(outline, fill=layer.paint)
            if layer.label is not None:
                self._marker.polygon(outline, fill=layer.label)

    def _show_through(self, window: Sequence[float], paint: Image.Image, box: tuple[int, int, int, int]) -> None:
        x, y, width, height = box
        mask = Image.new("L", (width, height))
        ImageDraw.Draw(mask).polygon(window, fill=255)
        left, top = (paint.width - width) // 2, (paint.height - height) // 2
        self.picture.paste(paint.crop((left, top, left + width, top + height)), (x, y), mask)
