"""Places behind the drawn people of the quickstart."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from painting import WHITE, Canvas, Colour, mix, rgb
from PIL import Image


def gradient(canvas: Canvas, top: Colour, bottom: Colour) -> None:
    width, height = canvas.size
    ramp = np.linspace(0, 1, height)[:, None, None]
    rows = np.array(top)[None, None, :] * (1 - ramp) + np.array(bottom)[None, None, :] * ramp
    canvas.image.paste(Image.fromarray(np.broadcast_to(rows, (height, width, 3)).astype(np.uint8)))


def box(canvas: Canvas, x: float, y: float, w: float, h: float, colour: Colour, *, blur: float = 0.012) -> None:
    canvas.paint(canvas.shape([(x, y), (x + w, y), (x + w, y + h), (x, y + h)]), colour, blur=blur)


def library(canvas: Canvas) -> None:
    gradient(canvas, rgb("#6f8f8b"), rgb("#47625f"))
    spines = [rgb(c) for c in ("#c96f4a", "#e0b25b", "#3f5d73", "#8c4a55", "#d9cdb4", "#5b7c5a", "#39424e")]
    for level in range(5):
        y = -1.75 + level * 0.72
        x, k = -3.2, level * 3
        while x < 3.2:
            w, h = 0.09 + 0.05 * ((k * 7) % 4) / 3, 0.46 + 0.1 * ((k * 5) % 3) / 2
            if k % 9 != 4:
                box(canvas, x, y + 0.62 - h, w - 0.015, h, mix(spines[k % 7], rgb("#4c6461"), 0.35))
            x, k = x + w, k + 1
        box(canvas, -3.3, y + 0.62, 6.6, 0.07, rgb("#7a5b41"))


def workshop(canvas: Canvas) -> None:
    gradient(canvas, rgb("#e9dcc3"), rgb("#cdb892"))
    box(canvas, -3.2, 0.55, 6.4, 1.8, rgb("#a6794c"))
    box(canvas, -3.2, 0.55, 6.4, 0.08, rgb("#c39460"))
    box(canvas, -2.35, -1.3, 1.15, 1.25, rgb("#8fb7c9"))
    box(canvas, -2.35, -0.72, 1.15, 0.06, rgb("#f4ece0"))
    box(canvas, -1.8, -1.3, 0.06, 1.25, rgb("#f4ece0"))
    for k, colour in enumerate(("#5d7f6f", "#c65f4a", "#3f5d73", "#dba84e")):
        x = 1.05 + k * 0.34
        canvas.paint(canvas.stroke([(x, -1.3), (x, -0.55 + 0.12 * (k % 2))], 0.07), rgb("#7a5536"), blur=0.01)
        canvas.paint(canvas.oval(x, -0.42 + 0.12 * (k % 2), 0.12, 0.17), rgb(colour), blur=0.01)
    box(canvas, 0.9, -1.36, 1.7, 0.07, rgb("#8a643f"))


def stage(canvas: Canvas) -> None:
    gradient(canvas, rgb("#1b1d3f"), rgb("#38275c"))
    for x, lean, colour in ((-1.9, 1.3, "#7f6bff"), (0.3, 0.1, "#ffb36b"), (2.1, -1.4, "#4fc3ff")):
        beam = [(x - 0.06, -1.7), (x + 0.06, -1.7), (x + lean + 0.7, 2.0), (x + lean - 0.7, 2.0)]
        canvas.paint(canvas.shape(beam), rgb(colour), opacity=0.22, blur=0.09)
    for k in range(34):
        x, y = -2.9 + (k * 1.37) % 5.8, -1.4 + (k * 0.61) % 2.2
        canvas.paint(canvas.oval(x, y, 0.035, 0.035), rgb("#ffe6b8"), opacity=0.35, blur=0.012)


def city(canvas: Canvas) -> None:
    gradient(canvas, rgb("#f6b58d"), rgb("#8e9cc7"))
    for k in range(14):
        x = -3.2 + k * 0.47
        h = 0.7 + 0.8 * ((k * 7) % 5) / 4
        box(canvas, x, 1.4 - h, 0.4, h + 1, mix(rgb("#5a6592"), rgb("#c58f93"), 0.15 * (k % 3)), blur=0.02)
        for j in range(6):
            if (k * 5 + j * 3) % 4:
                box(canvas, x + 0.07 + 0.15 * (j % 2), 1.5 - h + 0.2 * (j // 2), 0.08, 0.1, rgb("#ffe2a8"), blur=0.015)
    canvas.paint(canvas.oval(1.5, -0.5, 0.42, 0.42), rgb("#ffe0b0"), opacity=0.8, blur=0.03)


def garden(canvas: Canvas) -> None:
    gradient(canvas, rgb("#cfe8f0"), rgb("#b7d59a"))
    chance = np.random.default_rng(7)
    for k in range(90):
        y = -0.35 + 1.9 * k / 90
        green = mix(rgb("#8fba72"), rgb("#3f7a55"), float(chance.uniform(0.1, 1)))
        leaf = canvas.oval(float(chance.uniform(-2.6, 2.6)), y, 0.3, 0.22)
        canvas.paint(leaf, green, opacity=0.85, blur=0.035)
    for k in range(40):
        petal = rgb(("#ff9fa8", "#fff1c9", "#f6c453")[k % 3])
        flower = canvas.oval(float(chance.uniform(-2.5, 2.5)), float(chance.uniform(-0.1, 1.5)), 0.06, 0.06)
        canvas.paint(flower, petal, opacity=0.9, blur=0.02)


def studio(canvas: Canvas) -> None:
    gradient(canvas, rgb("#d98e73"), rgb("#b4604f"))
    canvas.paint(canvas.oval(0.0, -0.1, 1.5, 1.5), rgb("#f0b793"), opacity=0.75, blur=0.3)


def kitchen(canvas: Canvas) -> None:
    gradient(canvas, rgb("#f3efe6"), rgb("#dfe5e1"))
    for row in range(6):
        for col in range(-8, 9):
            x, y = col * 0.42 + 0.21 * (row % 2), -1.6 + row * 0.3
            box(canvas, x, y, 0.4, 0.28, mix(rgb("#bcd4cf"), rgb("#a5c3c4"), ((row * 3 + col) % 4) / 3), blur=0.008)
    box(canvas, -3.2, 0.3, 6.4, 0.09, rgb("#b98a5a"))
    for k, colour in enumerate(("#d9694f", "#e9b44c", "#5c8a6b")):
        x = -2.15 + k * 0.42
        canvas.paint(canvas.oval(x, 0.1, 0.16, 0.2), rgb(colour), blur=0.012)
        canvas.paint(canvas.oval(x, -0.1, 0.13, 0.05), mix(rgb(colour), WHITE, 0.4), blur=0.012)
    box(canvas, 1.35, -0.35, 0.62, 0.65, rgb("#4d5b66"))
    canvas.paint(canvas.oval(1.66, -0.02, 0.2, 0.2), rgb("#2e3841"), blur=0.01)


SCENES: dict[str, Callable[[Canvas], None]] = {
    "library": library,
    "workshop": workshop,
    "stage": stage,
    "city": city,
    "garden": garden,
    "studio": studio,
    "kitchen": kitchen,
}
