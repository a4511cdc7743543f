"""Which files make up each model: repository by repository, as they are published."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

from model_runtime.humo import config
from model_runtime.humo.config import HumoConfig
from schemas.errors import InvalidInput

HUMO = "bytedance-research/HuMo"
WAN = "Wan-AI/Wan2.1-T2V-1.3B"
WHISPER = "openai/whisper-large-v3"
SMALL = "callsheet/humo-small"


@dataclass(frozen=True, kw_only=True)
class Source:
    """A file or folder of a repository; it lies under the weights folder as `<repository's name>/<path>`."""

    repository: str
    path: str

    @property
    def local(self) -> str:
        return f"{local_folder(self.repository)}/{self.path}"


def local_folder(repository: str) -> str:
    """Where a repository lies under the weights folder: its name without its owner."""
    return PurePosixPath(repository).name


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Where each part of a model is. A `.pth` is read from the `.safetensors` converted from it, beside it."""

    transformer: Source
    vae: Source = Source(repository=WAN, path="Wan2.1_VAE.pth")
    text: Source = Source(repository=WAN, path="models_t5_umt5-xxl-enc-bf16.pth")
    tokenizer: Source = Source(repository=WAN, path="google/umt5-xxl")
    speech: Source = Source(repository=WHISPER, path="model.safetensors")
    speech_settings: tuple[Source, ...] = (
        Source(repository=WHISPER, path="config.json"),
        Source(repository=WHISPER, path="preprocessor_config.json"),
    )

    @property
    def repositories(self) -> tuple[str, ...]:
        parts = (self.transformer, self.vae, self.text, self.tokenizer, self.speech)
        return tuple(dict.fromkeys(part.repository for part in parts))

    def needs(self, repository: str, path: str) -> bool:
        """Is that file of a repository part of the model?"""
        named = (self.transformer, self.vae, self.text, self.speech, *self.speech_settings)
        if any(part.repository == repository and part.path == path for part in named):
            return True
        if repository == self.tokenizer.repository and PurePosixPath(path).is_relative_to(self.tokenizer.path):
            return True
        return repository == self.transformer.repository and self._is_shard(PurePosixPath(path))

    def _is_shard(self, path: PurePosixPath) -> bool:
        index = PurePosixPath(self.transformer.path)
        return index.suffix == ".json" and path.parent == index.parent and path.suffix == ".safetensors"

    @property
    def pickles(self) -> tuple[Source, ...]:
        """What has to be converted once."""
        return tuple(part for part in (self.transformer, self.vae, self.text) if part.path.endswith(".pth"))


@dataclass(frozen=True, kw_only=True)
class HumoModel:
    """One model by name: its widths and its files."""

    name: str
    config: HumoConfig
    layout: Layout
    published: bool = True
    """False for models that are made here and can be fetched from nowhere."""
    is_random: bool = False
    """True for those whose weights `make-tiny` makes in a moment."""


_SHARDED = Layout(transformer=Source(repository=HUMO, path="HuMo-17B/humo.safetensors.index.json"))
_PICKLED = Layout(transformer=Source(repository=HUMO, path="HuMo-1.7B/ema.pth"))
_SMALL = Layout(
    transformer=Source(repository=SMALL, path="transformer.safetensors"),
    vae=Source(repository=SMALL, path="vae.safetensors"),
    text=Source(repository=SMALL, path="text_encoder.safetensors"),
    tokenizer=Source(repository=SMALL, path="tokenizer"),
    speech=Source(repository=SMALL, path="whisper/model.safetensors"),
    speech_settings=(
        Source(repository=SMALL, path="whisper/config.json"),
        Source(repository=SMALL, path="whisper/preprocessor_config.json"),
    ),
)
"""One folder."""

MODELS = {
    model.name: model
    for model in (
        HumoModel(name="humo-17B", config=config.HUMO_17B, layout=_SHARDED),
        HumoModel(name="humo-1.7B", config=config.HUMO_1_7B, layout=_PICKLED),
        HumoModel(name="humo-small", config=config.HUMO_SMALL, layout=_SMALL, published=False),
        HumoModel(name="tiny-random", config=config.TINY_RANDOM, layout=_SHARDED, published=False, is_random=True),
        HumoModel(
            name="tiny-random-1.7B", config=config.TINY_RANDOM_1_7B, layout=_PICKLED, published=False, is_random=True
        ),
    )
}


def find_model(name: str) -> HumoModel:
    """The HuMo model of that name.

    Raises:
        InvalidInput: no such model; the message lists the known ones.
    """
    if name not in MODELS:
        raise InvalidInput(
            f"unknown HuMo model {name!r}; known: {', '.join(sorted(MODELS))}", fix="choose one of the known models"
        )
    return MODELS[name]
