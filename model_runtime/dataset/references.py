"""Stage 1, second half: for everybody in a clip, pictures of the same person that share nothing else with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_runtime.dataset.faces import same_person
from model_runtime.dataset.films import encode_arrays
from model_runtime.dataset.pool import Face, Pool
from model_runtime.dataset.shard import Sample, as_json
from model_runtime.dataset.shelf import Record
from model_runtime.dataset.tally import Tally
from model_runtime.dataset.workshop import Tick, Unit, Workshop
from schemas.dataset import Rules, Step
from schemas.digest import digest

VERSION = 1
NEARLY = 0.15
"""Who is less alike than that below the threshold is not even looked at: most of a pool is somebody else."""


def units(workshop: Workshop) -> list[Unit]:
    """One shard for each of stage 0. The whole pool decides each of them.

    Raises:
        DamagedShard: a step before is not finished.
    """
    faces = workshop.records(Step.FACES)
    settings = {
        "same_person": same_person(workshop),
        **workshop.order.rules.model_dump(
            include={"proposals", "references", "same_picture", "differ", "alike", "turn_deg"}, mode="json"
        ),
    }
    whole = digest([record.sha256 for record in faces])
    pools: list[Pool] = []

    def pool() -> Pool:
        if not pools:
            pools.append(Pool(workshop.shelf(Step.FACES), faces))
        return pools[0]

    found = []
    for record in workshop.records(Step.CLIPS):
        recipe = {
            "step": Step.REFERENCES,
            "version": VERSION,
            "settings": settings,
            "adapters": [workshop.team.embedder.about.as_list()],
            "input": {"clips": record.sha256, "faces": whole},
        }
        found.append(Unit(recipe=recipe, samples=partial(_samples, workshop, record, pool)))
    return found


def _samples(workshop: Workshop, record: Record, pool: Any, tally: Tally, tick: Tick) -> Iterator[Sample]:
    faces: Pool = pool()
    for done, sample in enumerate(workshop.shelf(Step.CLIPS).read(record)):
        people = faces.people(sample.key)
        if people:
            tally.came += 1
            kept = [_retrieved(workshop, faces, people, person, tally.looked) for person in people]
            if all(kept):
                yield _with_references(faces, sample, people, kept)
            else:
                tally.dropped["no reference"] += 1
        tick(done + 1, record.tally.kept)


def _retrieved(
    workshop: Workshop, pool: Pool, people: list[Face], person: Face, looked: Counter[str]
) -> list[tuple[float, Face]]:
    """Nearest first: proposed, filtered, verified."""
    rules, least = workshop.order.rules, same_person(workshop)
    kept: list[tuple[float, Face]] = []
    for cosine, face in pool.nearest(person, rules.proposals, least - NEARLY):
        others = [other for other in people if other is not person]
        if cosine < least or any(float(other.vector @ face.vector) > cosine for other in others):
            verdict = "another person"
        else:
            verdict = _sameness(rules, person, face)
        if not verdict and len(kept) == rules.references:
            verdict = "more than needed"
        looked[f"pictures: {verdict or 'kept'}"] += 1
        if not verdict:
            kept.append((cosine, face))
    return kept


def _sameness(rules: Rules, person: Face, face: Face) -> str:
    """Why a picture of the same person is no reference; empty if it is one."""
    if _closest(person.thumbnails, face.thumbnails, _difference) <= rules.same_picture:
        return "same picture"
    for what in rules.differ:
        if what == "pose":
            if _closest(person.poses, face.poses, _turn) < rules.turn_deg:
                return "same pose"
        elif -_closest(getattr(person, what), getattr(face, what), _unlikeness) >= rules.alike:
            return f"same {what}"
    return ""


def _closest(first: NDArray[Any], second: NDArray[Any], distance: Any) -> float:
    """The smallest distance between a row of one and a row of the other; infinite where nothing was measured."""
    rows, others = (table[~np.isnan(table).any(1)].astype(np.float32) for table in (first, second))
    if not len(rows) or not len(others):
        return float("inf")
    return min(float(distance(rows, other).min()) for other in others)


def _difference(rows: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(np.abs(rows - other).mean(1))


def _turn(rows: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(np.abs(rows - other).max(1))


def _unlikeness(rows: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.linalg.norm(rows, axis=1) * np.linalg.norm(other)
    return np.asarray(-(rows @ other) / np.maximum(lengths, 1e-9))


def _with_references(pool: Pool, sample: Sample, people: list[Face], kept: list[list[tuple[float, Face]]]) -> Sample:
    files = dict(sample.files)
    said: list[dict[str, Any]] = []
    for place, found in enumerate(kept):
        for cosine, face in found:
            name = f"ref{len(said)}.png"
            files[name] = pool.picture(face)
            said.append({"file": name, "person": place, "similarity": round(cosine, 4), "from": face.key})
    files["json"] = as_json({**sample.facts, "people": len(people), "references": said})
    files["faces.npz"] = encode_arrays(
        {"frames": people[0].frames, "boxes": np.stack([person.boxes for person in people])}
    )
    return Sample(key=sample.key, files=files)
