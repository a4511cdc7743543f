"""Painting in layers with Pillow, for the pictures of the quickstart.

Coordinates are in face widths, (0, 0) is the middle of the face, y points down. Everything is drawn three times as
large and scaled down once, which is what makes the edges soft.
"""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageChops, ImageDraw, ImageFilter

SUPERSAMPLE = 3

Point = tuple[float, float]
Colour = tuple[int, int, int]


def rgb(text: str) -> Colour:
    """`#rrggbb` as numbers."""
    return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)


def mix(a: Colour, b: Colour, share: float) -> Colour:
    """`a` with `share` of `b`."""
    red, green, blue = (round(x + (y - x) * share) for x, y in zip(a, b, strict=True))
    return red, green, blue


BLACK, WHITE = rgb("#000000"), rgb("#ffffff")


def smooth(points: Sequence[Point], *, closed: bool = True, steps: int = 14) -> list[Point]:
    """A Catmull-Rom curve through the points."""
    n = len(points)
    found: list[Point] = []
    for i in range(n if closed else n - 1):
        near = [points[j % n] if closed else points[min(max(j, 0), n - 1)] for j in range(i - 1, i + 3)]
        for k in range(steps):
            x, y = (_catmull_rom(*(point[axis] for point in near), t=k / steps) for axis in (0, 1))
            found.append((x, y))
    return found if closed else [*found, points[-1]]


def _catmull_rom(a: float, b: float, c: float, d: float, *, t: float) -> float:
    return 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)


def curve(points: Sequence[Point]) -> list[Point]:
    """An open curve through the points."""
    return smooth(points, closed=False)


def at(text: str, side: int = 1, *, x: float = 0.0, y: float = 0.0) -> list[Point]:
    """Points from `x,y x,y ...`; `side=-1` mirrors them, then they are moved to (x, y)."""
    pairs = (word.split(",") for word in text.split())
    return [(x + side * float(px), y + float(py)) for px, py in pairs]


def mirrored(right: Sequence[Point]) -> list[Point]:
    """A closed outline from its right half, given from the top to the bottom."""
    return [*right, *((-x, y) for x, y in reversed(right) if abs(x) > 1e-6)]


class Canvas:
    """A picture that is painted in layers; `unit` is the face's width in pixels."""

    def __init__(self, width: int, height: int, *, unit: float, centre: Point) -> None:
        self.size = (width * SUPERSAMPLE, height * SUPERSAMPLE)
        self.unit = unit * SUPERSAMPLE
        self.centre = (centre[0] * SUPERSAMPLE, centre[1] * SUPERSAMPLE)
        self.image = Image.new("RGB", self.size)

    def to_pixels(self, points: Sequence[Point]) -> list[Point]:
        return [(self.centre[0] + x * self.unit, self.centre[1] + y * self.unit) for x, y in points]

    def shape(self, points: Sequence[Point]) -> Image.Image:
        """The mask of a filled outline."""
        mask = Image.new("L", self.size)
        ImageDraw.Draw(mask).polygon(self.to_pixels(points), fill=255)
        return mask

    def oval(self, x: float, y: float, rx: float, ry: float) -> Image.Image:
        mask = Image.new("L", self.size)
        (left, top), (right, bottom) = self.to_pixels([(x - rx, y - ry), (x + rx, y + ry)])
        ImageDraw.Draw(mask).ellipse((left, top, right, bottom), fill=255)
        return mask

    def stroke(self, points: Sequence[Point], width: float) -> Image.Image:
        """The mask of a line with round ends; a pen of many discs, so that bends have no gaps."""
        mask = Image.new("L", self.size)
        draw = ImageDraw.Draw(mask)
        pixels = self.to_pixels(points)
        r = width * self.unit / 2
        draw.line(pixels, fill=255, width=max(1, round(2 * r)), joint="curve")
        for x, y in (pixels[0], pixels[-1]):
            draw.ellipse((x - r, y - r, x + r, y + r), fill=255)
        return mask

    def paint(
        self,
        mask: Image.Image,
        colour: Colour,
        *,
        opacity: float = 1.0,
        blur: float = 0.0,
        inside: Image.Image | None = None,
    ) -> None:
        """Put a colour where the mask is; `blur` in face widths, `inside` clips."""
        # Only the box that is touched is blurred and pasted: ten times faster than the whole picture.
        touched = mask.getbbox()
        if touched is None:
            return
        margin = round(3 * blur * self.unit)
        left, top, right, bottom = touched
        area = (
            max(0, left - margin),
            max(0, top - margin),
            min(self.size[0], right + margin),
            min(self.size[1], bottom + margin),
        )
        mask = mask.crop(area)
        if blur:
            mask = mask.filter(ImageFilter.GaussianBlur(blur * self.unit))
        if inside is not None:
            mask = ImageChops.multiply(mask, inside.crop(area))
        if opacity < 1:
            mask = mask.point([round(v * opacity) for v in range(256)])
        self.image.paste(colour, area, mask)

    def finished(self) -> Image.Image:
        return self.image.resize((self.size[0] // SUPERSAMPLE, self.size[1] // SUPERSAMPLE), Image.Resampling.LANCZOS)
