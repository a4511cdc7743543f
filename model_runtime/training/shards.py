"""Examples from the shards of a finished dataset, instead of drawn ones (docs/dataset.md)."""

from __future__ import annotations

import json
import tempfile
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from model_runtime.dataset.films import decode_arrays, decode_film, decode_picture, decode_sound
from model_runtime.dataset.finished import FinishedDataset
from model_runtime.dataset.shard import Where, index_of, read_at
from model_runtime.dataset.speech import between
from model_runtime.humo import audio
from model_runtime.humo import vae as video_vae
from model_runtime.humo.loaded import Loaded
from model_runtime.humo.references import encode_references
from model_runtime.training.examples import Example, latent_share, tokens
from schemas.errors import InvalidInput

_MOUTH = (0.28, 0.62, 0.72, 0.92)
"""Of a face's box, where its mouth is when nobody knows better: left, top, right, bottom."""


@dataclass(frozen=True, kw_only=True)
class _Entry:
    """Where a sample lies."""

    shard: Path
    files: Where
    people: int


class ShardExamples:
    """All samples of a dataset, in its order, decoded and encoded when asked for, the latest kept.

    Raises:
        InvalidInput: no finished dataset, or one without references or speech.
        DamagedShard: a shard is not what was written; every one is read once before training begins.
    """

    def __init__(self, folder: Path, loaded: Loaded, *, variants: int = 4, remembered: int = 4096) -> None:
        dataset = FinishedDataset(folder)
        dataset.check()
        self._loaded = loaded
        self._variants = variants
        self._remembered = remembered
        self._known: OrderedDict[int, Example] = OrderedDict()
        self._shape = tuple(int(dataset.order[name]) for name in ("frames", "height", "width"))
        self._entries = [entry for shard in dataset.shards for entry in _entries(shard.path)]

    def __len__(self) -> int:
        return len(self._entries)

    def people(self, index: int) -> int:
        return self._entries[index].people

    def shape(self, index: int) -> tuple[int, int, int]:
        del index  # all of one dataset are alike
        frames, height, width = self._shape
        return (frames - 1) // video_vae.FRAMES_PER_LATENT + 1, height // video_vae.STRIDE, width // video_vae.STRIDE

    def example(self, index: int) -> Example:
        if index not in self._known:
            self._known[index] = self._encode(self._entries[index])
            if len(self._known) > self._remembered:
                self._known.popitem(last=False)
        self._known.move_to_end(index)
        return self._known[index]

    def _encode(self, entry: _Entry) -> Example:
        files = read_at(entry.shard, entry.files)
        facts = json.loads(files["json"])
        with tempfile.TemporaryDirectory(prefix="shard-") as scratch:
            frames = decode_film(files["mp4"], Path(scratch))
        height, width = frames.shape[1:3]
        video = torch.from_numpy(frames).permute(3, 0, 1, 2).float() / 255 * 2 - 1
        face, mouth = _masks(files, len(frames), height, width)
        bands = self._loaded.transformer.shape.audio_bands
        return Example(
            latents=video_vae.encode(self._loaded.vae, video).cpu(),
            references=torch.stack(
                [
                    encode_references(self._loaded.vae, pictures, width=width, height=height).cpu()
                    for pictures in _shown(files, facts, self._variants)
                ]
            ),
            tokens=tokens(self._loaded.text, facts["caption"]),
            features=audio.per_frame(self._loaded.speech(decode_sound(files["flac"])), bands).cpu(),
            face=latent_share(face),
            mouth=latent_share(mouth),
        )


def _entries(shard: Path) -> list[_Entry]:
    """The samples of a shard that has been checked; only their JSON is read."""
    found = []
    for key, where in index_of(shard).items():
        missing = {"json", "mp4", "flac", "ref0.png"} - where.keys()
        if missing:
            raise InvalidInput(
                f"sample {key} of {shard.name} has no {', '.join(sorted(missing))}",
                fix="train from a dataset that went through all three stages",
            )
        facts = json.loads(read_at(shard, {"json": where["json"]})["json"])
        found.append(_Entry(shard=shard, files=where, people=int(facts["people"])))
    return found


def _shown(files: dict[str, bytes], facts: dict[str, Any], variants: int) -> list[list[Image.Image]]:
    """One list of people per variant; who has fewer pictures than another is shown in some of them again."""
    by_person: list[list[Image.Image]] = [[] for _ in range(facts["people"])]
    for one in facts["references"]:
        by_person[one["person"]].append(Image.fromarray(decode_picture(files[one["file"]])))
    count = min(variants, max(len(pictures) for pictures in by_person))
    return [[pictures[variant % len(pictures)] for pictures in by_person] for variant in range(count)]


def _masks(
    files: dict[str, bytes], frames: int, height: int, width: int
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Faces and mouths, [frames, h, w]: exact in the procedural world, elsewhere out of the boxes of the faces."""
    if "truth.npz" in files:
        truth = decode_arrays(files["truth.npz"])
        return np.asarray(truth["faces"].any(0)), np.asarray(truth["mouths"].any(0))
    seen = decode_arrays(files["faces.npz"])
    face, mouth = np.zeros((2, frames, height, width), np.bool_)
    rows, columns = np.arange(height)[:, None] + 0.5, np.arange(width)[None] + 0.5
    for boxes in between(seen["boxes"], seen["frames"], frames):
        for k, (left, top, right, bottom) in enumerate(boxes):
            wide, high = max(1.0, right - left), max(1.0, bottom - top)
            x, y = (columns - left) / wide, (rows - top) / high
            face[k] |= (2 * x - 1) ** 2 + (2 * y - 1) ** 2 <= 1
            mouth[k] |= (x >= _MOUTH[0]) & (x <= _MOUTH[2]) & (y >= _MOUTH[1]) & (y <= _MOUTH[3])
    return face, mouth
