"""What a batch is made of: clips as the networks see them, from the procedural world or from wherever else."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from model_runtime.humo import audio
from model_runtime.humo import vae as video_vae
from model_runtime.humo.loaded import Loaded
from model_runtime.humo.references import encode_references
from model_runtime.humo.text import TextEncoder, clean, prompt_field
from model_runtime.training.world.clip import Clip
from model_runtime.training.world.identity import Split
from model_runtime.training.world.world import World


@dataclass(frozen=True, kw_only=True)
class Example:
    """One clip, encoded by the frozen networks, on the CPU."""

    latents: Tensor
    """float32 [16, latent frames, h, w]."""
    references: Tensor
    """float32 [variants, 16, people, h, w]: everybody in several pictures each, to be shown one at a time."""
    tokens: Tensor
    """int64 [tokens] of the caption, the end token included."""
    features: Tensor
    """float32 [video frames, bands, channels] of the speech."""
    face: Tensor
    """float32 [latent frames, h, w]: share of each latent cell that is a face."""
    mouth: Tensor
    """The same of mouths."""


class Examples(Protocol):
    """Equal indices give equal examples, in every process."""

    def __len__(self) -> int: ...

    def people(self, index: int) -> int:
        """How many references example `index` has; cheap."""
        ...

    def shape(self, index: int) -> tuple[int, int, int]:
        """Latent frames, rows and columns of example `index`; cheap."""
        ...

    def example(self, index: int) -> Example: ...


def latent_share(mask: NDArray[np.bool_]) -> Tensor:
    """Boolean [4k+1, H, W] -> float32 [k+1, H/8, W/8]: the share of each latent cell's pixels that are set.

    Latent frame 0 is one video frame, every other one is four.
    """
    pixels = torch.from_numpy(mask).float()
    first, rest = pixels[:1], pixels[1:].unflatten(0, (-1, video_vae.FRAMES_PER_LATENT)).mean(1)
    stride = video_vae.STRIDE
    cells: Tensor = torch.cat((first, rest)).unflatten(2, (-1, stride)).unflatten(1, (-1, stride))
    return cells.mean((2, 4))


def tokens(encoder: TextEncoder, prompt: str) -> Tensor:
    """int64 [tokens]: the same that the engine makes of a prompt."""
    ids = encoder.tokenizer(
        clean(prompt_field(prompt)),
        max_length=encoder.text_len,
        truncation=True,
        add_special_tokens=True,
        return_tensors="pt",
    )["input_ids"]
    found: Tensor = ids[0]
    return found


def encode_clip(loaded: Loaded, clip: Clip, references: list[list[Image.Image]]) -> Example:
    """A clip through the engine's own networks; `references` holds one list of people per variant."""
    height, width = clip.frames.shape[1:3]
    video = torch.from_numpy(clip.frames).permute(3, 0, 1, 2).float() / 255 * 2 - 1
    return Example(
        latents=video_vae.encode(loaded.vae, video).cpu(),
        references=torch.stack(
            [encode_references(loaded.vae, pictures, width=width, height=height).cpu() for pictures in references]
        ),
        tokens=tokens(loaded.text, clip.caption),
        features=audio.per_frame(loaded.speech(clip.audio), loaded.transformer.shape.audio_bands).cpu(),
        face=latent_share(clip.masks.face),
        mouth=latent_share(clip.masks.mouth),
    )


class WorldExamples:
    """The first `count` clips of a split of the world, drawn and encoded when asked for, the latest kept."""

    def __init__(
        self,
        world: World,
        loaded: Loaded,
        *,
        count: int,
        split: Split = Split.TRAIN,
        variants: int = 4,
        remembered: int = 4096,
    ) -> None:
        self._world = world
        self._loaded = loaded
        self._count = count
        self._split = split
        self._variants = variants
        self._remembered = remembered
        self._known: OrderedDict[int, Example] = OrderedDict()

    def __len__(self) -> int:
        return self._count

    def people(self, index: int) -> int:
        return len(self._world.recipe(index, self._split).identities)

    def shape(self, index: int) -> tuple[int, int, int]:
        del index  # all of one world are alike
        frames = (self._world.frames - 1) // video_vae.FRAMES_PER_LATENT + 1
        return frames, self._world.height // video_vae.STRIDE, self._world.width // video_vae.STRIDE

    def example(self, index: int) -> Example:
        if index not in self._known:
            self._known[index] = self._encode(index)
            if len(self._known) > self._remembered:
                self._known.popitem(last=False)
        self._known.move_to_end(index)
        return self._known[index]

    def _encode(self, index: int) -> Example:
        clip = self._world.clip(index, self._split)
        people = range(len(clip.references))
        pictures = [
            [Image.fromarray(self._world.reference(clip.recipe, place, variant)) for place in people]
            for variant in range(self._variants)
        ]
        return encode_clip(self._loaded, clip, pictures)
