"""A worker's local copies of inputs: by content hash, verified when they come, bounded in size."""

from __future__ import annotations

import threading
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from pathlib import Path

from model_runtime import log
from model_runtime.engine import LocalInputs
from model_runtime.machine import Background, Machine
from schemas.job import RenderJob, RenderRequest
from schemas.object_ref import ObjectRef
from storage.objects.protocol import ObjectStore
from storage.objects.verified import get_verified


class InputCache:
    """Safe to use from the main loop and from a prefetching thread at once."""

    def __init__(self, folder: Path, store: ObjectStore, *, max_bytes: int) -> None:
        self._folder = folder
        self._store = store
        self._max_bytes = max_bytes
        self._sizes: OrderedDict[str, int] = OrderedDict()
        """By SHA-256, least recently used first."""
        self._in_use: frozenset[str] = frozenset()
        self._lock = threading.Lock()
        self._coming: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def fetch(self, request: RenderRequest) -> LocalInputs:
        """All inputs of a request as local files; they stay until the next call.

        Raises:
            NotFound: an input is gone from the store.
            Corrupted: what came is not what was put.
            Retryable: the store is away.
        """
        refs = _refs(request)
        with self._lock:
            self._in_use = frozenset(ref.sha256 for ref in refs)
        paths = {ref.sha256: self.ensure(ref) for ref in refs}
        self._trim()
        return LocalInputs(
            images=tuple(paths[image.sha256] for image in request.images),
            speech=paths[request.speech.sha256] if request.speech else None,
        )

    def ensure(self, ref: ObjectRef) -> Path:
        """The local file of one object; fetched once, even when two threads want it. Raises as `fetch`."""
        path = self._folder / ref.sha256
        with self._lock:
            coming = self._coming[ref.sha256]
        with coming:
            if ref.sha256 not in self._sizes or not path.is_file():
                get_verified(self._store, ref, path)
            with self._lock:
                self._sizes[ref.sha256] = ref.size
                self._sizes.move_to_end(ref.sha256)
        return path

    def clear(self) -> None:
        """Drop everything that is not in use: the disk is full."""
        self._trim(max_bytes=0)

    def _trim(self, max_bytes: int | None = None) -> None:
        limit = self._max_bytes if max_bytes is None else max_bytes
        with self._lock:
            total = sum(self._sizes.values())
            for sha256 in [key for key in self._sizes if key not in self._in_use]:
                if total <= limit:
                    return
                total -= self._sizes.pop(sha256)
                self._coming.pop(sha256, None)
                (self._folder / sha256).unlink(missing_ok=True)


def _refs(request: RenderRequest) -> tuple[ObjectRef, ...]:
    return (*request.images, *((request.speech,) if request.speech else ()))


class Prefetcher:
    """Fetches the inputs of the job that will probably come next, while this one is rendered. Never leases it."""

    def __init__(
        self, cache: InputCache, peek: Callable[[], RenderJob | None], *, machine: Machine | None = None
    ) -> None:
        self._cache = cache
        self._peek = peek
        self._background = (machine or Machine()).background
        self._thread: Background | None = None

    def look_ahead(self) -> None:
        """Begin in the background, unless the last look is still under way."""
        if self._thread is None or not self._thread.is_alive():
            self._thread = self._background(self._run, "prefetch")
            self._thread.start()

    def join(self, timeout_s: float) -> None:
        if self._thread:
            self._thread.join(timeout_s)

    def _run(self) -> None:
        try:
            job = self._peek()
            for ref in _refs(job.request) if job else ():
                self._cache.ensure(ref)
        except Exception as error:  # noqa: BLE001 - the fetch step meets the same trouble and acts on it
            log.prefetch_failed(error)
