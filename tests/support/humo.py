"""Golden tensors of HuMo: where they lie, and models built from what the files say of themselves.

`CALLSHEET_HUMO_FIXTURES` names another folder with files of the same names; sizes, seeds and settings are read from
the files, so theirs may be others.
"""

from __future__ import annotations

import dataclasses
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

from model_runtime.humo.config import Family, TextConfig, TransformerConfig, VaeConfig
from model_runtime.humo.guidance import Branch
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
    audio, config = said(name, "audio"), said(name, "config")
    known = {field.name for field in dataclasses.fields(TransformerConfig)}
    windows = next(value for key, value in tensors(f"dit_tiny_{size}_io").items() if key.endswith(".audio"))
    widest = weights(name)["audio_proj.audio_proj_glob_3.layer.bias"].shape[0]
    return TransformerConfig(
        **{key: value for key, value in config.items() if key in known},
        audio_window=windows.shape[1],
        audio_bands=windows.shape[2],
        audio_channels=audio["channels"],
        audio_hidden=audio["intermediate_dim"],
        audio_tokens=widest // audio["output_dim"],
        audio_dim=audio["output_dim"],
    )


def given(io: dict[str, Tensor], case: str, branch: Branch, family: Family) -> dict[str, Any]:
    """What a transformer is called with for one branch of one case."""
    references, latents = io[f"{case}.ref_latents"], io[f"{case}.latents"].clone()
    condition = None
    if family is Family.CHANNELS:
        condition = io[f"{case}.y_image" if branch.has_image else f"{case}.y_null"][None]
    else:
        latents[:, -references.shape[1] :] = references if branch.has_image else 0
    audio = io[f"{case}.audio"] if branch.has_speech else torch.zeros_like(io[f"{case}.audio"])
    return {
        "latents": latents[None],
        "timestep": io[f"{case}.timestep"],
        "text": io[f"{case}.context" if branch.has_text else f"{case}.context_null"][None],
        "audio": audio[None],
        "condition": condition,
    }


@torch.no_grad()
def stages(model: HumoTransformer, inputs: dict[str, Any]) -> dict[str, Tensor]:
    """Every intermediate tensor of a forward pass, by the golden files' names."""
    seen: dict[str, Tensor] = {}

    def record(name: str) -> Any:
        return lambda _module, _args, out: seen.__setitem__(name, out)

    for index, block in enumerate(model.blocks):
        block.register_forward_hook(record(f"block{index}"))
        block.self_attn.register_forward_hook(record(f"block{index}.self_attn"))
        block.cross_attn.register_forward_hook(record(f"block{index}.text_cross"))
        block.audio_cross_attn_wrapper.register_forward_hook(record(f"block{index}.audio_cross"))
        block.ffn.register_forward_hook(record(f"block{index}.ffn"))
    model.text_embedding.register_forward_hook(record("context_emb"))
    model.audio_proj.register_forward_hook(record("audio_tokens"))
    model(**inputs)
    latents, condition = inputs["latents"], inputs["condition"]
    shown = latents if condition is None else torch.cat((latents, condition), dim=1)
    seen["x_in"], seen["patch_tokens"] = shown[0], model.embed_patches(shown)
    seen["time_e"], vectors = model.embed_time(inputs["timestep"])
    seen["time_e0"] = vectors.flatten(1)
    return seen


def toy_velocity(x: Tensor, timestep: int) -> Tensor:
    """The known velocity behind the sampler's toy trajectories."""
    u = timestep / 1000
    return torch.tanh(x) * (0.3 + u) - 0.25 * torch.roll(x, 1, -1) + 0.1 * torch.cos(3 * x) * u


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
    known = {field.name for field in dataclasses.fields(TextConfig)}
    return TextConfig(**{key: value for key, value in said("t5_tiny", "config").items() if key in known})


def pictures() -> list[Image.Image]:
    golden = tensors("ref_image")
    count = sum(key.endswith(".rgb_u8") for key in golden)
    return [Image.fromarray(golden[f"pic{index}.rgb_u8"].numpy()) for index in range(count)]


def manifest(name: str) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a published checkpoint."""
    shapes = json.loads((folder() / f"checkpoint_manifest_{name}.json").read_text())["shapes"]
    return {key: tuple(shape) for key, shape in shapes.items()}
