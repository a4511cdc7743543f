"""Stage 1, first half: who is seen in each clip and in each picture of the pool, and how."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from media.picture import load_picture
from media.sandbox import Sandbox
from model_runtime.dataset.films import encode_arrays, encode_picture, film_of
from model_runtime.dataset.seams import Box, Person, Picture, Pixels, Truth, Vector
from model_runtime.dataset.shard import Sample, as_json
from model_runtime.dataset.shelf import Record
from model_runtime.dataset.sources import Source, SourceFolder, grouped, is_unchanged
from model_runtime.dataset.tally import Tally
from model_runtime.dataset.workshop import Tick, Unit, Workshop
from model_runtime.dataset.world_clips import WorldClips
from schemas.dataset import FolderSource, Step, WorldSource
from schemas.errors import InvalidMedia, Retryable
from schemas.settings import Limits

VERSION = 1
PICTURES = (".png", ".jpg", ".jpeg", ".webp")
THUMBNAIL = 16


def units(workshop: Workshop) -> list[Unit]:
    """One shard for each of stage 0, then those of the pictures.

    Raises:
        InvalidInput: the folder of pictures is missing or holds none.
        DamagedShard: stage 0 is not finished.
    """
    found = [_clip_unit(workshop, record) for record in workshop.records(Step.CLIPS)]
    source = workshop.order.source
    if isinstance(source, WorldSource):
        return [*found, *_world_units(workshop, source)]
    return [*found, *_folder_units(workshop, source)] if source.pictures else found


def _recipe(workshop: Workshop, settings: dict[str, Any], given: object) -> dict[str, Any]:
    team = workshop.team
    return {
        "step": Step.FACES,
        "version": VERSION,
        "settings": settings,
        "adapters": [team.detector.about.as_list(), team.embedder.about.as_list()],
        "input": given,
    }


# -- clips -------------------------------------------------------------------------------------------------------------


def _clip_unit(workshop: Workshop, record: Record) -> Unit:
    rules = workshop.order.rules
    settings = {
        "sparse_every": rules.sparse_every,
        "most_people": rules.most_people,
        "seen_share": rules.seen_share,
        "same_person": same_person(workshop),
    }
    recipe = _recipe(workshop, settings, {"clips": record.sha256})
    return Unit(recipe=recipe, samples=partial(_clip_samples, workshop, record))


def same_person(workshop: Workshop) -> float:
    asked = workshop.order.rules.same_person
    return workshop.team.embedder.same_person if asked is None else asked


def _clip_samples(workshop: Workshop, record: Record, tally: Tally, tick: Tick) -> Iterator[Sample]:
    rules = workshop.order.rules
    for done, sample in enumerate(workshop.shelf(Step.CLIPS).read(record)):
        tally.came += 1
        film = film_of(sample, workshop.scratch)
        at = range(0, len(film.frames), rules.sparse_every)
        shown = [Picture(pixels=film.frames[k], truth=_truth_at(film.truth, k)) for k in at]
        tracks = _tracked(workshop, shown)
        people = [track for track in tracks if len(track.seen) >= rules.seen_share * len(shown)]
        people.sort(key=lambda track: track.middle)
        tally.looked["faces"] += sum(len(track.seen) for track in tracks)
        if not people:
            tally.dropped["nobody seen"] += 1
        elif len(people) > rules.most_people:
            tally.dropped["too many people"] += 1
        else:
            yield _sample(sample.key, "clip", people, shown, list(at))
        tick(done + 1, record.tally.kept)


@dataclass(kw_only=True)
class _Track:
    """One person through the sparse frames."""

    seen: dict[int, Person] = field(default_factory=dict)
    """By number of the sparse frame."""
    vectors: list[Vector] = field(default_factory=list)

    @property
    def vector(self) -> Vector:
        total = np.sum(self.vectors, axis=0)
        return np.asarray(total / np.linalg.norm(total), np.float32)

    @property
    def middle(self) -> float:
        return float(np.mean([person.face.left + person.face.right for person in self.seen.values()]))

    @property
    def best(self) -> int:
        """The sparse frame with the largest face."""
        return max(self.seen, key=lambda k: (self.seen[k].face.area * self.seen[k].score, -k))


def _tracked(workshop: Workshop, shown: Sequence[Picture]) -> list[_Track]:
    """Faces of one person are put together by their embeddings; two of one frame are never one person."""
    tracks: list[_Track] = []
    least = same_person(workshop)
    for number, picture in enumerate(shown):
        for person in workshop.team.detector.people(picture):
            vector = workshop.team.embedder.embed(picture, person)
            free = [track for track in tracks if number not in track.seen and float(track.vector @ vector) >= least]
            track = max(free, key=lambda one: float(one.vector @ vector), default=None)
            if track is None:
                track = _Track()
                tracks.append(track)
            track.seen[number] = person
            track.vectors.append(vector)
    return tracks


def _truth_at(truth: Truth | None, frame: int) -> Truth | None:
    if truth is None:
        return None
    return {"people": truth["people"], "faces": truth["faces"][:, frame], "poses": truth["poses"][:, frame]}


# -- pictures of the pool ----------------------------------------------------------------------------------------------


def _world_units(workshop: Workshop, source: WorldSource) -> Iterator[Unit]:
    world = WorldClips(workshop.order)
    settings = {
        "world": world.world.digest,
        "split": source.split,
        "variants": source.variants,
        "sparse_every": workshop.order.rules.sparse_every,
        "spoils": source.spoils.model_dump(include={"same_picture", "same_clothes", "lookalike"}),
    }
    for first in range(0, source.clips, workshop.order.per_shard):
        indices = range(first, min(source.clips, first + workshop.order.per_shard))
        recipe = _recipe(workshop, settings, {"pictures": [first, len(indices)]})
        yield Unit(recipe=recipe, samples=partial(_world_samples, workshop, world, indices))


def _world_samples(
    workshop: Workshop, world: WorldClips, indices: Sequence[int], tally: Tally, tick: Tick
) -> Iterator[Sample]:
    for done, index in enumerate(indices):
        for one in world.pictures(index):
            truth = _truth_at({**one.facts, **one.arrays}, 0)
            yield from _picture_samples(workshop, one.key, Picture(pixels=one.pixels, truth=truth), tally)
        tick(done + 1, len(indices))


def _folder_units(workshop: Workshop, source: FolderSource) -> Iterator[Unit]:
    folder = SourceFolder(Path(source.pictures), PICTURES, workshop.root / ".pictures.json", "pictures")
    for group in grouped(folder.files(), workshop.order.per_shard):
        recipe = _recipe(workshop, {}, {"pictures": [[one.sha256, one.name] for one in group]})
        yield Unit(recipe=recipe, samples=partial(_folder_samples, workshop, group))


def _folder_samples(workshop: Workshop, group: Sequence[Source], tally: Tally, tick: Tick) -> Iterator[Sample]:
    seen = set[str]()
    with Sandbox(Limits()) as sandbox:
        for done, source in enumerate(group):
            if source.sha256 and source.sha256 in seen:
                tally.came += 1
                tally.dropped["same picture twice"] += 1
                continue
            seen.add(source.sha256)
            try:
                if source.sha256 and not is_unchanged(source):
                    raise Retryable(f"{source.name} changed while it was read", fix="run the same command again")
                sandbox.check_picture(source.path)
                pixels = np.asarray(load_picture(source.path))
            except InvalidMedia:
                tally.came += 1
                tally.dropped["unreadable picture"] += 1
            else:
                yield from _picture_samples(workshop, f"picture-{source.sha256[:24]}", Picture(pixels=pixels), tally)
            tick(done + 1, len(group))


def _picture_samples(workshop: Workshop, key: str, picture: Picture, tally: Tally) -> Iterator[Sample]:
    tally.came += 1
    people = _tracked(workshop, [picture])
    if people:
        people.sort(key=lambda track: track.middle)
        yield _sample(key, "picture", people, [picture], [0])
    else:
        tally.dropped["nobody in the picture"] += 1


# -- both --------------------------------------------------------------------------------------------------------------


def _sample(key: str, kind: str, people: Sequence[_Track], shown: Sequence[Picture], at: Sequence[int]) -> Sample:
    """One row per person and column per frame; NaN where somebody is not seen or was not measured."""
    files = {"json": as_json({"kind": kind, "people": len(people)})}
    arrays: dict[str, NDArray[Any]] = {
        "frames": np.asarray(at, np.int32),
        "vectors": np.stack([track.vector for track in people]),
        "boxes": _table(people, shown, lambda person, _: person.face, 4),
        "poses": _table(people, shown, lambda person, _: person.pose or (np.nan,) * 3, 3),
        "clothes": _table(people, shown, lambda person, _: person.clothes, None),
        "background": _table(people, shown, lambda person, _: person.background, None),
        "thumbnails": _table(people, shown, _thumbnail, THUMBNAIL * THUMBNAIL * 3).astype(np.float16),
    }
    for place, track in enumerate(people):
        files[f"face{place}.png"] = encode_picture(cropped(shown[track.best].pixels, track.seen[track.best].shown))
    return Sample(key=key, files={**files, "seen.npz": encode_arrays(arrays)})


def _table(people: Sequence[_Track], shown: Sequence[Picture], read: Any, width: int | None) -> NDArray[np.float32]:
    if width is None:
        width = len(read(next(iter(people[0].seen.values())), None))
    table = np.full((len(people), len(shown), width), np.nan, np.float32)
    for place, track in enumerate(people):
        for number, person in track.seen.items():
            table[place, number] = np.asarray(read(person, shown[number]), np.float32)
    return table


def _thumbnail(person: Person, picture: Picture) -> Iterable[float]:
    """The face with what is around it, small: two of one picture agree whatever it went through."""
    face = person.face
    wide, high = (face.right - face.left) / 2, (face.bottom - face.top) / 2
    around = Box(face.left - wide, face.top - high, face.right + wide, face.bottom + high)
    small = Image.fromarray(cropped(picture.pixels, around)).resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
    return np.asarray(small, np.float32).reshape(-1)


def cropped(pixels: Pixels, box: Box) -> Pixels:
    """What of the box lies inside the picture, at least one pixel."""
    height, width = pixels.shape[:2]
    left, top = max(0, min(width - 1, int(box.left))), max(0, min(height - 1, int(box.top)))
    right, bottom = max(left + 1, min(width, round(box.right))), max(top + 1, min(height, round(box.bottom)))
    return np.ascontiguousarray(pixels[top:bottom, left:right])
