"""One clip's scores: what was read of its frames, held against what is true of its recipe."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from model_runtime.evaluation import quality, sync
from model_runtime.evaluation.attributes import EVERY, OF_THE_SCENE, PROMPTED, SEEN_IN_TIME
from model_runtime.evaluation.identification import is_recognised
from model_runtime.evaluation.lessons import truth_of
from model_runtime.evaluation.metrics import OF_TWENTY, SPEAKER, TRACKS, family
from model_runtime.evaluation.outside import Box, Scorer, Shown
from model_runtime.evaluation.reader import Reader, Reading
from model_runtime.evaluation.suite import donor
from model_runtime.training.world.clip import Clip
from model_runtime.training.world.vocabulary import IDENTITY
from model_runtime.training.world.world import World
from schemas.evaluation import ClipScores, Gate, Tally

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Judge:
    """Scores clips of one world with one reader; reports only what the reader may judge."""

    world: World
    reader: Reader
    gate: Gate
    outside: tuple[Scorer, ...] = ()
    """Scores of the field that miss nothing."""

    def scores(self, frames: Pixels, true: Clip, *, frames_key: str) -> ClipScores:
        """`frames` uint8 [T, H, W, 3] against the clip that they should show."""
        people = len(true.recipe.identities)
        readings = self.reader.read(torch.from_numpy(frames), people=people)
        judged = {name for name in self.gate.gauges.get(people, {}) if self.gate.passes(name, people=people)}
        tallies = _attributes(readings, true, judged)
        if "of 20" in judged:
            tallies[OF_TWENTY] = self._recognised(readings, true)
        if "speaker" in judged:
            tallies[SPEAKER] = Tally(sum=float(loudest_mouth(readings) == true.recipe.scene.speaker), count=1)
        tallies |= self._outside(frames, true)
        heard, lags = self._heard(readings, true, judged)
        return ClipScores(
            index=true.recipe.index,
            people=people,
            frames_key=frames_key,
            tallies=tallies | heard | _quality(frames, true),
            lags=lags,
        )

    def _outside(self, frames: Pixels, true: Clip) -> dict[str, Tally]:
        shown = Shown(
            frames=frames,
            prompt=true.caption,
            audio=true.audio,
            references=true.references,
            faces=tuple(map(face_boxes, true.masks.faces)),
        )
        values = {name: value for scorer in self.outside for name, value in scorer.score(shown).items()}
        return {name: Tally(sum=value, count=1) for name, value in values.items()}

    def _recognised(self, readings: list[Reading], true: Clip) -> Tally:
        right = [is_recognised(self.world, reading, true, place) for place, reading in enumerate(readings)]
        return Tally(sum=sum(right), count=len(right))

    def _heard(
        self, readings: list[Reading], true: Clip, judged: Collection[str]
    ) -> tuple[dict[str, Tally], dict[str, tuple[float, ...]]]:
        """Correlations of the speaker's mouth with the speech, and with that of another clip."""
        reading = readings[true.recipe.scene.speaker]
        other = self.world.speech(donor(self.world, true.recipe))
        tallies: dict[str, Tally] = {}
        lags: dict[str, tuple[float, ...]] = {}
        for track in (track for track in TRACKS if track in judged):
            read = np.asarray(getattr(reading, track))
            spoken, elsewhere = (np.asarray(getattr(speech, track)) for speech in (true.speech, other))
            length = min(len(read), len(elsewhere))
            curve = sync.by_lag(read, spoken)
            if curve is not None:
                lags[track] = curve
                tallies[f"sync/{track} within a frame"] = Tally(sum=float(abs(sync.best_lag(curve)) <= 1), count=1)
            for name, r in (
                (f"sync/{track}", sync.correlation(read, spoken)),
                (f"sync/{track}, shuffled", sync.correlation(read[:length], elsewhere[:length])),
            ):
                if r is not None:
                    tallies[name] = Tally(sum=r, count=1)
        return tallies, lags


def face_boxes(mask: NDArray[np.bool_]) -> tuple[Box, ...]:
    """Around the pixels of a face, [T, H, W], in each frame; empty where a frame has none."""
    found = []
    for frame in mask:
        rows, columns = np.nonzero(frame.any(1))[0], np.nonzero(frame.any(0))[0]
        if not len(rows):
            return ()
        found.append((int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1))
    return tuple(found)


def right_answers(reading: Reading, true: Clip, place: int) -> dict[str, bool]:
    """For every attribute that this person's picture shows: is the likeliest value the true one?"""
    truth, role, identity = truth_of(true.recipe, place), true.recipe.scene.roles[place], true.recipe.identities[place]
    seen = set(PROMPTED) | identity.seen_with(role.hat)
    return {name: int(reading.attributes[name].argmax()) == truth[name] for name in EVERY if name in seen}


def _attributes(readings: list[Reading], true: Clip, judged: Collection[str]) -> dict[str, Tally]:
    """By attribute, and over those of a kind. What holds for the whole scene is read once, with everybody's eyes."""
    found: dict[str, list[bool]] = {}
    for place, reading in enumerate(sharing(readings)):
        for name, is_right in right_answers(reading, true, place).items():
            if name in judged and (place == 0 or name not in OF_THE_SCENE):
                found.setdefault(f"{family(name)}/{name}", []).append(is_right)
    static = [answer for name in PROMPTED if name not in SEEN_IN_TIME for answer in found.get(f"text/{name}", [])]
    text = [answer for name in PROMPTED for answer in found.get(f"text/{name}", [])]
    identity = [answer for name in IDENTITY for answer in found.get(f"identity/{name}", [])]
    found |= {"text/static": static, "text/all": text, "identity/all": identity}
    return {name: Tally(sum=sum(answers), count=len(answers)) for name, answers in found.items() if answers}


def sharing(readings: list[Reading]) -> list[Reading]:
    """The same readings, each with the mean of what all see of the scene."""
    if len(readings) == 1:
        return readings
    scene = {
        name: torch.stack([reading.attributes[name] for reading in readings]).clamp(min=1e-6).log().mean(0).softmax(-1)
        for name in OF_THE_SCENE
    }
    return [
        Reading(attributes=reading.attributes | scene, opening=reading.opening, width=reading.width)
        for reading in readings
    ]


def loudest_mouth(readings: list[Reading]) -> int:
    """Whose mouth moves more."""
    return max(range(len(readings)), key=lambda place: float(readings[place].opening.std(correction=0)))


def _quality(frames: Pixels, true: Clip) -> dict[str, Tally]:
    values = {
        "quality/PSNR": quality.psnr(frames, true.frames),
        "quality/PSNR of faces": quality.masked_psnr(frames, true.frames, true.masks.face),
        "quality/PSNR of mouths": quality.masked_psnr(frames, true.frames, true.masks.mouth),
        "quality/SSIM": quality.ssim(frames, true.frames),
        "quality/sharpness": quality.sharpness(frames, true.frames),
    }
    return {name: Tally(sum=value, count=1) for name, value in values.items() if value is not None}
