"""Everybody who was seen in any clip or picture: where references are retrieved from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_runtime.dataset.films import decode_arrays
from model_runtime.dataset.seams import Vector
from model_runtime.dataset.shard import Where, index_of, read_at
from model_runtime.dataset.shelf import Record, Shelf


@dataclass(frozen=True, kw_only=True)
class Face:
    """Somebody in a clip or a picture; one row per frame that was looked at, NaN where nothing is known."""

    key: str
    """Of the clip or the picture."""
    place: int
    shard: str
    vector: Vector
    poses: NDArray[np.float32]
    clothes: NDArray[np.float32]
    background: NDArray[np.float32]
    thumbnails: NDArray[np.float16]
    frames: NDArray[np.int32]
    boxes: NDArray[np.float32]
    kind: str

    @property
    def file(self) -> str:
        """The ending of its picture in that shard."""
        return f"face{self.place}.png"


class Pool:
    """All faces of a step's shards, in memory: 4 KB each and more for those of clips."""

    def __init__(self, shelf: Shelf, records: Sequence[Record]) -> None:
        self._shelf = shelf
        self._where: dict[str, dict[str, Where]] = {}
        self.faces: list[Face] = []
        self._of_key: dict[str, list[Face]] = {}
        for record in records:
            for sample in shelf.read(record):
                for face in faces_of(sample.key, sample.facts["kind"], decode_arrays(sample.files["seen.npz"]), record):
                    self.faces.append(face)
                    self._of_key.setdefault(face.key, []).append(face)
        self._vectors = np.stack([face.vector for face in self.faces]) if self.faces else np.zeros((0, 1), np.float32)

    def people(self, key: str) -> list[Face]:
        """Those of one clip or picture, from left to right; none if it was dropped."""
        return self._of_key.get(key, [])

    def picture(self, face: Face) -> bytes:
        """The PNG that shows somebody, out of a shard that was checked when the pool was filled."""
        path = self._shelf.path(face.shard)
        if face.shard not in self._where:
            self._where[face.shard] = index_of(path)
        where = self._where[face.shard][face.key]
        return read_at(path, {face.file: where[face.file]})[face.file]

    def nearest(self, face: Face, count: int, least: float) -> list[tuple[float, Face]]:
        """The most alike of other clips and pictures, the best first, none below the cosine `least`."""
        if not len(self._vectors):
            return []
        cosines = self._vectors @ face.vector
        close = np.flatnonzero(cosines >= least)
        # By name where they are as near: sums differ in the last bit between machines.
        order = sorted(close, key=lambda k: (-round(float(cosines[k]), 5), self.faces[k].key, self.faces[k].place))
        found = [(float(cosines[k]), self.faces[k]) for k in order if self.faces[k].key != face.key]
        return found[:count]


def faces_of(key: str, kind: str, seen: dict[str, NDArray[Any]], record: Record) -> list[Face]:
    names = ("poses", "clothes", "background", "thumbnails", "boxes")
    return [
        Face(
            key=key,
            kind=kind,
            place=place,
            shard=record.name,
            vector=seen["vectors"][place],
            frames=seen["frames"],
            **{name: seen[name][place] for name in names},
        )
        for place in range(len(seen["vectors"]))
    ]
