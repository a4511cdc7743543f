"""A row of shards on disk, addressed by what they are made of: resumable, and each known by its digest.

Shard `n` holds the clips from `n * SHARD` on, whatever the row's length: a longer row keeps a shorter one's shards.
A shard counts once its note is there, which is written last; so a run that dies while writing leaves nothing half.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import torch
from safetensors.torch import load, save
from torch import Tensor

from schemas.errors import InvalidInput

SHARD = 128
"""Clips per shard."""

_LOOK_EVERY_S = 1.0

Tensors = dict[str, Tensor]
Make = Callable[[int], Tensors]
"""Shard number -> its tensors; runs in a process of its own, so it is picklable."""
OnShard = Callable[[int, int], None]
"""Told how many of how many shards are there."""


@dataclass(frozen=True)
class Shards:
    """The shards of one content.

    Args:
        root: holds a folder per content.
        content: everything that decides the tensors; equal contents are equal folders.
    """

    root: Path
    content: Mapping[str, object]

    @property
    def key(self) -> str:
        """SHA-256 of the content."""
        return hashlib.sha256(json.dumps(dict(self.content), sort_keys=True).encode()).hexdigest()

    @property
    def folder(self) -> Path:
        return self.root / self.key[:16]

    def path(self, number: int) -> Path:
        return self.folder / f"shard-{number:05d}.safetensors"

    def _note(self, number: int) -> Path:
        return self.path(number).with_suffix(".json")

    def has(self, number: int) -> bool:
        """Is it written, and as long as it was? Cheap; `read` compares every byte."""
        try:
            note = json.loads(self._note(number).read_text(encoding="utf-8"))
            return bool(self.path(number).stat().st_size == note["bytes"])
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def write(self, number: int, tensors: Tensors) -> None:
        """Whole or not there."""
        self.folder.mkdir(parents=True, exist_ok=True)
        data = save({name: value.contiguous() for name, value in tensors.items()})
        _replace(self.path(number), data)
        note = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        _replace(self._note(number), (json.dumps(note) + "\n").encode())

    def read(self, number: int) -> Tensors:
        """A shard's tensors.

        Raises:
            InvalidInput: it is missing or is not, byte for byte, what was written.
        """
        try:
            note = json.loads(self._note(number).read_text(encoding="utf-8"))
            data = self.path(number).read_bytes()
            is_whole = hashlib.sha256(data).hexdigest() == note["sha256"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InvalidInput(f"shard {self.path(number)} cannot be read: {error}", fix=_AGAIN) from error
        if not is_whole:
            raise InvalidInput(f"shard {self.path(number)} is not what was written: its digest is another", fix=_AGAIN)
        return load(data)

    def damaged(self, count: int) -> list[int]:
        """Those of the first `count` that are there and are not what was written; reads every byte."""
        found = []
        for number in range(count):
            if self._note(number).exists():
                try:
                    self.read(number)
                except InvalidInput:
                    found.append(number)
        return found

    def discard(self, number: int) -> None:
        """Forget it; `make` writes it anew."""
        self._note(number).unlink(missing_ok=True)
        self.path(number).unlink(missing_ok=True)


_AGAIN = "run the same command with --repair: what is damaged is made again, all else is kept"


def shard_count(clips: int) -> int:
    """Shards that hold so many clips; the last one is filled up."""
    return -(-clips // SHARD)


def make_shards(shards: Shards, count: int, make: Make, *, processes: int = 1, on_shard: OnShard | None = None) -> None:
    """Make what is missing of the first `count` shards, several at a time; stopping loses only what is in the making.

    One process is this one; several are others, each with one thread.

    Raises:
        Whatever `make` raises, after the others in the making are written.
    """
    missing = [number for number in range(count) if not shards.has(number)]
    done = count - len(missing)
    if on_shard:
        on_shard(done, count)
    if processes == 1 or not missing:
        for number in missing:
            shards.write(number, make(number))
            done += 1
            if on_shard:
                on_shard(done, count)
        return
    # spawned: torch's threads do not survive a fork
    how_many, spawn = min(processes, len(missing)), get_context("spawn")
    with ProcessPoolExecutor(how_many, mp_context=spawn, initializer=_follow, initargs=(os.getpid(),)) as pool:
        waiting = [pool.submit(_one, shards, number, make) for number in missing]
        try:
            for future in as_completed(waiting):
                future.result()
                done += 1
                if on_shard:
                    on_shard(done, count)
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _follow(parent: int) -> None:
    """End soon after the parent, however it ended: a killed one tells nobody."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_LOOK_EVERY_S)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _one(shards: Shards, number: int, make: Make) -> None:
    torch.set_num_threads(1)
    shards.write(number, make(number))


def _replace(path: Path, data: bytes) -> None:
    part = path.with_name(f".{path.name}.{os.getpid()}")
    with part.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def pack_texts(texts: Sequence[str]) -> Tensors:
    """Texts as bytes and where each ends."""
    coded = [text.encode() for text in texts]
    ends = torch.tensor([len(piece) for piece in coded], dtype=torch.int64).cumsum(0)
    return {"text": torch.frombuffer(bytearray(b"".join(coded)), dtype=torch.uint8), "text_ends": ends}


def unpack_texts(tensors: Mapping[str, Tensor]) -> list[str]:
    """The way back."""
    data = tensors["text"].numpy().tobytes()
    ends = tensors["text_ends"].tolist()
    return [data[start:end].decode() for start, end in zip([0, *ends[:-1]], ends, strict=True)]
