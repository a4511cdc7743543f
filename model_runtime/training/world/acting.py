"""How heads move, eyes blink and the camera goes: all in units and frames, nothing drawn."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model_runtime.training.world.speech import FPS
from model_runtime.training.world.vocabulary import Camera, Motion

Floats = NDArray[np.float64]

ZOOM = 1.24
"""How much larger a zoom's near end is."""
PAN = 5.0
"""Units that a pan goes to either side of the middle."""


@dataclass(frozen=True)
class Acting:
    """One head's movement; each [frames] or [frames, 2]."""

    shift: Floats
    """Of the whole head, units."""
    roll: Floats
    """About the neck, radians, clockwise."""
    turn: Floats
    """Yaw and pitch, as how many units the nearest part of the face moves."""
    lids: Floats
    """1 open to 0 shut."""
    gaze: tuple[float, float]


def act(motion: Motion, frames: int, rng: np.random.Generator) -> Acting:
    """The motion asked for, about twice a second's two thirds, over a head that is never quite still."""
    time = np.arange(frames) / FPS
    # It starts near rest, either way: the first frame says little of what comes.
    start = rng.uniform(-0.4, 0.4) + math.pi * rng.integers(2)
    wave = np.sin(2 * math.pi * rng.uniform(1.35, 1.75) * time + start)
    strength = float(rng.uniform(0.85, 1.1))
    drift = rng.uniform(0, 2 * math.pi, 4)[:, None] + 2 * math.pi * rng.uniform(0.2, 0.4, 4)[:, None] * time
    shift, turn = 0.3 * np.sin(drift[:2]).T, 0.35 * np.sin(drift[2:]).T
    roll = np.full(frames, float(rng.uniform(-0.04, 0.04)))
    swing = strength * wave
    if motion is Motion.NOD:
        turn[:, 1] += 2.7 * swing
        shift[:, 1] += 1.7 * swing
    elif motion is Motion.SHAKE:
        turn[:, 0] += 3.6 * swing
        shift[:, 0] += 1.5 * swing
    elif motion is Motion.TILT:
        roll += 0.24 * swing
    gaze = (float(rng.uniform(-0.35, 0.35)), float(rng.uniform(-0.2, 0.3)))
    return Acting(shift=shift, roll=roll, turn=turn, lids=_blinks(frames, rng), gaze=gaze)


def pose(rng: np.random.Generator) -> Acting:
    """One frame of somebody who looks this way or that: for a reference picture."""
    return Acting(
        shift=rng.uniform(-1, 1, (1, 2)),
        roll=rng.uniform(-0.16, 0.16, 1),
        turn=rng.uniform((-2.6, -1.6), (2.6, 1.6), (1, 2)),
        lids=np.ones(1),
        gaze=(float(rng.uniform(-0.7, 0.7)), float(rng.uniform(-0.3, 0.3))),
    )


def _blinks(frames: int, rng: np.random.Generator) -> Floats:
    lids = np.ones(frames)
    at = rng.uniform(-0.5, 4.0)
    while at * FPS < frames:
        first = round(at * FPS)
        for k, lid in enumerate((0.5, 0.05, 0.05, 0.6)):
            if 0 <= first + k < frames:
                lids[first + k] = lid
        at += rng.uniform(2.0, 5.0)
    return lids


def views(camera: Camera, frames: int) -> Floats:
    """What the camera shows, [frames, 3]: the middle's x and y in units, and how much larger than life.

    The whole way takes the whole clip, gently begun and ended, whatever its length.
    """
    way = np.linspace(0, 1, frames) if frames > 1 else np.zeros(1)
    way = way + 0.35 * (way * way * (3 - 2 * way) - way)
    seen = np.zeros((frames, 3))
    seen[:, 2] = 1.0
    if camera in {Camera.ZOOM_IN, Camera.ZOOM_OUT}:
        near = way if camera is Camera.ZOOM_IN else 1 - way
        seen[:, 2] = ZOOM**near
        seen[:, 1] = -1.5 * near
    elif camera in {Camera.PAN_LEFT, Camera.PAN_RIGHT}:
        seen[:, 0] = PAN * (2 * way - 1) * (1 if camera is Camera.PAN_RIGHT else -1)
    return seen
