"""Frames and scores by content: what is there under its key is right, and is not made again."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Store:
    """A folder. Files appear whole, by a rename; one that cannot be read counts as not there."""

    root: Path

    def frames(self, key: str) -> Pixels | None:
        """uint8 [T, H, W, 3]."""
        try:
            # numpy leaves a file open that it cannot read.
            with self._path("frames", key, "npz").open("rb") as file, np.load(file, allow_pickle=False) as archive:
                return np.asarray(archive["frames"], np.uint8)
        except (OSError, ValueError, KeyError, zipfile.BadZipFile):
            return None

    def put_frames(self, key: str, frames: Pixels) -> None:
        self._put(self._path("frames", key, "npz"), lambda file: np.savez_compressed(file, frames=frames))

    def has_frames(self, key: str) -> bool:
        return self.frames(key) is not None

    def record(self, kind: str, key: str) -> Any:
        """JSON, or None."""
        try:
            return json.loads(self._path(kind, key, "json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None

    def put_record(self, kind: str, key: str, value: Any) -> Path:
        path = self._path(kind, key, "json")
        self._put(path, lambda file: file.write(json.dumps(value, allow_nan=False).encode()))
        return path

    def _path(self, kind: str, key: str, ending: str) -> Path:
        return self.root / kind / key[:2] / f"{key}.{ending}"

    @staticmethod
    def _put(path: Path, write: Callable[[IO[bytes]], object]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        work = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            with work.open("wb") as file:
                write(file)
            work.rename(path)
        finally:
            work.unlink(missing_ok=True)
