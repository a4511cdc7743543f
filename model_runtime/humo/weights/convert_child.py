"""The one place that unpickles: a published `.pth` to safetensors, in a process of its own.

Run as a file by `convert.py`, without the environment of whoever asked and with limits on time, memory and files.
`weights_only` lets torch rebuild tensors and nothing else; should it ever let more through, there is little here to
reach.
"""

from __future__ import annotations

import json
import struct
import sys
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import torch

NAMES = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"}


def main(paths: list[Path]) -> int:
    return next((code for pair in zip(paths[::2], paths[1::2], strict=True) if (code := convert(*pair))), 0)


def convert(source: Path, target: Path) -> int:
    try:
        # Files from before torch 1.6 are no archives and cannot be mapped.
        state = torch.load(source, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(source))
    except Exception as error:  # noqa: BLE001 - damaged and hostile files raise all sorts; each is a refusal
        return fail(source, f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}")
    if not isinstance(state, dict):
        return fail(source, f"it holds a {type(state).__name__}, expected names and tensors")
    tensors = {name: value for name, value in state.items() if isinstance(value, torch.Tensor) and _counts(name)}
    if not tensors or any(isinstance(state[name], dict) for name in state):
        return fail(source, f"it is no flat set of tensors: {', '.join(map(str, list(state)[:5]))}")
    odd = [f"{name} ({value.dtype})" for name, value in tensors.items() if value.dtype not in NAMES]
    if odd:
        return fail(source, f"tensors of types that are not converted: {', '.join(odd[:5])}")
    with target.open("wb") as stream:
        write(stream, tensors)
    return 0


def _counts(name: object) -> bool:
    """Batch normalisation's own counters, whole numbers, decide nothing once training is over."""
    return not str(name).endswith(".num_batches_tracked")


def fail(source: Path, reason: str) -> int:
    sys.stderr.write(f"{source.name}: {reason}")
    return 1


def write(stream: BinaryIO, tensors: dict[str, torch.Tensor]) -> None:
    """Head first, then tensor after tensor: safetensors' own writer would hold all of them at once."""
    names = sorted(tensors)
    head: dict[str, Any] = {}
    at = 0
    for name in names:
        tensor = tensors[name]
        end = at + tensor.numel() * tensor.element_size()
        head[name] = {"dtype": NAMES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [at, end]}
        at = end
    text = json.dumps(head, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    stream.write(struct.pack("<Q", len(text)))
    stream.write(text)
    for name in names:
        raw = tensors[name].detach().contiguous().flatten().view(torch.uint8)
        stream.write(raw.numpy().data)


if __name__ == "__main__":
    sys.exit(main([Path(name) for name in sys.argv[1:]]))
