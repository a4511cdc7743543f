"""Before the reader judges anything it must read true frames: a number for each thing, on clips that it never saw."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import numpy as np
import torch

from model_runtime.evaluation import sync
from model_runtime.evaluation.attributes import EVERY, SEEN_IN_TIME
from model_runtime.evaluation.identification import is_recognised
from model_runtime.evaluation.metrics import TRACKS
from model_runtime.evaluation.reader import Reader, Reading
from model_runtime.evaluation.scoring import loudest_mouth, right_answers, sharing
from model_runtime.training.world.clip import Clip
from model_runtime.training.world.identity import Split
from model_runtime.training.world.world import World
from schemas.evaluation import Gauge

NEEDED: dict[str, float] = (
    {name: 0.95 if name in SEEN_IN_TIME else 0.97 for name in EVERY}
    | {"opening": 0.95, "width": 0.90}
    | {"of 20": 0.98, "speaker": 0.97}
)
"""Share of right answers; of the mouth's tracks the mean correlation over clips."""

Progress = Callable[[int, int], None]


def gauges(reader: Reader, world: World, *, clips: int, told: Progress) -> dict[str, Gauge]:
    """Measure the reader on true clips of a world that shows one person only, or two only."""
    drawn = itertools.islice(world.clips(Split.VAL), clips)
    answers: dict[str, list[float]] = {}
    for done, clip in enumerate(drawn, start=1):
        readings = reader.read(torch.from_numpy(clip.frames), people=len(clip.recipe.identities))
        for name, found in _answers(world, readings, clip):
            answers.setdefault(name, []).append(found)
        told(done, clips)
    return {name: _gauge(name, found) for name, found in answers.items()}


def _answers(world: World, readings: list[Reading], clip: Clip) -> Iterator[tuple[str, float]]:
    for place, reading in enumerate(sharing(readings)):
        yield from right_answers(reading, clip, place).items()
        yield "of 20", is_recognised(world, reading, clip, place)
    speaker = clip.recipe.scene.speaker
    for track in TRACKS:
        r = sync.correlation(np.asarray(getattr(readings[speaker], track)), getattr(clip.speech, track))
        if r is not None:
            yield track, r
    if len(readings) > 1:
        yield "speaker", loudest_mouth(readings) == speaker


def _gauge(name: str, found: list[float]) -> Gauge:
    return Gauge(needed=NEEDED[name], reached=float(np.mean(found)), clips=len(found))
