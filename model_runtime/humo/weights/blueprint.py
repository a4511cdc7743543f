"""A model without memory, and the published name of each of its weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan
from torch import nn
from transformers.models.umt5.modeling_umt5 import UMT5EncoderModel
from transformers.models.whisper.configuration_whisper import WhisperConfig
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from model_runtime.humo import text, vae
from model_runtime.humo.config import TextConfig, TransformerConfig, VaeConfig
from model_runtime.humo.transformer import HumoTransformer
from model_runtime.humo.weights.remedy import BRING
from schemas.errors import InvalidInput

Model = TypeVar("Model", bound=nn.Module)


@dataclass(frozen=True, kw_only=True)
class Blueprint(Generic[Model]):
    """A model on the meta device; `names` says which published tensor fills which of its weights."""

    what: str
    model: Model
    names: Mapping[str, str]
    """Published name -> the model's own."""
    ignored: tuple[str, ...] = ()
    """Prefixes of published names that belong to parts which are not used."""

    @property
    def wanted(self) -> dict[str, tuple[int, ...]]:
        """Published name -> shape."""
        state = self.model.state_dict()
        return {published: tuple(state[own].shape) for published, own in self.names.items()}


def transformer(config: TransformerConfig) -> Blueprint[HumoTransformer]:
    """The diffusion transformer; its names are the published ones."""
    with torch.device("meta"):
        model = HumoTransformer.from_shape(config)
    return Blueprint(
        what="HuMo transformer of this size", model=model, names={name: name for name in model.state_dict()}
    )


def autoencoder(config: VaeConfig) -> Blueprint[AutoencoderKLWan]:
    """The video autoencoder."""
    with torch.device("meta"):
        model = vae.build_vae(config)
    names = {vae.published_name(name, config): name for name in model.state_dict()}
    return Blueprint(what="Wan 2.1 VAE", model=model, names=names)


def text_encoder(config: TextConfig) -> Blueprint[UMT5EncoderModel]:
    """The umT5 encoder."""
    with torch.device("meta"):
        model = text.build_encoder(config)
    named = {name: text.published_name(name) for name in model.state_dict()}
    return Blueprint(
        what="umT5 encoder", model=model, names={published: name for name, published in named.items() if published}
    )


def speech_encoder(settings: Path, *, width: int) -> Blueprint[WhisperEncoder]:
    """The encoder half of the Whisper model that this `config.json` describes.

    Raises:
        InvalidInput: no settings, or of a Whisper whose width the transformer was not trained on.
    """
    try:
        config = WhisperConfig(**json.loads(settings.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise InvalidInput(
            f"{settings} does not describe a Whisper model: {error}",
            fix=BRING,
        ) from error
    if config.d_model != width:
        raise InvalidInput(
            f"{settings} describes a Whisper of width {config.d_model}, expected {width}",
            fix="use the speech encoder that the model was trained with",
        )
    with torch.device("meta"):
        model = WhisperEncoder(config)
    model.eval()
    names = {f"model.encoder.{name}": name for name in model.state_dict()}
    return Blueprint(what="Whisper encoder", model=model, names=names, ignored=("model.decoder.", "proj_out."))
