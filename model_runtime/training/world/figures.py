"""What the world holds, counted and measured: the numbers of its page in the documentation."""

from __future__ import annotations

import time
from collections import Counter
from enum import StrEnum
from itertools import product

import numpy as np

from model_runtime.training.world import captions
from model_runtime.training.world.hearing import correlation_of_fit, log_mel, loudness
from model_runtime.training.world.identity import Split, split_of
from model_runtime.training.world.speech import speak
from model_runtime.training.world.streams import Streams
from model_runtime.training.world.vocabulary import IDENTITIES, IDENTITY, SCENES
from model_runtime.training.world.world import World


def combinations() -> Counter[Split]:
    """Identity combinations per split, all of them counted."""
    values: list[list[StrEnum]] = [list(kind) for kind in IDENTITY.values()]
    return Counter(split_of(dict(zip(IDENTITY, chosen, strict=True))) for chosen in product(*values))


def hearing(seed: int, clips: int = 200, frames: int = 50) -> dict[str, float]:
    """Pearson's r of the mouth with linear fits on loudness and on log-mel bands, on clips not fitted."""
    said = [speak(Streams((seed, index)), frames) for index in range(clips)]
    loud, bands = [loudness(one.audio) for one in said], [log_mel(one.audio) for one in said]
    tracks = {"opening": [one.opening for one in said], "lip width": [one.width for one in said]}
    return {
        f"{track}, from {heard}": correlation_of_fit(features, values)
        for (track, values), (heard, features) in product(tracks.items(), (("loudness", loud), ("the spectrum", bands)))
    }


def speed(world: World, clips: int = 80) -> float:
    """Frames per second of processor time, sound, masks and references included; the fastest of four fourths.

    The fastest, because what else the machine does slows even the processor's own time.
    """
    world.clip(0)
    rates = []
    for fourth in range(4):
        start = time.process_time()
        frames = sum(len(world.clip(index).frames) for index in range(fourth, clips, 4))
        rates.append(frames / (time.process_time() - start))
    return max(rates)


def sizes(world: World, clips: int = 40) -> dict[str, float]:
    """Median pixels per frame of what the losses weigh, in clips of one person."""
    drawn = [clip for clip in map(world.clip, range(clips)) if len(clip.recipe.identities) == 1]
    faces, mouths = (
        [int(np.median(mask.sum((1, 2)))) for clip in drawn for mask in (getattr(clip.masks, name),)]
        for name in ("face", "mouth")
    )
    return {"face": float(np.median(faces)), "mouth": float(np.median(mouths))}


def report(world: World) -> str:
    """All figures as a table in Markdown."""
    split = combinations()
    phrases = list(captions.phrases())
    words = {word for _, _, phrase in phrases for word in phrase.lower().split()}
    rows = [
        ("prompts of one person", f"{SCENES:,}"),
        ("identity combinations", f"{IDENTITIES:,}"),
        *((f"of which {name}", f"{split[name]:,}") for name in Split),
        ("phrases for values, words in them", f"{len(phrases)}, {len(words)}"),
        *((f"r of {name}", f"{r:.2f}") for name, r in hearing(world.seed).items()),
        *((f"median pixels of a {name}, {world.width}x{world.height}", f"{n:.0f}") for name, n in sizes(world).items()),
        (f"frames per second of one core, {world.width}x{world.height}", f"{speed(world):.0f}"),
    ]
    return "\n".join(["| figure | value |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)])
