"""An upload that is read back and verified, against the bare client's put, get and SHA-256."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from minio import Minio

from bench.bench import Bench
from bench.figure import Figure, Size, at_least
from bench.pairs import Sample, alternate, timed
from storage.objects.protocol import ObjectStore
from storage.objects.verified import put_verified
from tests.support.s3 import BUCKET, serve_rclone


@dataclass(frozen=True, kw_only=True)
class Object:
    name: str
    size: int
    pairs: int
    per_sample: int
    """Uploads per timed sample: single small ones are too short to time."""


OBJECTS = {
    Size.FULL: (
        Object(name="100kB", size=100_000, pairs=15, per_sample=20),
        Object(name="3MB", size=3_000_000, pairs=15, per_sample=5),
        Object(name="30MB", size=30_000_000, pairs=9, per_sample=1),
    ),
    Size.QUICK: (
        Object(name="100kB", size=100_000, pairs=5, per_sample=10),
        Object(name="3MB", size=3_000_000, pairs=5, per_sample=3),
    ),
    Size.TINY: (Object(name="1kB", size=1_000, pairs=1, per_sample=1),),
}


def run(bench: Bench) -> Iterator[Figure]:
    folder = bench.folder / "buckets"
    (folder / BUCKET).mkdir(parents=True)
    with serve_rclone(folder) as server:
        for thing in OBJECTS[bench.size]:
            yield _measure(bench.folder, thing, server.store(), server.client)


def _measure(folder: Path, thing: Object, store: ObjectStore, client: Minio) -> Figure:
    path = folder / f"upload-{thing.name}"
    path.write_bytes(random.Random(3).randbytes(thing.size))
    times = range(thing.per_sample)
    name = f"upload.{thing.name}"
    found = alternate(
        name,
        lambda number: _ours(store, path, [f"clips/{number + 1}-{n}.mp4" for n in times]),
        lambda number: _bare(client, path, [f"bare/{number + 1}-{n}.mp4" for n in times]),
        pairs=thing.pairs,
    )
    return Figure(
        name=name,
        value=1 / found.slowdown,
        unit="of the speed of the bare client",
        target=at_least(0.9),
        meaning="put_verified; bare: fput_object, get_object and SHA-256 with the minio client",
        parts={
            "ours_ms": 1e3 * found.ours_s / thing.per_sample,
            "bare_ms": 1e3 * found.bare_s / thing.per_sample,
            "cpu_ratio": found.cpu_slowdown,
        },
    )


def _ours(store: ObjectStore, path: Path, keys: list[str]) -> Sample:
    with timed() as sample:
        for key in keys:
            put_verified(store, key, path, media_type="video/mp4")
    return sample


def _bare(client: Minio, path: Path, keys: list[str]) -> Sample:
    with timed() as sample:
        for key in keys:
            client.fput_object(BUCKET, key, str(path), content_type="video/mp4")
            response = client.get_object(BUCKET, key)
            digest = hashlib.sha256()
            for block in response.stream(1 << 20):
                digest.update(block)
            response.close()
            response.release_conn()
            digest.hexdigest()
    return sample
