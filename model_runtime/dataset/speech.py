"""Stage 2: speech without what is not speech, and only where the lips fit it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from model_runtime.dataset.films import (
    PER_FRAME,
    decode_arrays,
    encode_arrays,
    encode_sound,
    film_of,
)
from model_runtime.dataset.seams import Vector
from model_runtime.dataset.shard import Sample, as_json
from model_runtime.dataset.shelf import Record
from model_runtime.dataset.tally import Tally
from model_runtime.dataset.workshop import Tick, Unit, Workshop
from schemas.dataset import Step

VERSION = 1


def units(workshop: Workshop) -> list[Unit]:
    """One shard for each of stage 1.

    Raises:
        DamagedShard: stage 1 is not finished.
    """
    team, rules = workshop.team, workshop.order.rules
    settings = {
        "quiet_dbfs": rules.quiet_dbfs,
        "max_offset": rules.max_offset,
        "min_confidence": _min_confidence(workshop),
    }
    found = []
    for record in workshop.records(Step.REFERENCES):
        recipe = {
            "step": Step.SPEECH,
            "version": VERSION,
            "settings": settings,
            "adapters": [team.enhancer.about.as_list(), team.scorer.about.as_list()],
            "input": {"references": record.sha256},
        }
        found.append(Unit(recipe=recipe, samples=partial(_samples, workshop, record)))
    return found


def _min_confidence(workshop: Workshop) -> float:
    asked = workshop.order.rules.min_confidence
    return workshop.team.scorer.min_confidence if asked is None else asked


def _samples(workshop: Workshop, record: Record, tally: Tally, tick: Tick) -> Iterator[Sample]:
    for done, sample in enumerate(workshop.shelf(Step.REFERENCES).read(record)):
        tally.came += 1
        spoken = _spoken(workshop, sample, tally)
        if spoken is not None:
            yield spoken
        tick(done + 1, record.tally.kept)


def _spoken(workshop: Workshop, sample: Sample, tally: Tally) -> Sample | None:
    """The sample with clean speech and its score, or None and the reason counted."""
    team, rules = workshop.team, workshop.order.rules
    film = film_of(sample, workshop.scratch)
    if film.sound is None:
        tally.dropped["no sound"] += 1
        return None
    sound = team.enhancer.enhance(film.sound, film.truth)
    if loudest_frame(sound) < rules.quiet_dbfs:
        tally.dropped["no speech"] += 1
        return None
    seen = decode_arrays(sample.files["faces.npz"])
    boxes = between(seen["boxes"], seen["frames"], len(film.frames))
    score = team.scorer.score(replace(film, sound=sound, boxes=boxes))
    if score.confidence < _min_confidence(workshop):
        tally.dropped["lips do not fit"] += 1
        return None
    if abs(score.offset) > rules.max_offset:
        tally.dropped["out of sync"] += 1
        return None
    facts = {**sample.facts, "sync": {"offset": score.offset, "confidence": round(score.confidence, 4)}}
    files = {**sample.files, "flac": encode_sound(sound), "json": as_json(facts)}
    if "truth.npz" in files:
        kept = decode_arrays(files["truth.npz"])
        kept.pop("clean")
        files["truth.npz"] = encode_arrays(kept)
    return Sample(key=sample.key, files=files)


def loudest_frame(sound: Vector) -> float:
    """RMS of the loudest 40 ms in dB, full scale 0."""
    frames = sound[: len(sound) // PER_FRAME * PER_FRAME].astype(np.float64).reshape(-1, PER_FRAME)
    return float(10 * np.log10((frames**2).mean(1).max(initial=0.0) + 1e-12))


def between(boxes: NDArray[np.float32], frames: NDArray[np.int32], count: int) -> NDArray[np.float32]:
    """Boxes [people, looked at, 4] to every frame [people, count, 4]: straight lines from one sight to the next."""
    found = np.zeros((len(boxes), count, 4), np.float32)
    for place, person in enumerate(boxes):
        known = ~np.isnan(person).any(1)
        for side in range(4):
            found[place, :, side] = np.interp(np.arange(count), frames[known], person[known, side])
    return found
