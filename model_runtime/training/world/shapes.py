"""Outlines as points [n, 2] (x right, y down), and colours. One unit is a 64th of the picture's shorter side."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
"""[n, 2], or [frames, n, 2] for an outline that changes."""
Rgb = tuple[int, int, int]

WHITE: Rgb = (255, 255, 255)
BLACK: Rgb = (0, 0, 0)


def mix(a: Rgb, b: Rgb, share: float) -> Rgb:
    """`a` with `share` of `b`."""
    return round(a[0] + (b[0] - a[0]) * share), round(a[1] + (b[1] - a[1]) * share), round(a[2] + (b[2] - a[2]) * share)


def luma(colour: Rgb) -> float:
    return (0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]) / 255


@lru_cache(maxsize=512)
def points(text: str) -> Points:
    """`x,y x,y ...`; read-only, as it is shared."""
    found = np.array([[float(number) for number in pair.split(",")] for pair in text.split()])
    found.flags.writeable = False
    return found


@lru_cache(maxsize=8)
def circle(count: int) -> Points:
    """A unit circle; from the right, downwards."""
    turn = np.linspace(0, 2 * math.pi, count, endpoint=False)
    return np.stack([np.cos(turn), np.sin(turn)], -1)


def ellipse(x: float, y: float, rx: float, ry: float, count: int = 24) -> Points:
    return circle(count) * (rx, ry) + (x, y)


def box(x: float, y: float, half_width: float, half_height: float) -> Points:
    return np.array([[-1.0, -1], [1, -1], [1, 1], [-1, 1]]) * (half_width, half_height) + (x, y)


def rounded_box(x: float, y: float, half_width: float, half_height: float, power: float = 4.0) -> Points:
    """A superellipse: power 2 is an ellipse, large powers a box."""
    unit = circle(32)
    outline = np.sign(unit) * np.abs(unit) ** (2 / power) * (half_width, half_height)
    return np.asarray(outline + np.array([x, y]), np.float64)


def stroke(path: Points, width: float) -> Points:
    """The outline of a line of this width along the path, with square ends."""
    ahead = np.empty_like(path)
    ahead[1:-1], ahead[0], ahead[-1] = path[2:] - path[:-2], path[1] - path[0], path[-1] - path[-2]
    across = np.stack([-ahead[:, 1], ahead[:, 0]], -1)
    across *= width / 2 / (np.linalg.norm(across, axis=1, keepdims=True) + 1e-9)
    return np.concatenate([path + across, (path - across)[::-1]])


def smooth(path: Points, *, closed: bool = True, steps: int = 5) -> Points:
    """A Catmull-Rom curve through the points."""
    ends = np.concatenate([path[-1:], path, path[:2]]) if closed else np.concatenate([path[:1], path, path[-1:]])
    a, b, c, d = ends[:-3, None], ends[1:-2, None], ends[2:-1, None], ends[3:, None]
    t = (np.arange(steps) / steps)[None, :, None]
    curve = 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
    found = curve.reshape(-1, 2)
    return found if closed else np.concatenate([found, path[-1:]])


def mirrored(right: Points) -> Points:
    """A closed outline from its right half, given from top to bottom."""
    return np.concatenate([right, (right * (-1, 1))[::-1]])


def turned(path: Points, radians: float, x: float = 0.0, y: float = 0.0) -> Points:
    """Turned clockwise about (x, y)."""
    sin, cos = math.sin(radians), math.cos(radians)
    return np.asarray((path - (x, y)) @ np.array([[cos, sin], [-sin, cos]]) + (x, y), np.float64)


def ring(outer: Points, inner: Points) -> Points:
    """What lies between two closed outlines of the same sense, as one outline."""
    return np.concatenate([outer, outer[:1], inner[:1], inner[::-1]])
