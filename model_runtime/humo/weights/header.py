"""The head of a safetensors file: what is in it, known without reading it (safetensors' format page)."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_runtime.humo.weights.remedy import BRING
from schemas.errors import InvalidInput

_LENGTH = struct.Struct("<Q")
_MAX_HEADER = 100 * 2**20
"""The format's own limit."""

BYTES = {"F64": 8, "I64": 8, "F32": 4, "I32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1, "U8": 1, "I8": 1}
"""Per element, of the types that checkpoints in circulation use."""


@dataclass(frozen=True, kw_only=True)
class TensorInfo:
    """One tensor as a header describes it."""

    file: Path
    dtype: str
    """The format's own name: F32, F16, BF16, ..."""
    shape: tuple[int, ...]


def read_header(path: Path) -> dict[str, TensorInfo]:
    """Names, types and shapes of a file's tensors; a few kilobytes are read.

    Raises:
        InvalidInput: the file is missing, no safetensors file, or shorter or longer than its head says.
    """
    try:
        with path.open("rb") as stream:
            size = path.stat().st_size
            head = stream.read(_LENGTH.size)
            if len(head) < _LENGTH.size:
                raise _damaged(path, f"{size} bytes are too few for a safetensors file")
            (length,) = _LENGTH.unpack(head)
            if length > min(_MAX_HEADER, size - _LENGTH.size):
                raise _damaged(path, f"its head claims {length} bytes, the file has {size}")
            text = stream.read(length)
    except FileNotFoundError:
        raise InvalidInput(f"{path} is missing", fix=BRING) from None
    try:
        entries: dict[str, Any] = json.loads(text)
        entries.pop("__metadata__", None)
        ends = [entry["data_offsets"][1] for entry in entries.values()]
        tensors = {
            name: TensorInfo(file=path, dtype=entry["dtype"], shape=tuple(entry["shape"]))
            for name, entry in entries.items()
        }
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise _damaged(path, f"its head does not parse: {error}") from error
    claimed = _LENGTH.size + length + max(ends, default=0)
    if claimed != size:
        raise _damaged(path, f"its head describes {claimed} bytes, the file has {size}")
    return tensors


def _damaged(path: Path, why: str) -> InvalidInput:
    return InvalidInput(f"{path} is damaged: {why}", fix=BRING)
