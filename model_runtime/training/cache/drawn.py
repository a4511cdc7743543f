"""Clips of the world, drawn once: pixels, sound, words and masks, as whoever trains on them reads them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model_runtime.training.cache.shards import SHARD, Shards, Tensors, pack_texts
from model_runtime.training.examples import latent_share
from model_runtime.training.world.identity import Split
from model_runtime.training.world.world import World

_PCM = 32767


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """Which clips: one shard is a function of this and its number.

    A shard of C clips holds `frames` uint8 [C, F, H, W, 3]; `people` int64 [C]; `references` uint8 [people in all,
    variants, H, W, 3]; `sound` int16 [C, samples]; `face` and `mouth` float16 [C, T, H/8, W/8], shares of latent cells;
    and the captions.
    """

    world: World
    split: Split = Split.TRAIN
    variants: int = 4
    """Reference pictures per person."""

    @property
    def content(self) -> dict[str, object]:
        return {"drawn": 1, "world": asdict(self.world), "split": self.split.value, "variants": self.variants}

    def shards(self, root: Path) -> Shards:
        return Shards(root, self.content)

    def __call__(self, number: int) -> Tensors:
        """Shard `number`."""
        world = self.world
        clips = [world.clip(index, self.split) for index in range(number * SHARD, (number + 1) * SHARD)]
        references = [
            np.stack([world.reference(clip.recipe, place, variant) for variant in range(self.variants)])
            for clip in clips
            for place in range(len(clip.references))
        ]
        return {
            "frames": _tensor([clip.frames for clip in clips]),
            "people": torch.tensor([len(clip.references) for clip in clips]),
            "references": _tensor(references),
            "sound": _tensor([(clip.audio.clip(-1, 1) * _PCM).round().astype(np.int16) for clip in clips]),
            "face": torch.stack([latent_share(clip.masks.face) for clip in clips]).half(),
            "mouth": torch.stack([latent_share(clip.masks.mouth) for clip in clips]).half(),
            **pack_texts([clip.caption for clip in clips]),
        }


def samples(sound: Tensor) -> NDArray[np.float32]:
    """int16 [samples] -> float32 in -1 to 1."""
    return np.asarray((sound.float() / _PCM).numpy())


def _tensor(arrays: Sequence[NDArray[Any]]) -> Tensor:
    return torch.from_numpy(np.stack(arrays))
