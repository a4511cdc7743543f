"""What a run leaves: the autoencoder in bfloat16 under the published names, with what was measured beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan
from safetensors.torch import save_file

from model_runtime.humo import vae as video_vae
from model_runtime.humo.config import VaeConfig
from model_runtime.humo.weights import blueprint
from model_runtime.humo.weights.checkpoint import open_checkpoint
from model_runtime.humo.weights.loading import load

VAE = "vae.safetensors"
ABOUT = "training.json"


def publish(out: Path, vae: AutoencoderKLWan, config: VaeConfig) -> Path:
    """Write the weights as they are now, whole or not at all."""
    path = out / VAE
    work = path.with_name(f".{path.name}")
    # In the memory order of the names: convolutions may have been trained in another one.
    named = {video_vae.published_name(name, config): value for name, value in vae.state_dict().items()}
    save_file({name: value.detach().cpu().bfloat16().contiguous() for name, value in named.items()}, work)
    work.rename(path)
    return path


def note(out: Path, about: Mapping[str, Any]) -> None:
    """Write down what the weights are of, and how good they were found."""
    work = out / f".{ABOUT}"
    work.write_text(json.dumps(about, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    work.rename(out / ABOUT)


def published(path: Path, config: VaeConfig) -> AutoencoderKLWan:
    """An autoencoder from its published file, by the engine's own loader, in float32 on the CPU.

    Raises:
        InvalidInput: the file is missing, damaged, or of other widths.
    """
    plan = blueprint.autoencoder(config)
    return load(plan, open_checkpoint(path), device=torch.device("cpu"), dtype=torch.float32)
