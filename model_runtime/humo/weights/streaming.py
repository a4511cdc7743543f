"""Tensors from disk, one shard after the other.

Files are mapped, not read: ranks of one host share the pages, and no more than one shard is mapped at a time, unless
its tensors are used as they lie on disk (in the same dtype, on the CPU).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor

from model_runtime.humo.weights.checkpoint import Checkpoint
from model_runtime.humo.weights.remedy import BRING
from schemas.errors import InvalidInput


def stream(checkpoint: Checkpoint) -> Iterator[tuple[str, Tensor]]:
    """Every tensor with its published name, shard by shard; drop each before asking for the next.

    Raises:
        InvalidInput: a shard cannot be mapped.
    """
    for path in checkpoint.files:
        names = [name for name, info in checkpoint.tensors.items() if info.file == path]
        yield from _from_shard(path, names)


def _from_shard(path: Path, names: list[str]) -> Iterator[tuple[str, Tensor]]:
    try:
        with safe_open(path, framework="pt", device="cpu") as shard:
            for name in names:
                yield name, shard.get_tensor(name)
    except (SafetensorError, OSError) as error:
        raise InvalidInput(f"{path} cannot be read: {error}", fix=BRING) from error
