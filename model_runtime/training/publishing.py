"""What a stage leaves for the next one and for the engine: whole networks under their published names."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers.models.umt5.modeling_umt5 import UMT5EncoderModel

from model_runtime.humo import text as humo_text
from model_runtime.humo.transformer import HumoTransformer
from schemas.errors import InvalidInput

TRANSFORMER = "transformer.safetensors"
TEXT_ENCODER = "text_encoder.safetensors"
ABOUT = "training.json"


def publish(
    out: Path, transformer: HumoTransformer, text: UMT5EncoderModel | None, *, about: Mapping[str, Any]
) -> None:
    """Write the networks as they are now, each file whole or not at all."""
    _write(out / TRANSFORMER, dict(transformer.named_parameters()))
    if text is not None:
        _write(out / TEXT_ENCODER, _text_parameters(text))
    work = out / f".{ABOUT}"
    work.write_text(json.dumps(about, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    work.rename(out / ABOUT)


def start_from(out: Path, transformer: HumoTransformer, text: UMT5EncoderModel) -> bool:
    """Put the networks of an earlier stage in place; was a text encoder among them?

    Raises:
        InvalidInput: the stage is not finished, or its networks are of another size.
    """
    _read(out / TRANSFORMER, dict(transformer.named_parameters()))
    if not (out / TEXT_ENCODER).is_file():
        return False
    _read(out / TEXT_ENCODER, _text_parameters(text))
    return True


def _text_parameters(text: UMT5EncoderModel) -> dict[str, nn.Parameter]:
    named = {humo_text.published_name(name): value for name, value in text.named_parameters()}
    return {name: value for name, value in named.items() if name}


def _write(path: Path, parameters: Mapping[str, nn.Parameter]) -> None:
    work = path.with_name(f".{path.name}")
    save_file({name: value.detach().cpu().contiguous() for name, value in parameters.items()}, work)
    work.rename(path)


@torch.no_grad()
def _read(path: Path, parameters: Mapping[str, nn.Parameter]) -> None:
    try:
        found: dict[str, Tensor] = load_file(path)
    except (OSError, SafetensorError) as error:
        raise InvalidInput(
            f"{path} cannot be read: {error}", fix="finish the stage before, and name its folder with --start-from"
        ) from error
    wrong = [
        name for name, value in parameters.items() if name not in found or found[name].shape != value.shape
    ] + sorted(found.keys() - parameters.keys())
    if wrong:
        raise InvalidInput(
            f"{path} is of another model: {len(wrong)} weights do not fit, {wrong[0]} among them",
            fix="name the same --model in every stage",
        )
    for name, value in parameters.items():
        value.copy_(found[name])
