"""Adapters for the procedural world. They read what is true of a sample instead of guessing it.

So what a stage drops is exactly what was spoilt, and a test can say how much that must be. On films, which carry no
truth, they refuse.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from model_runtime.dataset.films import PER_FRAME
from model_runtime.dataset.seams import About, Box, Film, Person, Picture, SyncScore, Truth, Vector
from model_runtime.dataset.world_clips import FEATURES
from model_runtime.training.world.vocabulary import Background, Clothes, Colour
from schemas.errors import InvalidInput

_JITTER = 0.5
"""Weight of the small proportions in an embedding: two of one combination are alike, and not one person."""
_MOST_LAG = 12


def _truth(truth: Truth | None) -> Truth:
    if truth is None:
        raise InvalidInput(
            "an exact adapter was asked about a film: it only knows the procedural world",
            fix="name the adapters of films, see docs/dataset.md",
        )
    return truth


class WorldCaptioner:
    """The caption that the clip was drawn from."""

    about = About(name="world", version="1")

    def caption(self, film: Film) -> str:
        return str(_truth(film.truth)["caption"])


class WorldDetector:
    """Faces where the masks have them."""

    about = About(name="world", version="1")

    def people(self, picture: Picture) -> tuple[Person, ...]:
        truth = _truth(picture.truth)
        height, width = picture.pixels.shape[:2]
        found = []
        for place, person in enumerate(truth["people"]):
            rows, columns = np.nonzero(truth["faces"][place])
            if not len(rows):
                continue
            yaw, pitch, roll = (float(angle) for angle in truth["poses"][place])
            found.append(
                Person(
                    face=Box(float(columns.min()), float(rows.min()), float(columns.max() + 1), float(rows.max() + 1)),
                    shown=Box(0, 0, width, height),
                    score=1.0,
                    pose=(yaw, pitch, roll),
                    clothes=np.concatenate(
                        [_one_of(list(Clothes), person["clothes"]), _one_of(list(Colour), person["colour"])]
                    ),
                    background=_one_of(["", *Background], person["background"]),
                    place=place,
                )
            )
        return tuple(found)


class WorldEmbedder:
    """One axis per value of every feature, and one for each small proportion."""

    about = About(name="world", version="1")
    same_person = 0.99
    """Two that differ in one feature of seven have less than 0.9, two of one combination rarely more than 0.99."""

    def embed(self, picture: Picture, person: Person) -> Vector:
        known = _truth(picture.truth)["people"][person.place]
        axes = [_one_of(values, known["identity"][name]) for name, values in FEATURES.items()]
        vector = np.concatenate([*axes, _JITTER * np.asarray(known["jitter"], np.float32)])
        return np.asarray(vector / np.linalg.norm(vector), np.float32)


class WorldScorer:
    """The lag at which the mouth that is shown and the mouth that is heard agree best, and how well."""

    about = About(name="world", version="1")
    min_confidence = 0.9

    def score(self, film: Film) -> SyncScore:
        truth = _truth(film.truth)
        shown, heard = (np.asarray(truth[name], np.float64) for name in ("shown", "heard"))
        most = min(_MOST_LAG, len(shown) // 3)
        by_lag = {lag: _correlation(shown, np.roll(heard, -lag)) for lag in range(-most, most + 1)}
        best = max(by_lag, key=lambda lag: (by_lag[lag], -abs(lag)))
        return SyncScore(best, round(by_lag[best], 4))


class WorldEnhancer:
    """The sound before noise was laid over it."""

    about = About(name="world", version="1")

    def enhance(self, sound: Vector, truth: Truth | None) -> Vector:
        clean = np.asarray(_truth(truth)["clean"], np.float32) / np.float32(32768)
        assert len(clean) == len(sound)
        assert len(clean) % PER_FRAME == 0
        return np.asarray(clean, np.float32)


def _one_of(values: list[str], value: str) -> Vector:
    vector = np.zeros(len(values), np.float32)
    vector[[str(one) for one in values].index(value)] = 1
    return vector


def _correlation(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    first, second = first - first.mean(), second - second.mean()
    size = float(np.linalg.norm(first) * np.linalg.norm(second))
    return float(first @ second) / size if size > 0 else 0.0
