"""Where the small model's training begins: a weights folder that is whole, locked and knows nothing yet."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from model_runtime.humo import text as humo_text
from model_runtime.humo.transformer import HumoTransformer
from model_runtime.humo.weights.layout import HumoModel, local_folder
from model_runtime.humo.weights.lockfile import measure, write_lock
from model_runtime.training.freezing import silence
from model_runtime.training.small.ear import write_ear
from model_runtime.training.small.words import write_tokenizer
from schemas.errors import InvalidInput
from schemas.weights import WeightsLock

_GATE = 0.02
"""Spread of the first modulations, as the time embedding's: blocks begin as hardly more than their input."""


def write_beginning(root: Path, model: HumoModel, *, vae: Mapping[str, Tensor], seed: int = 0) -> WeightsLock:
    """Transformer and text encoder as they are before their first step, the autoencoder as it was trained.

    Args:
        root: an empty weights folder, or one that is written anew.
        model: of one folder, all safetensors.
        vae: the autoencoder's weights under their published names.
        seed: the same one gives the same files.

    Raises:
        InvalidInput: the tokenizer has more words than the text encoder.
    """
    layout, config = model.layout, model.config
    words = write_tokenizer(root / layout.tokenizer.local)
    if words > config.text.vocab:
        raise InvalidInput(f"a tokenizer of {words} pieces and an encoder of {config.text.vocab}, expected no more")
    write_ear(root / layout.speech.local, config.transformer.audio_channels)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        transformer = begin(HumoTransformer.from_shape(config.transformer))
        encoder = humo_text.build_encoder(config.text)
    write_tensors(root / layout.transformer.local, transformer.state_dict())
    write_tensors(root / layout.text.local, text_tensors(encoder))
    write_tensors(root / layout.vae.local, vae)
    return lock_folder(root, model)


@torch.no_grad()
def begin(transformer: HumoTransformer) -> HumoTransformer:
    """First weights of a transformer that learns from nothing: it says zero, whatever it is shown."""
    for name, value in transformer.named_parameters():
        if name.endswith("modulation"):
            nn.init.normal_(value, std=_GATE)
        elif name.endswith("bias"):
            nn.init.zeros_(value)
        elif value.ndim > 1:
            nn.init.xavier_uniform_(value.flatten(1))
    for layer in (transformer.time_embedding[0], transformer.time_embedding[2], transformer.time_projection[1]):
        nn.init.normal_(layer.weight, std=_GATE)  # type: ignore[arg-type]  # torch types its members as module or tensor
    nn.init.zeros_(transformer.head.head.weight)
    silence(transformer)
    return transformer


def text_tensors(encoder: nn.Module) -> dict[str, Tensor]:
    """A text encoder's weights under their published names, each once."""
    named = {humo_text.published_name(name): value for name, value in encoder.state_dict().items()}
    return {name: value for name, value in named.items() if name}


def write_tensors(path: Path, tensors: Mapping[str, Tensor], *, dtype: torch.dtype = torch.float32) -> None:
    """Whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}")
    save_file({name: value.detach().cpu().to(dtype).contiguous().clone() for name, value in tensors.items()}, part)
    # safetensors writes for the owner alone; weights are for whoever may read their folder.
    part.chmod(0o644)
    part.replace(path)


def lock_folder(root: Path, model: HumoModel) -> WeightsLock:
    """Lock every file of the model as it lies there now."""
    layout = model.layout
    folders = {local_folder(name): name for name in layout.repositories}
    paths = sorted(path for folder in folders for path in (root / folder).rglob("*") if path.is_file())
    files = {
        path.relative_to(root).as_posix(): measure(path)
        for path in paths
        if layout.needs(folders[path.relative_to(root).parts[0]], Path(*path.relative_to(root).parts[1:]).as_posix())
    }
    lock = WeightsLock(model=model.name, repositories=dict.fromkeys(layout.repositories), files=files)
    write_lock(root, lock)
    return lock
