"""Drawn clips as the networks see them: latents, reference latents, token ids and speech features, made once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan
from torch import Tensor

from model_runtime.humo import audio
from model_runtime.humo.cpu_kernels import CpuKernels
from model_runtime.humo.loaded import Loaded, load_model
from model_runtime.humo.weights.layout import find_model
from model_runtime.humo.weights.lockfile import read_lock
from model_runtime.training.autoencoder import whole
from model_runtime.training.cache.drawn import Drawing, samples
from model_runtime.training.cache.shards import SHARD, Shards, Tensors, unpack_texts
from model_runtime.training.examples import Example, tokens
from schemas.errors import InvalidInput

_FRAMES_AT_ONCE = 136
"""Few large convolutions: a third of the time of one clip after the other, and the same numbers."""


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """Which clips through which frozen networks: one shard is a function of this and its number.

    A shard of C clips holds `latents` float16 [C, 16, T, h, w]; `people` int64 [C]; `references` float16 [all people,
    variants, 16, h, w]; `tokens` int32, all in a row, and `token_ends`; `features` float16 [C, F, bands, channels];
    `face` and `mouth` as drawn. The transformer is no part of it, nor the text encoder: both are trained.
    """

    drawing: Drawing
    drawn: Path
    """Where drawn shards are."""
    weights: Path
    model: str

    @property
    def content(self) -> dict[str, object]:
        """By the digests of the frozen networks' files: where they lie and what else is there changes nothing."""
        model = find_model(self.model)
        layout = model.layout
        frozen = (layout.vae, layout.tokenizer, layout.speech, *layout.speech_settings)
        files = read_lock(self.weights, self.model).files
        named = {part.path: part.local for part in frozen}
        digests = {
            f"{name}{path.removeprefix(local)}": file.sha256
            for name, local in named.items()
            for path, file in files.items()
            if path == local or path.startswith(f"{local}/")
        }
        shape = model.config.transformer
        return {
            "encoded": 1,
            "drawing": self.drawing.content,
            "networks": digests,
            "bands": shape.audio_bands,
            "text_len": shape.text_len,
        }

    def shards(self, root: Path) -> Shards:
        return Shards(root, self.content)

    def __call__(self, number: int) -> Tensors:
        """Shard `number`; draws it where it is not drawn yet."""
        drawn = self.drawing.shards(self.drawn)
        if not drawn.has(number):
            drawn.write(number, self.drawing(number))
        return encode_shard(_networks(self.weights, self.model), drawn.read(number))


@lru_cache(maxsize=1)
def _networks(weights: Path, model: str) -> Loaded:
    return load_model(weights, find_model(model), device=torch.device("cpu"), dtype=torch.float32)


def encode_shard(loaded: Loaded, drawn: Tensors) -> Tensors:
    """What the engine's own networks make of a drawn shard."""
    ids = [tokens(loaded.text, caption) for caption in unpack_texts(drawn)]
    pictures = drawn["references"]
    references = _encode(loaded.vae, pictures.flatten(0, 1)[:, None])[:, :, 0]
    bands = loaded.transformer.shape.audio_bands
    features = [audio.per_frame(loaded.speech(samples(sound)), bands) for sound in drawn["sound"]]
    return {
        "latents": _encode(loaded.vae, drawn["frames"]).half(),
        "people": drawn["people"],
        "references": references.unflatten(0, pictures.shape[:2]).half(),
        "tokens": torch.cat(ids).int(),
        "token_ends": torch.tensor([len(one) for one in ids]).cumsum(0),
        "features": torch.stack(features).half(),
        "face": drawn["face"],
        "mouth": drawn["mouth"],
    }


@torch.no_grad()
def _encode(vae: AutoencoderKLWan, videos: Tensor) -> Tensor:
    """uint8 [n, 4k+1, H, W, 3] -> float32 [n, 16, k+1, H/8, W/8], as the engine's `encode`, several at a time."""
    mean, std = (torch.tensor(vae.config[name]).view(-1, 1, 1, 1) for name in ("latents_mean", "latents_std"))
    found = []
    for piece in videos.split(max(1, _FRAMES_AT_ONCE // videos.shape[1])):
        with CpuKernels():
            posterior = whole.encode(vae, piece.permute(0, 4, 1, 2, 3).float() / 255 * 2 - 1)
        found.append((posterior.mean - mean) / std)
    return torch.cat(found)


class EncodedExamples:
    """The first `count` shards of each row, in memory: 23 kB per clip of 17 frames with four references.

    Raises:
        InvalidInput: a shard is missing or damaged, or there is none.
    """

    def __init__(self, rows: Sequence[tuple[Shards, int]]) -> None:
        if not any(count for _, count in rows):
            raise InvalidInput("no shard of clips to train on, expected at least one")
        self._shards = [shards.read(number) for shards, count in rows for number in range(count)]
        # Where each clip's references begin, and its tokens.
        self._people: list[list[int]] = [[0, *shard["people"].cumsum(0).tolist()] for shard in self._shards]
        self._words: list[list[int]] = [[0, *shard["token_ends"].tolist()] for shard in self._shards]

    def __len__(self) -> int:
        return SHARD * len(self._shards)

    def people(self, index: int) -> int:
        shard, place = divmod(index, SHARD)
        first: int = self._people[shard][place]
        return self._people[shard][place + 1] - first

    def shape(self, index: int) -> tuple[int, int, int]:
        frames, rows, columns = self._shards[index // SHARD]["latents"].shape[2:]
        return frames, rows, columns

    def example(self, index: int) -> Example:
        number, place = divmod(index, SHARD)
        shard, people, words = self._shards[number], self._people[number], self._words[number]
        references = shard["references"][people[place] : people[place + 1]].float()
        return Example(
            latents=shard["latents"][place].float(),
            references=references.permute(1, 2, 0, 3, 4),
            tokens=shard["tokens"][words[place] : words[place + 1]].long(),
            features=shard["features"][place].float(),
            face=shard["face"][place].float(),
            mouth=shard["mouth"][place].float(),
        )
