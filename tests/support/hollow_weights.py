"""Checkpoints of any size that take no room: true heads, and bodies that are holes in the file."""

from __future__ import annotations

import json
import math
import os
import struct
from collections.abc import Mapping
from pathlib import Path

from model_runtime.humo.weights import blueprint
from model_runtime.humo.weights.layout import HumoModel
from model_runtime.humo.weights.lockfile import write_lock
from schemas.weights import LockedFile, WeightsLock
from tests.support import humo as golden

Shapes = Mapping[str, tuple[int, ...]]
WIDTH = {"F32": 4, "F16": 2, "BF16": 2}
LARGE_V3 = {
    "num_mel_bins": 128,
    "d_model": 1280,
    "encoder_layers": 32,
    "encoder_attention_heads": 20,
    "encoder_ffn_dim": 5120,
}
"""What of whisper-large-v3's settings decides its encoder's shapes."""


def write_hollow(path: Path, shapes: Shapes, dtype: str) -> None:
    """One safetensors file; all numbers in it are zero."""
    head, at = {}, 0
    for name, shape in shapes.items():
        end = at + math.prod(shape) * WIDTH[dtype]
        head[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, end]}
        at = end
    text = json.dumps(head).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack("<Q", len(text)) + text)
    os.truncate(path, path.stat().st_size + at)


def write_hollow_shards(index: Path, shapes: Shapes, dtype: str, *, count: int) -> None:
    """So many files of about the same number of tensors, and the index that names them."""
    names, weight_map = list(shapes), {}
    each = -(-len(names) // count)
    for number in range(count):
        file = f"humo-{number + 1:05d}-of-{count:05d}.safetensors"
        part = names[number * each : (number + 1) * each]
        write_hollow(index.parent / file, {name: shapes[name] for name in part}, dtype)
        weight_map.update(dict.fromkeys(part, file))
    index.write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))


def write_hollow_model(root: Path, model: HumoModel, transformer: str) -> None:
    """A published model with the names and shapes of the checkpoint manifests, and a lock that knows its sizes."""
    layout = model.layout
    settings = root / layout.speech_settings[0].local
    place = root / layout.transformer.local
    if place.suffix == ".json":
        place.parent.mkdir(parents=True, exist_ok=True)
        write_hollow_shards(place, golden.manifest(transformer), "BF16", count=7)
    else:
        write_hollow(place.with_suffix(".safetensors"), golden.manifest(transformer), "F32")
    write_hollow((root / layout.vae.local).with_suffix(".safetensors"), golden.manifest("vae"), "F32")
    write_hollow((root / layout.text.local).with_suffix(".safetensors"), golden.manifest("t5_umt5_xxl"), "BF16")
    settings.parent.mkdir(parents=True, exist_ok=True)
    settings.write_text(json.dumps(LARGE_V3))
    speech = blueprint.speech_encoder(settings, width=LARGE_V3["d_model"]).wanted
    # The published file holds the decoder too.
    write_hollow(root / layout.speech.local, {**speech, "model.decoder.embed_tokens.weight": (51_866, 1280)}, "F16")
    files = {path.relative_to(root).as_posix(): path for path in root.glob("*/**/*") if path.is_file()}
    locked = {name: LockedFile(sha256="0" * 64, size=path.stat().st_size) for name, path in files.items()}
    write_lock(root, WeightsLock(model=model.name, repositories=dict.fromkeys(layout.repositories), files=locked))
