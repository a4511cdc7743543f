"""Golden tensors of HuMo: where they lie, and models built from what the files say of themselves.

`CALLSHEET_HUMO_FIXTURES` names another folder with files of the same names; sizes, seeds and settings are read from
the files, so theirs may be others.
"""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from model_runtime.humo.config import TextConfig, TransformerConfig, VaeConfig
from model_runtime.humo.transformer import HumoTransformer
from model_runtime.humo.vae import build_vae
from model_runtime.humo.vae import published_name as published_vae_name

SIZES = ("17B", "1_7B")

# Limits of the golden files' own README, float32: largest deviation over the largest value.
TRANSFORMER = VAE = TEXT = 1e-4
AUDIO = 2e-5
GUIDANCE = 1e-6
SAMPLER = 1e-5
WHOLE_RUN = 1e-3
SIGMAS = 1e-6
HALF = 1.5e-2
"""bfloat16 against float32: relative L2."""


def folder() -> Path:
    default = Path(__file__).resolve().parent.parent / "data" / "humo"
    return Path(os.environ.get("CALLSHEET_HUMO_FIXTURES") or default)


def names(pattern: str) -> list[str]:
    return sorted(path.stem for path in folder().glob(f"{pattern}.safetensors"))


@cache
def tensors(name: str) -> dict[str, Tensor]:
    return load_file(folder() / f"{name}.safetensors")


def said(name: str, key: str) -> Any:
    """What the file's metadata say under that key; JSON where it is JSON."""
    with safe_open(folder() / f"{name}.safetensors", "pt") as file:
        return json.loads(file.metadata()[key])


def words(name: str, key: str) -> str:
    with safe_open(folder() / f"{name}.safetensors", "pt") as file:
        text: str = file.metadata()[key]
    return text


def weights(name: str) -> dict[str, Tensor]:
    return {key.removeprefix("w."): value for key, value in tensors(name).items() if key.startswith("w.")}


def error(got: Tensor, wanted: Tensor) -> float:
    """Largest deviation over the largest wanted value."""
    assert got.shape == wanted.shape
    return float((got - wanted).abs().max() / wanted.abs().max())


def relative_l2(got: Tensor, wanted: Tensor) -> float:
    assert got.shape == wanted.shape
    return float((got.float() - wanted).norm() / wanted.norm())


def transformer_config(size: str) -> TransformerConfig:
    name = f"dit_tiny_{size}_weights"
    audio = said(name, "audio")
    return TransformerConfig(
        **said(name, "config"),
        audio_channels=audio["channels"],
        audio_hidden=audio["intermediate_dim"],
        audio_dim=audio["output_dim"],
    )


def transformer(size: str, dtype: torch.dtype = torch.float32) -> HumoTransformer:
    model = HumoTransformer.from_shape(transformer_config(size)).eval()
    # Not diffusers' own `to`, which warns of modules that are to stay in float32; there are none.
    torch.nn.Module.to(model, dtype)
    model.load_state_dict({key: value.to(dtype) for key, value in weights(f"dit_tiny_{size}_weights").items()})
    return model


def vae_config(name: str = "vae_tiny_io") -> VaeConfig:
    config = said(name, "config")
    return VaeConfig(
        dim=config["dim"],
        z_dim=config["z_dim"],
        dim_mult=tuple(config["dim_mult"]),
        num_res_blocks=config["num_res_blocks"],
        temporal_downsample=tuple(config["temperal_downsample"]),
    )


@cache
def vae() -> Any:
    config = vae_config()
    model = build_vae(config)
    published = weights("vae_tiny_weights")
    model.load_state_dict({key: published[published_vae_name(key, config)] for key in model.state_dict()})
    return model


def text_config() -> TextConfig:
    config = said("t5_tiny", "config")
    return TextConfig(
        vocab=config["vocab"],
        dim=config["dim"],
        dim_attn=config["dim_attn"],
        dim_ffn=config["dim_ffn"],
        num_heads=config["num_heads"],
        num_layers=config["num_layers"],
        num_buckets=config["num_buckets"],
    )


def pictures() -> list[Image.Image]:
    golden = tensors("ref_image")
    count = sum(key.endswith(".rgb_u8") for key in golden)
    return [Image.fromarray(golden[f"pic{index}.rgb_u8"].numpy()) for index in range(count)]


def manifest(name: str) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a published checkpoint."""
    shapes = json.loads((folder() / f"checkpoint_manifest_{name}.json").read_text())["shapes"]
    return {key: tuple(shape) for key, shape in shapes.items()}
