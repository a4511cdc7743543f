"""A HuMo model on its device: the four networks, and how they get there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan
from torch import nn
from transformers.models.whisper.feature_extraction_whisper import WhisperFeatureExtractor

from model_runtime.humo.text import TextEncoder, load_tokenizer
from model_runtime.humo.transformer import HumoTransformer
from model_runtime.humo.weights import blueprint
from model_runtime.humo.weights.blueprint import Blueprint
from model_runtime.humo.weights.checkpoint import Checkpoint, compare, open_checkpoint, require
from model_runtime.humo.weights.layout import HumoModel
from model_runtime.humo.weights.loading import load
from model_runtime.humo.whisper import SpeechEncoder

WORKING_BYTES = 24 * 2**30
"""Device memory to leave free for a clip at work: activations of a 720p clip on the 17B, with room to spare."""

OnPart = Callable[[str, int, int], None]
"""Told a part and how many of how many of its tensors are in place."""

Model = TypeVar("Model", bound=nn.Module)


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """Everything that renders. Speech encoder and autoencoder are float32, the others in the device's dtype."""

    device: torch.device
    transformer: HumoTransformer
    vae: AutoencoderKLWan
    text: TextEncoder
    speech: SpeechEncoder


def default_device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def default_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where it is fast; a CPU renders tiny models only, in float32."""
    return torch.bfloat16 if device.type == "cuda" else torch.float32


@dataclass(frozen=True, kw_only=True)
class _Part(Generic[Model]):
    """A network that is known to fit its checkpoint, not loaded yet."""

    name: str
    plan: Blueprint[Model]
    checkpoint: Checkpoint
    dtype: torch.dtype

    @property
    def bytes(self) -> int:
        elements: int = sum(value.numel() for value in self.plan.model.state_dict().values())
        return elements * self.dtype.itemsize

    def load(self, device: torch.device, on_part: OnPart | None) -> Model:
        def on_tensor(done: int, total: int) -> None:
            if on_part:
                on_part(self.name, done, total)

        return load(self.plan, self.checkpoint, device=device, dtype=self.dtype, on_tensor=on_tensor)


def _part(name: str, path: Path, plan: Blueprint[Model], dtype: torch.dtype) -> _Part[Model]:
    checkpoint = open_checkpoint(path)
    require(compare(checkpoint, plan.wanted, ignored=plan.ignored), checkpoint, plan.what)
    return _Part(name=name, plan=plan, checkpoint=checkpoint, dtype=dtype)


def load_model(
    root: Path, model: HumoModel, *, device: torch.device, dtype: torch.dtype, on_part: OnPart | None = None
) -> Loaded:
    """Read every part from the weights folder onto the device, after all of them are known to fit.

    The text encoder stays in mapped host memory, and visits the device for each prompt (`visiting`), where the device
    cannot hold it beside a clip at work.

    Raises:
        InvalidInput: a part is missing, damaged, of another size or type, or not converted.
    """
    layout, config = model.layout, model.config
    settings, width = root / layout.speech_settings[0].local, config.transformer.audio_channels
    full = torch.float32
    transformer = _part(
        "transformer", root / layout.transformer.local, blueprint.transformer(config.transformer), dtype
    )
    vae = _part("vae", root / layout.vae.local, blueprint.autoencoder(config.vae), full)
    text = _part("text encoder", root / layout.text.local, blueprint.text_encoder(config.text), dtype)
    speech = _part("speech encoder", root / layout.speech.local, blueprint.speech_encoder(settings, width=width), full)
    tokenizer = load_tokenizer(root / layout.tokenizer.local)
    everything = sum(part.bytes for part in (transformer, vae, text, speech))
    text_device = device if _holds(device, everything + WORKING_BYTES) else torch.device("cpu")
    return Loaded(
        device=device,
        transformer=transformer.load(device, on_part),
        vae=vae.load(device, on_part),
        text=TextEncoder(
            encoder=text.load(text_device, on_part), tokenizer=tokenizer, text_len=config.transformer.text_len
        ),
        speech=SpeechEncoder(
            encoder=speech.load(device, on_part),
            front_end=WhisperFeatureExtractor.from_pretrained(str((root / layout.speech.local).parent)),
        ),
    )


def _holds(device: torch.device, needed: int) -> bool:
    if device.type != "cuda":
        return True
    return bool(torch.cuda.get_device_properties(device).total_memory >= needed)


@contextmanager
def visiting(module: nn.Module, device: torch.device) -> Iterator[None]:
    """A module is on the device inside the block, and where it was after it; its home copy is left alone."""
    homes = [
        (owner, name, parameter)
        for owner in module.modules()
        for name, parameter in owner.named_parameters(recurse=False)
        if parameter.device != device
    ]
    abroad: dict[nn.Parameter, nn.Parameter] = {}
    try:
        for owner, name, parameter in homes:
            if parameter not in abroad:
                abroad[parameter] = nn.Parameter(parameter.detach().to(device), requires_grad=False)
            owner.register_parameter(name, abroad[parameter])
        yield
    finally:
        for owner, name, parameter in homes:
            owner.register_parameter(name, parameter)
