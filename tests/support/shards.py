"""Shards that other processes can make without importing more than torch."""

from __future__ import annotations

import os
import sys
import time
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from model_runtime.training.cache.shards import Shards, make_shards

_LONG_S = 600.0


def numbers(number: int) -> dict[str, Tensor]:
    return {"number": torch.full((3,), number)}


def endless(folder: Path, number: int) -> dict[str, Tensor]:
    """Say who is at work on it, and never finish."""
    part = folder / f".{number}"
    part.write_text(str(os.getpid()))
    part.rename(folder / f"{number}.pid")
    time.sleep(_LONG_S)
    return numbers(number)


if __name__ == "__main__":
    place = Path(sys.argv[1])
    make_shards(Shards(place, {}), 2, partial(endless, place), processes=2)
