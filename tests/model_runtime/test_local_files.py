"""The worker's local files: the scratch folder and the cache of inputs."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import BinaryIO

import pytest

from model_runtime.inputs import InputCache, Prefetcher
from model_runtime.scratch import Scratch
from schemas.digest import sha256_hex
from schemas.errors import Corrupted, NotFound
from schemas.object_ref import ObjectRef
from storage.objects.memory import MemoryStore
from tests.support.requests import make_job, make_request


class CountingStore(MemoryStore):
    """A memory store that remembers what was read."""

    def __init__(self) -> None:
        super().__init__()
        self.reads: list[str] = []

    def open(self, key: str) -> BinaryIO:
        self.reads.append(key)
        return super().open(key)


def put(store: MemoryStore, data: bytes) -> ObjectRef:
    key = f"inputs/{sha256_hex(data)}"
    store.put_bytes(key, data, media_type="image/png")
    return ObjectRef(key=key, sha256=sha256_hex(data), size=len(data))


@pytest.fixture
def store() -> CountingStore:
    return CountingStore()


def test_inputs_are_fetched_once_and_in_order(tmp_path: Path, store: CountingStore) -> None:
    """The request's order is kept, the same content is one file, and a second clip reads nothing."""
    first, second, voice = (put(store, data) for data in (b"one", b"two", b"voice"))
    cache = InputCache(tmp_path, store, max_bytes=100)
    request = make_request(images=(second, first, second), speech=voice)
    found = cache.fetch(request)
    assert [path.read_bytes() for path in found.images] == [b"two", b"one", b"two"]
    assert found.speech is not None
    assert found.speech.read_bytes() == b"voice"
    assert cache.fetch(request) == found
    assert len(store.reads) == 3


def test_the_cache_stays_within_its_bound(tmp_path: Path, store: CountingStore) -> None:
    """The least recently used files go, never those of the clip under way."""
    refs = [put(store, bytes([number]) * 40) for number in range(4)]
    cache = InputCache(tmp_path, store, max_bytes=100)
    for ref in refs:
        cache.fetch(make_request(images=(ref,)))
    assert {path.name for path in tmp_path.iterdir()} == {ref.sha256 for ref in refs[2:]}
    found = cache.fetch(make_request(images=tuple(refs)))
    assert all(path.is_file() for path in found.images)
    cache.clear()
    assert all(path.is_file() for path in found.images)


def test_damaged_or_missing_inputs_are_never_handed_out(tmp_path: Path, store: CountingStore) -> None:
    """What came must be what was put."""
    ref = put(store, b"good")
    store.put_bytes(ref.key, b"evil", media_type="image/png")
    cache = InputCache(tmp_path, store, max_bytes=100)
    with pytest.raises(Corrupted):
        cache.fetch(make_request(images=(ref,)))
    store.delete(ref.key)
    with pytest.raises(NotFound):
        cache.fetch(make_request(images=(ref,)))
    assert list(tmp_path.iterdir()) == []


def test_prefetching_warms_the_cache(tmp_path: Path, store: CountingStore) -> None:
    """The next job's inputs are there before it is leased."""
    ref = put(store, b"next")
    cache = InputCache(tmp_path, store, max_bytes=100)
    prefetcher = Prefetcher(cache, lambda: make_job(images=(ref,)))
    prefetcher.look_ahead()
    prefetcher.join(10)
    assert store.reads == [ref.key]
    cache.fetch(make_request(images=(ref,)))
    assert store.reads == [ref.key]


def test_a_failed_prefetch_harms_nobody(tmp_path: Path, store: CountingStore) -> None:
    """The fetch step meets the same trouble later and acts on it."""
    ref = put(store, b"gone")
    store.delete(ref.key)
    prefetcher = Prefetcher(InputCache(tmp_path, store, max_bytes=100), lambda: make_job(images=(ref,)))
    prefetcher.look_ahead()
    prefetcher.join(10)
    assert list(tmp_path.iterdir()) == []


def test_two_threads_fetch_an_input_once(tmp_path: Path, store: CountingStore) -> None:
    """A prefetch under way is waited for, not repeated."""
    ref = put(store, b"shared" * 1000)
    cache = InputCache(tmp_path, store, max_bytes=10_000)
    threads = [threading.Thread(target=cache.ensure, args=(ref,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.reads == [ref.key]


def test_a_scratch_folder_goes_with_its_worker(tmp_path: Path) -> None:
    """Nothing is left after a worker's own end."""
    with Scratch(tmp_path) as scratch:
        scratch.clip("a").write_bytes(b"clip")
        assert scratch.inputs.is_dir()
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_worker_left_is_swept(tmp_path: Path) -> None:
    """The next worker removes the folders of dead ones and leaves those of living ones alone."""
    died = (
        "import os, sys; from pathlib import Path; from model_runtime.scratch import Scratch\n"
        "scratch = Scratch(Path(sys.argv[1])).__enter__(); scratch.clip('x').write_bytes(b'1'); os._exit(9)"
    )
    with Scratch(tmp_path) as living:
        subprocess.run([sys.executable, "-c", died, str(tmp_path)], check=False)
        assert len(list(tmp_path.iterdir())) == 2
        with Scratch(tmp_path) as young:
            assert {path.name for path in tmp_path.iterdir()} == {living.folder.name, young.folder.name}
